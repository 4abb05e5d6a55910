//! One table: what stands in it, and one commit to it. Blocks, because the kernel does; never on a thread of the runtime.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use delta_kernel::committer::FileSystemCommitter;
use delta_kernel::engine::arrow_data::{ArrowEngineData, EngineDataArrowExt};
use delta_kernel::engine_data::FilteredEngineData;
use delta_kernel::transaction::create_table::create_table;
use delta_kernel::transaction::data_layout::DataLayout;
use delta_kernel::transaction::{CommitResult, CommittedTransaction, UpdateTableOperation};
use delta_kernel::{Engine, KernelError, Snapshot, SnapshotRef};

use super::actions::{self, Added, Files};
use super::columns::{self, PARTITIONS};
use crate::{ArchiveError, FileKind};

/// After so many commits a checkpoint says what they add up to. Until then each is read three times by whoever publishes: for the table itself,
/// for the last root in it, and for its files.
const COMMITS_PER_CHECKPOINT: u64 = 20;

/// For how many days others find older versions in the log.
pub(super) const LOG_RETENTION_DAYS: u64 = 30;

/// What writes the tables, as it stands in their history.
const ENGINE: &str = concat!("emberkeep/", env!("CARGO_PKG_VERSION"));

/// Who commits, as of what.
#[derive(Debug, Clone)]
pub(super) struct Commit {
    /// The application of the transaction id: the archive's dataset id.
    pub(super) dataset: String,
    /// Its version: the number of the root.
    pub(super) root_n: u64,
    /// Days for which a file that went may still be read.
    pub(super) undelete_days: u64,
}

/// A table as of its newest version.
pub(super) struct Table {
    kind: FileKind,
    snapshot: SnapshotRef,
    /// The files in it: each batch of the kernel's with the rows that count.
    rows: Vec<(RecordBatch, Vec<bool>)>,
    /// Path of each file, as in the log.
    pub(super) paths: BTreeSet<String>,
    /// The number of the root that it is an image of; 0 when it does not say.
    pub(super) root_n: u64,
}

/// What became of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is the next version of the table.
    Done,
    /// That, and a checkpoint was due.
    Checkpointed,
    /// Another publisher was first: look again.
    Lost,
}

/// Where a table lies in the store, as the kernel wants to hear it; it takes only the path of it.
fn url(kind: FileKind) -> String {
    format!("memory:///{}/", kind.as_str())
}

impl Table {
    /// Reads the log of a table; none when there is no table.
    pub(super) fn open(engine: &dyn Engine, kind: FileKind, dataset: &str) -> Result<Option<Self>, ArchiveError> {
        let failed = |error| failed(kind, error);
        let snapshot = match Snapshot::builder_for(url(kind)).build(engine) {
            Ok(snapshot) => snapshot,
            Err(error) if is_empty_log(&error) => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let txn = snapshot.get_app_id_version(dataset, engine).map_err(failed)?;
        let scan = Arc::clone(&snapshot).scan_builder().build().map_err(failed)?;
        let (mut rows, mut paths) = (Vec::new(), BTreeSet::new());
        for metadata in scan.scan_metadata(engine).map_err(failed)? {
            let (data, mut selected) = metadata.map_err(failed)?.scan_files.into_parts();
            let batch = data.try_into_record_batch().map_err(failed)?;
            // Rows beyond the end of the selection are selected.
            selected.resize(batch.num_rows(), true);
            paths.extend(selected_paths(kind, &batch, &selected)?.into_values());
            rows.push((batch, selected));
        }
        Ok(Some(Self {
            kind,
            snapshot,
            rows,
            paths,
            root_n: txn.and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
        }))
    }

    /// Makes the table with its first files.
    pub(super) fn create(
        engine: &dyn Engine,
        kind: FileKind,
        files: &Files,
        commit: &Commit,
    ) -> Result<Outcome, ArchiveError> {
        let failed = |error| failed(kind, error);
        let builder = create_table(url(kind), Arc::new(columns::of(kind)?), ENGINE, true)
            .with_table_properties([
                (
                    "delta.deletedFileRetentionDuration",
                    format!("interval {} days", commit.undelete_days),
                ),
                (
                    "delta.logRetentionDuration",
                    format!("interval {LOG_RETENTION_DAYS} days"),
                ),
            ])
            .with_data_layout(DataLayout::partitioned(PARTITIONS))
            .with_transaction_id(commit.dataset.clone(), version(commit)?);
        let mut transaction = match builder.build(engine, Box::new(FileSystemCommitter::new())) {
            Ok(transaction) => transaction,
            // It was not there a moment ago.
            Err(_) if Self::open(engine, kind, &commit.dataset)?.is_some() => return Ok(Outcome::Lost),
            Err(error) => return Err(failed(error)),
        };
        if !files.is_empty() {
            let all: Vec<_> = files.iter().collect();
            transaction.add_files(Box::new(ArrowEngineData::new(batch(kind, &all)?)));
        }
        settle(kind, transaction.commit(engine).map_err(failed)?).map(|(outcome, _)| outcome)
    }

    /// Commits files that come and files that go; `last` says whether the table is then an image of the root.
    pub(super) fn commit(
        &self,
        engine: &dyn Engine,
        adds: &[(&String, &Added)],
        removes: &BTreeSet<&String>,
        commit: &Commit,
        last: Step,
    ) -> Result<Outcome, ArchiveError> {
        let failed = |error| failed(self.kind, error);
        let operation = UpdateTableOperation::Custom("PUBLISH".to_owned());
        let builder = Arc::clone(&self.snapshot).update_table(operation, ENGINE, true);
        let builder = builder.with_operation_parameters([("root", Some(commit.root_n.to_string()))]);
        let builder = match last {
            Step::Last => builder.with_transaction_id(commit.dataset.clone(), version(commit)?),
            Step::Before => builder,
        };
        let committer = Box::new(FileSystemCommitter::new());
        let mut transaction = builder.build(engine, committer).map_err(failed)?;
        if !adds.is_empty() {
            transaction.add_files(Box::new(ArrowEngineData::new(batch(self.kind, adds)?)));
        }
        for (batch, selected) in &self.rows {
            let paths = selected_paths(self.kind, batch, selected)?;
            let mut gone = vec![false; batch.num_rows()];
            for (row, path) in &paths {
                gone[*row] = removes.contains(path);
            }
            if gone.contains(&true) {
                let data = Box::new(ArrowEngineData::new(batch.clone()));
                transaction.remove_files(FilteredEngineData::try_new(data, gone).map_err(failed)?);
            }
        }
        let (outcome, committed) = settle(self.kind, transaction.commit(engine).map_err(failed)?)?;
        if let Some(committed) = committed
            && committed.post_commit_stats().commits_since_checkpoint >= COMMITS_PER_CHECKPOINT
            && let Some(snapshot) = committed.post_commit_snapshot()
        {
            snapshot.checkpoint(engine, None).map_err(failed)?;
            return Ok(Outcome::Checkpointed);
        }
        Ok(outcome)
    }
}

/// Whether a commit makes a table an image of its root, or another one follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Another commit follows.
    Before,
    /// None follows.
    Last,
}

