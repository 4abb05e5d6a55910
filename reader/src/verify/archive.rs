//! A verification of the archive itself: its catalog, the files of its live parts, their rows, and blocks made of it on trial.
//!
//! It reads what can be read and tells what cannot: no damage ends it. At any moment it holds one part, or one block, for each job.

use std::collections::HashSet;
use std::sync::Arc;

use emberkeep_archive::{ArchiveError, Catalog, FileEntry, ObjectStore, PartEntry, Salvage, check_file};
use emberkeep_model::head::HeadKinds;
use emberkeep_model::{TenantId, TimeRange};
use futures::StreamExt;
use indicatif::ProgressBar;

use super::finding::{Finding, FindingKind, Findings};
use super::level::Level;
use super::part_rows::{PART_ADVICE, RowsRead, Wanted, check_part};
use super::report::{Checked, VerifyReport, moment};
use super::trial::{Scratch, trial};
use super::{Verify, joined};
use crate::export::windows_with_data;
use crate::{Look, Query, ReaderError, Sources};

/// What to do about an object of the catalog that is not what it was.
const CATALOG_ADVICE: &str = "bring the object back from a replica or a version of the bucket; without one, `compactor rebuild` makes a new \
     root out of the files themselves";

impl Verify {
    /// Checks the archive.
    ///
    /// # Errors
    /// When the store cannot be listed, there is no archive, or the moment asked for has no root. What is wrong with the archive is in
    /// the report.
    pub async fn archive(&self, sources: &Sources, bar: &ProgressBar) -> Result<VerifyReport, ReaderError> {
        let mut findings = Findings::new(self.most_findings);
        let mut checked = Checked::default();
        let Salvage { view, damage } = self.salvage(sources).await?;
        if view.root_n == 0 && view.parts.is_empty() && view.committed.is_empty() && damage.is_empty() {
            return Err(ReaderError::nothing_committed());
        }
        let look = Look {
            heads: Vec::new(),
            view: Arc::clone(&view),
            left_out: Vec::new(),
        };
        let pinned = sources.hold(look.clone(), "verification").await;
        self.catalog(sources, damage, &mut findings, &mut checked).await?;
        let parts: Vec<_> = view.parts.iter().filter(|part| self.concerns(part)).cloned().collect();
        bar.set_length(parts.iter().map(|part| part.bytes()).sum());
        let moving = (!pinned.is_pinned()).then(|| sources.catalog());
        self.parts(sources.store(), moving, parts, bar, &mut findings, &mut checked)
            .await;
        if self.level == Level::Restore {
            self.trials(sources, &look, bar, &mut findings, &mut checked).await?;
        }
        bar.finish_and_clear();
        pinned.release().await;
        let mut report = VerifyReport::new(self.level, checked, &findings);
        (report.root, report.root_created_at) = (view.root_n, moment(view.root_created_at));
        Ok(report)
    }

    async fn salvage(&self, sources: &Sources) -> Result<Salvage, ReaderError> {
        if !sources.is_of_the_past() {
            return Ok(sources.catalog().salvage().await?);
        }
        let query = self.query(TenantId::default(), self.range);
        let look = sources.look(&query, HeadKinds::Samples).await?;
        Ok(Salvage {
            view: look.view,
            damage: Vec::new(),
        })
    }

    async fn catalog(
        &self,
        sources: &Sources,
        damage: Vec<ArchiveError>,
        findings: &mut Findings,
        checked: &mut Checked,
    ) -> Result<(), ReaderError> {
        let expected = "an object of the catalog as it was written";
        let mut told = HashSet::new();
        let visit = |object: &str, found: Result<u64, ArchiveError>| {
            checked.catalog_objects += 1;
            if let Err(error) = found {
                findings.push(Finding::of_archive(object, expected, &error, CATALOG_ADVICE));
                told.insert(object.to_owned());
            }
        };
        sources.catalog().check_objects(visit).await?;
        for error in damage {
            let object = object_of(&error).to_owned();
            if !told.contains(&object) {
                findings.push(Finding::of_archive(&object, expected, &error, CATALOG_ADVICE));
            }
        }
        Ok(())
    }

    /// Whether a part holds something of what is to be checked.
    fn concerns(&self, part: &PartEntry) -> bool {
        let wanted = self.wanted();
        let mut tenants = part.tenants.keys().filter(|name| wanted.is_of(name));
        tenants.any(|name| {
            self.range == TimeRange::ALL
                || part.may_hold(name, self.range)
                || part.may_hold_exemplars(name, self.range)
                || part.may_hold_metadata(name, self.range)
        })
    }

    fn wanted(&self) -> Wanted {
        Wanted {
            tenant: self.tenant.clone(),
            selection: self.selection.clone(),
        }
    }

