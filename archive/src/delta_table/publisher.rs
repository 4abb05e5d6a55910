//! Bringing the tables to what a root says.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use delta_kernel::Engine;
use delta_kernel_default_engine::DefaultEngine;
use delta_kernel_default_engine::executor::tokio::TokioMultiThreadExecutor;
use object_store::ObjectStore;
use parking_lot::Mutex;
use ulid::Ulid;

use super::actions::{self, Added, Files};
use super::cleaning::clean;
use super::plan::publishable;
use super::table::{Commit, LOG_RETENTION_DAYS, Outcome, Step, Table};
use crate::{ArchiveError, FileKind, Mask, PartEntry};

/// How often a lost race is run again.
const ATTEMPTS: usize = 8;

/// How long older versions of a table stay in its log.
const LOG_RETENTION: Duration = Duration::from_secs(LOG_RETENTION_DAYS * 86_400);

/// The order in which what comes is told: `series` first, because rows are found by it.
const ORDER: [FileKind; 5] = [
    FileKind::Series,
    FileKind::Metadata,
    FileKind::Exemplars,
    FileKind::Histograms,
    FileKind::Samples,
];

/// Keeps the tables of one archive. What it remembers only spares requests: any number of publishers may run, and one that knows nothing
/// does the same.
pub struct Publisher {
    store: Arc<dyn ObjectStore>,
    dataset: String,
    undelete_days: u64,
    /// The parts in the tables, when this publisher was the last to look.
    known: Mutex<Option<BTreeSet<Ulid>>>,
}

/// What a publication did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Publication {
    /// Parts in the tables.
    pub parts: usize,
    /// Live parts of level 1 and above that wait for a merge: they overlap a published one, or a mask is not applied to them.
    pub waiting: usize,
    /// Files that came, of all tables.
    pub added: u64,
    /// Files that went, of all tables.
    pub removed: u64,
    /// Versions written, of all tables.
    pub commits: u64,
    /// Checkpoints written, of all tables.
    pub checkpoints: u64,
    /// Objects of logs that went because they were too old.
    pub cleaned: u64,
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher")
            .field("dataset", &self.dataset)
            .finish_non_exhaustive()
    }
}

impl Publisher {
    /// A publisher of the archive that lies in the store. `dataset` is its id ([`crate::Format::dataset`]); `undelete_days` is for how many
    /// days a file that is live no more stays there, which a table says of itself when it is made.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>, dataset: impl Into<String>, undelete_days: u64) -> Self {
        Self {
            store,
            dataset: dataset.into(),
            undelete_days,
            known: Mutex::new(None),
        }
    }

    /// Brings the tables to what root `root_n` says: `parts` are all its live parts, `masks` those in force. Tables that are the image of a
    /// later root already are left alone. May be interrupted anywhere and called again.
    ///
    /// # Errors
    /// [`ArchiveError::Store`] when the store does not answer, [`ArchiveError::Corrupt`] when the log of a table is not one (then its
    /// `_delta_log` folder may be deleted, and the next publication makes it anew), [`ArchiveError::Contended`] when others were always first.
    pub async fn publish(
        &self,
        root_n: u64,
        parts: &[Arc<PartEntry>],
        masks: &[Mask],
    ) -> Result<Publication, ArchiveError> {
        let compacted = parts.iter().filter(|part| part.level > 0).count();
        if let Some(published) = self.unchanged(parts, masks) {
            return Ok(Publication {
                parts: published,
                waiting: compacted - published,
                ..Publication::default()
            });
        }
        let store = Arc::clone(&self.store);
        let commit = Commit {
            dataset: self.dataset.clone(),
            root_n,
            undelete_days: self.undelete_days,
        };
        let (parts, masks) = (parts.to_vec(), masks.to_vec());
        *self.known.lock() = None;
        let work = move || publish(&engine(store)?, &commit, &parts, &masks);
        let done = tokio::task::spawn_blocking(work).await;
        let (mut publication, known) =
            done.map_err(|error| ArchiveError::Invalid(format!("publication: {error}")))??;
        *self.known.lock() = known;
        if publication.checkpoints > 0 {
            for kind in ORDER {
                publication.cleaned += clean(&*self.store, kind, LOG_RETENTION).await?;
            }
        }
        Ok(Publication {
            waiting: compacted.saturating_sub(publication.parts),
            ..publication
        })
    }

    /// How many parts are in the tables, when this publisher left them as they have to be.
    fn unchanged(&self, parts: &[Arc<PartEntry>], masks: &[Mask]) -> Option<usize> {
        let known = self.known.lock();
        let known = known.as_ref()?;
        let wanted = publishable(parts, masks, &known.iter().copied().collect());
        let is_same = wanted.len() == known.len() && wanted.iter().all(|part| known.contains(&part.ulid));
        is_same.then_some(known.len())
    }
}

