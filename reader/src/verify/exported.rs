//! A verification of an exported directory: its blocks by themselves, and against the archive.
//!
//! Blocks are taken in the order of their times, those that overlap together, each with the stretch of the archive that it stands for;
//! stretches without a block must be empty in the archive, too. A block that cannot be opened does not stop the rest.

use std::path::Path;
use std::sync::Arc;

use emberkeep_archive::ObjectStore;
use emberkeep_model::TimeRange;
use emberkeep_model::head::HeadKinds;
use emberkeep_tsdb::BlockReader;
use futures::StreamExt;
use indicatif::ProgressBar;

use super::block_files::{blocks, check_metas, walk};
use super::comparison::{CompareStarts, Comparison, of_block};
use super::finding::{Finding, Findings};
use super::level::Level;
use super::part_rows::{PART_ADVICE, RowsRead};
use super::report::{Checked, VerifyReport, moment};
use super::stretches::{Block, Group, gaps, groups, shown};
use super::{BlockDigests, Verify, joined};
use crate::export::windows_with_data;
use crate::replicas::MergedScan;
use crate::scan::{Ground, Opened};
use crate::{Look, Query, ReaderError, ReplicaLabels, SeriesReader, Sources};

impl Verify {
    /// Checks a directory of blocks; against the archive at level `restore`.
    ///
    /// # Errors
    /// When the directory cannot be listed or has no block, and when heads or archive cannot be looked at. What is wrong with the blocks
    /// is in the report.
    pub async fn exported(
        &self,
        sources: &Sources,
        directory: &Path,
        bar: &ProgressBar,
    ) -> Result<VerifyReport, ReaderError> {
        let mut findings = Findings::new(self.most_findings);
        let mut checked = Checked::default();
        let blocks = blocks(directory, &mut findings, &mut checked)?;
        bar.set_length(blocks.len() as u64);
        let report = |checked, findings: &Findings| VerifyReport {
            exported: Some(directory.display().to_string()),
            ..VerifyReport::new(self.level, checked, findings)
        };
        if self.level < Level::Restore {
            self.alone(blocks, bar, &mut findings).await;
            bar.finish_and_clear();
            return Ok(report(checked, &findings));
        }
        let tenant = self.tenant.clone().unwrap_or_default();
        let query = self.query(tenant, self.compared_range(&blocks));
        sources.must_hold_something().await?;
        let who = format!("verification of `{}`", directory.display());
        let pinned = sources.pinned_look(&query, HeadKinds::Samples, &who).await?;
        let (root, created_at) = (pinned.look.view.root_n, pinned.look.view.root_created_at);
        let side = Side {
            store: Arc::clone(sources.store()),
            look: pinned.look.clone(),
            query,
            strip: self.strip.clone(),
            starts: self.starts,
        };
        let done = self.against_archive(blocks, &side, directory, bar, &mut findings, &mut checked);
        let done = done.await;
        pinned.release().await;
        done?;
        bar.finish_and_clear();
        Ok(VerifyReport {
            root,
            root_created_at: moment(created_at),
            ..report(checked, &findings)
        })
    }

    /// From the first sample to the last, where nothing else is said.
    fn compared_range(&self, blocks: &[Block]) -> TimeRange {
        let first = blocks.iter().map(|block| block.meta.min_time).min().unwrap_or(i64::MIN);
        let last = blocks.iter().map(|block| block.meta.max_time).max().unwrap_or(i64::MAX);
        TimeRange {
            start: if self.range.start == i64::MIN {
                first
            } else {
                self.range.start
            },
            end: if self.range.end == i64::MAX {
                last
            } else {
                self.range.end
            },
        }
    }

    async fn alone(&self, blocks: Vec<Block>, bar: &ProgressBar, findings: &mut Findings) {
        let walks = blocks.into_iter().map(|block| {
            let found = Findings::new(self.most_findings);
            async move { tokio::task::spawn_blocking(move || walk(&block.path, found)).await }
        });
        let mut walks = futures::stream::iter(walks).buffer_unordered(self.jobs);
        while let Some(done) = walks.next().await {
            findings.merge(joined(done));
            bar.inc(1);
        }
    }

    async fn against_archive(
        &self,
        blocks: Vec<Block>,
        side: &Side,
        directory: &Path,
        bar: &ProgressBar,
        findings: &mut Findings,
        checked: &mut Checked,
    ) -> Result<(), ReaderError> {
        let groups = groups(blocks, side.query.range);
        let gaps = gaps(&groups, side.query.range);
        let mut stretches: Vec<Group> = groups;
        for gap in gaps {
            let query = Query {
                range: gap,
                ..side.query.clone()
            };
            let windows = windows_with_data(&side.store, &side.look, &query, HeadKinds::Samples).await?;
            stretches.extend(windows.into_iter().map(|window| Group {
                range: window.intersect(gap),
                paths: Vec::new(),
            }));
        }
        bar.set_length(stretches.len() as u64);
        let object = directory.display().to_string();
        let compared = stretches.into_iter().map(|group| {
            let (side, object, found) = (side.clone(), object.clone(), Findings::new(self.most_findings));
            async move { tokio::spawn(side.compare(group, object, found)).await }
        });
        let mut compared = futures::stream::iter(compared).buffer_unordered(self.jobs);
        while let Some(done) = compared.next().await {
            let (found, read) = joined(done);
            findings.merge(found);
            checked.add_compared(read);
            bar.inc(1);
        }
        Ok(())
    }
}

/// The archive's side of the comparison.
#[derive(Debug, Clone)]
struct Side {
    store: Arc<dyn ObjectStore>,
    look: Look,
    query: Query,
    strip: ReplicaLabels,
    starts: CompareStarts,
}

impl Side {
    async fn compare(self, group: Group, directory: String, mut findings: Findings) -> (Findings, RowsRead) {
        let object = match group.paths.as_slice() {
            [only] => only.display().to_string(),
            _ => format!("{directory}, {}", shown(group.range)),
        };
        match self.run(group, &object, &mut findings).await {
            Ok(read) => (findings, read),
            Err(error) => {
                findings.push(Finding::of_reader(
                    &object,
                    "an archive that can be read",
                    &error,
                    PART_ADVICE,
                ));
                (findings, RowsRead::default())
            }
        }
    }

    async fn run(&self, group: Group, object: &str, findings: &mut Findings) -> Result<RowsRead, ReaderError> {
        let mut readers = Vec::new();
        for path in &group.paths {
            match BlockReader::open(path) {
                Ok(reader) => readers.push(reader),
                Err(error) => findings.push(of_block(&path.display().to_string(), &error)),
            }
        }
        let query = Query {
            range: group.range,
            ..self.query.clone()
        };
        let opened = Opened::open(
            Ground::of(&self.store, &self.look),
            &query,
            HeadKinds::Samples,
            usize::MAX,
        )
        .await?;
        let mut archive = if self.strip.is_empty() {
            SeriesReader::archived(opened.scan().await?, Vec::new())
        } else {
            SeriesReader::merged(MergedScan::open(&opened, &self.strip, usize::MAX).await?, Vec::new())
        };
        let mut blocks = BlockDigests::new(readers, group.range);
        let comparison = Comparison {
            archive: &mut archive,
            blocks: &mut blocks,
            object,
            starts: self.starts,
            findings,
        };
        let read = comparison.run().await?;
        check_metas(&blocks, findings);
        Ok(read)
    }
}