fn version(commit: &Commit) -> Result<i64, ArchiveError> {
    i64::try_from(commit.root_n).map_err(|_| ArchiveError::Invalid(format!("root number {}", commit.root_n)))
}

fn batch(kind: FileKind, files: &[(&String, &Added)]) -> Result<RecordBatch, ArchiveError> {
    actions::added(files).map_err(|error| ArchiveError::Invalid(format!("commit to `{}`: {error}", log(kind))))
}

/// A lost race is known by its version being taken. An answer that was lost on its way looks the same, and the next look finds the commit.
fn settle<S>(kind: FileKind, result: CommitResult<S>) -> Result<(Outcome, Option<CommittedTransaction>), ArchiveError> {
    match result {
        CommitResult::Committed(committed) => Ok((Outcome::Done, Some(committed))),
        CommitResult::Conflicted(_) => Ok((Outcome::Lost, None)),
        CommitResult::Retryable(retryable) => Err(failed(kind, retryable.error)),
    }
}

/// The paths of the selected rows of a batch of scan files, by row.
fn selected_paths(
    kind: FileKind,
    batch: &RecordBatch,
    selected: &[bool],
) -> Result<HashMap<usize, String>, ArchiveError> {
    let column = batch
        .column_by_name("path")
        .and_then(|column| column.as_string_opt::<i32>());
    let column = column.ok_or_else(|| ArchiveError::corrupt(log(kind), "the kernel gives no paths"))?;
    let rows = column.iter().zip(selected).enumerate();
    let chosen = rows.filter(|(_, (_, is_selected))| **is_selected);
    Ok(chosen
        .filter_map(|(row, (path, _))| Some((row, path?.to_owned())))
        .collect())
}

fn log(kind: FileKind) -> String {
    format!("{}/_delta_log", kind.as_str())
}

fn is_empty_log(error: &KernelError) -> bool {
    match error {
        KernelError::Backtraced { source, .. } => is_empty_log(source),
        KernelError::EmptyLog | KernelError::FileNotFound(_) => true,
        _ => false,
    }
}

/// The store's own errors can pass, so they are told apart; anything else says that the log is not as we write it.
fn failed(kind: FileKind, error: KernelError) -> ArchiveError {
    match error {
        KernelError::Backtraced { source, .. } => failed(kind, *source),
        KernelError::ObjectStore(source) => ArchiveError::Store {
            object: log(kind),
            source,
        },
        other => ArchiveError::corrupt(log(kind), other),
    }
}