/// The kernel's engine over a store. It reads while it writes, each blocking a thread of its runtime, so it has one of its own with two. That must
/// end where blocking is allowed, as must all that is made of the engine.
pub(super) fn engine(store: Arc<dyn ObjectStore>) -> Result<DefaultEngine<TokioMultiThreadExecutor>, ArchiveError> {
    let executor = TokioMultiThreadExecutor::new_owned_runtime(Some(2), None);
    let executor = executor.map_err(|error| ArchiveError::Write(std::io::Error::other(error.to_string())))?;
    Ok(DefaultEngine::builder(store)
        .with_task_executor(Arc::new(executor))
        .build())
}

type Known = Option<BTreeSet<Ulid>>;

fn publish(
    engine: &dyn Engine,
    commit: &Commit,
    parts: &[Arc<PartEntry>],
    masks: &[Mask],
) -> Result<(Publication, Known), ArchiveError> {
    let mut publication = Publication::default();
    for _ in 0..ATTEMPTS {
        let series = Table::open(engine, FileKind::Series, &commit.dataset)?;
        if series.as_ref().is_some_and(|table| table.root_n > commit.root_n) {
            return Ok((publication, None));
        }
        let paths = series.iter().flat_map(|table| &table.paths);
        let published: HashSet<Ulid> = paths
            .filter_map(|path| actions::part_at(FileKind::Series, path))
            .collect();
        let wanted = publishable(parts, masks, &published);
        if series.is_none() && wanted.is_empty() {
            return Ok((publication, Some(BTreeSet::new())));
        }
        if bring(engine, commit, series, &wanted, &mut publication)? == Outcome::Done {
            publication.parts = wanted.len();
            return Ok((publication, Some(wanted.iter().map(|part| part.ulid).collect())));
        }
    }
    Err(ArchiveError::Contended {
        object: "series/_delta_log".to_owned(),
        attempts: ATTEMPTS,
    })
}

/// `series` gains, the others change, `series` loses.
fn bring(
    engine: &dyn Engine,
    commit: &Commit,
    series: Option<Table>,
    wanted: &[Arc<PartEntry>],
    publication: &mut Publication,
) -> Result<Outcome, ArchiveError> {
    let mut series = Some(series);
    let mut loses = false;
    for kind in ORDER {
        let files = actions::files(kind, wanted);
        let table = match series.take() {
            Some(series) => series,
            None => Table::open(engine, kind, &commit.dataset)?,
        };
        let Some(table) = table else {
            let outcome = Table::create(engine, kind, &files, commit)?;
            if outcome == Outcome::Lost {
                return Ok(outcome);
            }
            publication.commits += 1;
            publication.added += files.len() as u64;
            continue;
        };
        if table.root_n > commit.root_n {
            // A later publication is at work on the tables that come after this one as well.
            return Ok(Outcome::Lost);
        }
        let (adds, removes) = difference(&table, &files);
        let (removes, step) = match kind {
            FileKind::Series if !removes.is_empty() => {
                loses = true;
                (BTreeSet::new(), Step::Before)
            }
            _ => (removes, Step::Last),
        };
        if write(engine, commit, &table, (&adds, &removes), step, publication)? == Outcome::Lost {
            return Ok(Outcome::Lost);
        }
    }
    if !loses {
        return Ok(Outcome::Done);
    }
    let files = actions::files(FileKind::Series, wanted);
    let Some(table) = Table::open(engine, FileKind::Series, &commit.dataset)? else {
        return Ok(Outcome::Lost);
    };
    let (adds, removes) = difference(&table, &files);
    write(engine, commit, &table, (&adds, &removes), Step::Last, publication)
}

type Difference<'a> = (Vec<(&'a String, &'a Added)>, BTreeSet<&'a String>);

fn difference<'a>(table: &'a Table, files: &'a Files) -> Difference<'a> {
    let adds = files.iter().filter(|(path, _)| !table.paths.contains(*path)).collect();
    let removes = table.paths.iter().filter(|path| !files.contains_key(*path)).collect();
    (adds, removes)
}

/// One commit, if there is anything to say.
fn write(
    engine: &dyn Engine,
    commit: &Commit,
    table: &Table,
    (adds, removes): (&[(&String, &Added)], &BTreeSet<&String>),
    step: Step,
    publication: &mut Publication,
) -> Result<Outcome, ArchiveError> {
    if adds.is_empty() && removes.is_empty() {
        return Ok(Outcome::Done);
    }
    let outcome = table.commit(engine, adds, removes, commit, step)?;
    if outcome == Outcome::Lost {
        return Ok(outcome);
    }
    publication.commits += 1;
    publication.added += adds.len() as u64;
    publication.removed += removes.len() as u64;
    publication.checkpoints += u64::from(outcome == Outcome::Checkpointed);
    Ok(Outcome::Done)
}
