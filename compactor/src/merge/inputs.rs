//! The inputs of a merge: brought to local disk, opened, and when they are too many, merged into fewer first.

use std::collections::BTreeSet;
use std::io::{BufWriter, Write};
use std::sync::Arc;

use emberkeep_archive::{
    ArchiveError, ObjectStore, PartEntry, PartInfo, PartOrigin, PartReader, PartSettings, PartWriter, Ulid, WalRange,
    names,
};
use emberkeep_disk::Sequential;
use emberkeep_model::{SeenMetadata, SeriesRuns, TenantId};

use super::pass::{self, Counts, Sink};
use super::scratch::{Scratch, fresh_ulid};
use super::{MergeError, MergeJob, MergeOutcome};

/// Buffer of a file that is being written.
pub(super) const BUFFER_BYTES: usize = 256 << 10;

/// One input, whose files lie on local disk.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) entry: PartEntry,
    pub(super) reader: PartReader,
    /// Made here out of others.
    is_ours: bool,
}

/// All inputs of one round.
#[derive(Debug)]
pub(super) struct Inputs {
    all: Vec<Input>,
    pub(super) window_rows: usize,
    committed_at: i64,
}

impl Input {
    /// What an error of reading it means.
    pub(super) fn error(&self, error: ArchiveError) -> MergeError {
        match self.is_ours {
            true => MergeError::of_disk(&format!("part {}", self.entry.ulid), error),
            false => MergeError::of_input(&self.entry, error),
        }
    }
}

impl Inputs {
    /// Brings all inputs of a job here. Of more than can be merged at once, some are merged into one until they are few enough.
    pub(super) async fn gather(
        store: &Arc<dyn ObjectStore>,
        scratch: &Scratch,
        job: &MergeJob,
        outcome: &mut MergeOutcome,
    ) -> Result<Self, MergeError> {
        let Some(committed_at) = job.inputs.iter().map(PartEntry::known_committed_at).max() else {
            return Err(MergeError::Job("no inputs".to_owned()));
        };
        let names: BTreeSet<Ulid> = job.inputs.iter().map(|entry| entry.ulid).collect();
        if names.len() < job.inputs.len() {
            return Err(MergeError::Job("an input comes twice".to_owned()));
        }
        outcome.bytes_read = job.inputs.iter().map(PartEntry::bytes).sum();
        let most = job.most_inputs();
        let mut here = Vec::new();
        let mut waiting = job.inputs.iter().cloned();
        // Each round makes one of `most`, so the last one has at most that many.
        while waiting.len() + here.len() > most {
            let mut group: Vec<Input> = Vec::new();
            // Those made here come last again, so that no row is rewritten more often than needed.
            for entry in waiting.by_ref().take(most) {
                group.push(bring(store, scratch, entry).await?);
            }
            while group.len() < most && !here.is_empty() {
                group.push(here.remove(0));
            }
            let merged = merge_round(scratch, group, job, outcome).await?;
            here.push(merged);
        }
        for entry in waiting {
            here.push(bring(store, scratch, entry).await?);
        }
        let window_rows = job.window_rows(here.len());
        Ok(Self {
            all: here,
            window_rows,
            committed_at,
        })
    }

    /// Whose rows there are, in order.
    pub(super) fn tenants(&self) -> Result<BTreeSet<TenantId>, MergeError> {
        let names = self.all.iter().flat_map(|input| input.entry.tenants.keys());
        let parsed = names.map(|name| TenantId::parse(name).map_err(|error| MergeError::Job(error.to_string())));
        parsed.collect()
    }

    /// Those that have rows of a tenant.
    pub(super) fn of<'a>(&'a self, tenant: &'a TenantId) -> impl Iterator<Item = &'a Input> {
        let has = |input: &&Input| input.entry.tenants.contains_key(tenant.as_str());
        self.all.iter().filter(has)
    }

    /// The archive that they belong to.
    pub(super) fn dataset(&self) -> String {
        let first = self.all.first().map(|input| input.reader.info().dataset.clone());
        first.unwrap_or_default()
    }

    /// When the newest of them was committed.
    pub(super) fn committed_at(&self) -> i64 {
        self.committed_at
    }