    async fn parts(
        &self,
        store: &Arc<dyn ObjectStore>,
        moving: Option<&Arc<Catalog>>,
        parts: Vec<Arc<PartEntry>>,
        bar: &ProgressBar,
        findings: &mut Findings,
        checked: &mut Checked,
    ) {
        let checks = parts.into_iter().map(|part| {
            let job = PartJob {
                store: Arc::clone(store),
                moving: moving.cloned(),
                part: Arc::clone(&part),
                wanted: (self.level >= Level::Rows).then(|| self.wanted()),
                findings: Findings::new(self.most_findings),
            };
            async move { (part, tokio::spawn(job.run()).await) }
        });
        let mut checks = futures::stream::iter(checks).buffer_unordered(self.jobs);
        while let Some((part, done)) = checks.next().await {
            let (found, read) = joined(done);
            findings.merge(found);
            checked.add_part_rows(read);
            checked.parts += 1;
            checked.parts_without_digests += u64::from(part.level == 0);
            checked.files += part.files.len() as u64;
            checked.file_bytes += part.bytes();
            bar.inc(part.bytes());
        }
    }

    async fn trials(
        &self,
        sources: &Sources,
        look: &Look,
        bar: &ProgressBar,
        findings: &mut Findings,
        checked: &mut Checked,
    ) -> Result<(), ReaderError> {
        let scratch = Arc::new(Scratch::create(&self.scratch)?);
        for tenant in self.tenants(look) {
            let query = self.query(tenant, self.range);
            let windows = match windows_with_data(sources.store(), look, &query, HeadKinds::Samples).await {
                Ok(windows) => windows,
                Err(error) => {
                    let object = format!("tenant `{}`", query.tenant);
                    findings.push(Finding::of_reader(
                        &object,
                        "parts that can be read",
                        &error,
                        PART_ADVICE,
                    ));
                    continue;
                }
            };
            bar.set_position(0);
            bar.set_length(windows.len() as u64);
            let trials = windows.into_iter().map(|window| {
                let query = Query {
                    range: query.range.intersect(window),
                    ..query.clone()
                };
                let (store, look, scratch) = (Arc::clone(sources.store()), look.clone(), Arc::clone(&scratch));
                let found = Findings::new(self.most_findings);
                async move { tokio::spawn(trial(store, look, query, window, scratch, found)).await }
            });
            let mut trials = futures::stream::iter(trials).buffer_unordered(self.jobs);
            while let Some(done) = trials.next().await {
                let (found, read, bytes) = joined(done);
                findings.merge(found);
                checked.add_compared(read);
                checked.blocks += u64::from(bytes > 0);
                checked.block_bytes += bytes;
                bar.inc(1);
            }
        }
        Ok(())
    }

    /// Whose blocks are made.
    fn tenants(&self, look: &Look) -> Vec<TenantId> {
        let all = look.view.parts.iter().flat_map(|part| part.tenants.keys());
        let mut tenants: Vec<TenantId> = all.filter_map(|name| TenantId::parse(name).ok()).collect();
        tenants.sort();
        tenants.dedup();
        tenants.retain(|tenant| self.wanted().is_of(tenant.as_str()));
        tenants
    }
}

/// The check of one part.
struct PartJob {
    store: Arc<dyn ObjectStore>,
    /// The catalog, when no pin keeps the files.
    moving: Option<Arc<Catalog>>,
    part: Arc<PartEntry>,
    /// Whose rows are read; none for files alone.
    wanted: Option<Wanted>,
    findings: Findings,
}

impl PartJob {
    async fn run(mut self) -> (Findings, RowsRead) {
        let before = self.findings.differences() + self.findings.unchecked();
        for file in &self.part.files {
            if let Err(error) = check_file(&*self.store, file).await {
                let mut finding = Finding::of_archive(&file.path, expected(file), &error, PART_ADVICE);
                if finding.kind == FindingKind::Missing && self.was_removed().await {
                    finding = Finding::unchecked(&file.path, &"the part was removed while it was checked");
                }
                self.findings.push(finding);
            }
        }
        let is_whole = self.findings.differences() + self.findings.unchecked() == before;
        match self.wanted {
            // The rows of a file that is damaged have nothing to add but noise.
            Some(wanted) if is_whole => check_part(self.store, self.part, wanted, self.findings).await,
            _ => (self.findings, RowsRead::default()),
        }
    }
}

impl PartJob {
    /// Whether the part is live no more, which no pin kept from happening.
    async fn was_removed(&self) -> bool {
        let Some(catalog) = &self.moving else {
            return false;
        };
        let now = catalog.refresh().await;
        now.is_ok_and(|view| view.parts.iter().all(|part| part.ulid != self.part.ulid))
    }
}

fn expected(file: &FileEntry) -> String {
    match file.crc32c {
        0 => format!("{} bytes", file.bytes),
        crc32c => format!("{} bytes with CRC-32C `{crc32c:08x}`", file.bytes),
    }
}

fn object_of(error: &ArchiveError) -> &str {
    match error {
        ArchiveError::Store { object, .. }
        | ArchiveError::Corrupt { object, .. }
        | ArchiveError::NewerVersion { object, .. }
        | ArchiveError::Key { object, .. } => object,
        _ => "the catalog",
    }
}