    /// Whether all rows of a tenant were read, and each went somewhere.
    pub(super) fn check(&self, tenant: &TenantId, counts: &Counts) -> Result<(), MergeError> {
        let (mut rows, mut metadata) = (0, 0);
        for input in self.of(tenant) {
            let held = &input.entry.tenants[tenant.as_str()];
            rows += held.samples + held.histograms + held.exemplars;
            metadata += held.metadata;
        }
        if (counts.rows_read, counts.metadata_read) != (rows, metadata) {
            let found = (counts.rows_read, counts.metadata_read);
            let reason = format!(
                "{found:?} rows and variants of `{tenant}` were read of {:?}",
                (rows, metadata)
            );
            return Err(MergeError::Job(reason));
        }
        let kept = counts.rows_written + counts.duplicates + counts.conflicts + counts.masked;
        if kept != rows || counts.metadata_written + counts.metadata_masked != metadata {
            let reason = format!("some of {rows} rows and {metadata} variants of `{tenant}` lie in no window");
            return Err(MergeError::Job(reason));
        }
        Ok(())
    }
}

async fn bring(store: &Arc<dyn ObjectStore>, scratch: &Scratch, entry: PartEntry) -> Result<Input, MergeError> {
    let brought = scratch.bring(&**store, &entry).await;
    brought.map_err(|error| match error {
        error @ ArchiveError::Store { .. } => MergeError::Store(error),
        error => MergeError::of_input(&entry, error),
    })?;
    open(scratch, entry, false).await
}

async fn open(scratch: &Scratch, entry: PartEntry, is_ours: bool) -> Result<Input, MergeError> {
    match PartReader::open(scratch.local(), &entry).await {
        Ok(reader) => Ok(Input { entry, reader, is_ours }),
        Err(error) => Err(MergeError::of_input(&entry, error)),
    }
}

/// Merges some inputs into one that stays here; it holds all tenants and times, as a flush does. They are removed.
async fn merge_round(
    scratch: &Scratch,
    group: Vec<Input>,
    job: &MergeJob,
    outcome: &mut MergeOutcome,
) -> Result<Input, MergeError> {
    let ulid = fresh_ulid(0);
    let inputs = Inputs {
        window_rows: job.window_rows(group.len()),
        all: group,
        committed_at: 0,
    };
    let path = |kind| names::level0("merge", 0, ulid, kind);
    let info = PartInfo {
        dataset: inputs.dataset(),
        ulid,
        origin: PartOrigin::Flush {
            receiver: "merge".to_owned(),
            wal: WalRange {
                id: String::new(),
                from: 0,
                to: 0,
            },
        },
    };
    let create = |kind| {
        let made = scratch.make(path(kind).as_ref());
        let made = made.map_err(|error| ArchiveError::Write(std::io::Error::other(error)))?;
        Ok(BufWriter::with_capacity(BUFFER_BYTES, Sequential::new(made)))
    };
    let disk = |error| MergeError::of_disk(&scratch.place(), error);
    let settings = PartSettings {
        keys: job.settings.keys.clone(),
        ..PartSettings::default()
    };
    let writer = PartWriter::create(create, info, settings).map_err(disk)?;
    let mut round = Round {
        writer,
        place: scratch.place(),
        counts: Counts::default(),
    };
    for tenant in inputs.tenants()? {
        round.counts = Counts::default();
        pass::run(&inputs, &tenant, &mut round).await?;
        inputs.check(&tenant, &round.counts)?;
        // What is written here is read again.
        outcome.duplicates += round.counts.duplicates;
        outcome.conflicts += round.counts.conflicts;
        outcome.rows_read += round.counts.rows_read - round.counts.rows_written;
    }
    let (summary, files) = round.writer.finish().map_err(disk)?;
    for (_, mut file) in files {
        file.flush().map_err(|error| disk(ArchiveError::Write(error)))?;
    }
    for input in &inputs.all {
        scratch.remove_part(&input.entry);
    }
    drop(inputs);
    open(scratch, PartEntry::level0(ulid, "merge", &summary, path), true).await
}

/// What a round writes into: everything into one part.
struct Round<'a, W: Write + Send> {
    writer: PartWriter<'a, W>,
    place: String,
    counts: Counts,
}

impl<W: Write + Send> Sink for Round<'_, W> {
    fn counts(&mut self) -> Option<&mut Counts> {
        Some(&mut self.counts)
    }

    fn series(
        &mut self,
        tenant: &TenantId,
        labels: &emberkeep_model::Labels,
        runs: &mut SeriesRuns,
        seen: &[SeenMetadata],
    ) -> Result<(), MergeError> {
        self.counts.rows_written += runs.len() as u64;
        self.counts.metadata_written += seen.len() as u64;
        let pushed = self.writer.push(tenant, labels, runs, seen);
        pushed.map_err(|error| MergeError::of_disk(&self.place, error))
    }

    fn family(&mut self, tenant: &TenantId, family: &str, seen: SeenMetadata) -> Result<(), MergeError> {
        self.counts.metadata_written += 1;
        let pushed = self.writer.push_family(tenant, family, &[seen]);
        pushed.map_err(|error| MergeError::of_disk(&self.place, error))
    }
}
