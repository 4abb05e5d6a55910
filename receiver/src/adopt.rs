//! `receiver adopt DIR`: brings into the archive what a fenced or dead receiver left in its data directory (DESIGN §5.2).
//!
//! The directory gets a receiver id of its own, and then it is drained as any other. Not a new epoch of the old id: whether the
//! directory was fenced cannot be told from it, and a new epoch would fence the very process that took over. What makes this
//! exactly once, wherever it crashes: before the id changes, every staged part that is in the archive already (the newest record
//! of the old id has its nonce, or it is live) is removed with its part of the log; a crash before the change leaves the old
//! receiver, one after it a receiver of its own that any start completes, and doing it again is the same with the id that is
//! there by then. Rows that a copy of the directory committed under the old id are equal rows, of which readers show one.
//! It must never touch a directory that a process works on, nor one that belongs to another archive.

mod command;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use emberkeep_archive::{Catalog, Format, ObjectStore, Ulid, fresh_nonce, names, next_sequence};
use emberkeep_disk::{FileSystem, read_to_vec, replace_durable};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;

pub use self::command::AdoptFlags;
pub(crate) use self::command::run;
use crate::error::ReceiverError;
use crate::flush::Flush;
use crate::flusher::blocking;
use crate::identity::Identity;
use crate::log_keys::LogKeys;
use crate::staging::{self, StagedPart};
use crate::{Components, Receiver, Settings};

/// Far more than the identity takes.
const IDENTITY_BYTES_MAX: u64 = 1 << 16;

/// What an adoption found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Adoption {
    /// The receiver that left the directory.
    pub before: String,
    /// The receiver under which it was committed; none when nothing was left to commit.
    pub receiver: Option<String>,
    /// Staged parts that turned out to be in the archive already.
    pub known: usize,
    /// Staged parts that were not.
    pub staged: usize,
    /// Segments of the log that were there.
    pub segments: u64,
    /// Commits that were made.
    pub commits: u64,
    /// Float samples in them, as far as they are not merged with others yet.
    pub samples: u64,
    /// Native histograms in them, likewise.
    pub histograms: u64,
}

/// Commits everything in the data directory of the settings, and returns when nothing is left there. The caller holds the
/// directory's lock.
///
/// # Errors
/// [`ReceiverError::Damaged`] when it is no data directory or belongs to another archive, [`ReceiverError::Left`] when there are
/// records that cannot be read; otherwise whatever keeps a receiver from starting or draining. It can always be done again.
pub async fn adopt(components: Components, settings: Settings) -> Result<Adoption, ReceiverError> {
    let (fs, store) = (components.fs.clone(), components.store.clone());
    let flush = Arc::new(opened(&fs, &settings).await?);
    check_archive(&*store, &flush, &settings).await?;
    let before = flush.identity.lock().receiver().to_owned();
    let mut adoption = Adoption {
        before: before.clone(),
        ..Adoption::default()
    };
    let staged = {
        let (fs, path, keys) = (fs.clone(), settings.staging_path(), settings.keys.clone());
        blocking(move || staging::resume(&fs, &path, &keys)).await?
    };
    let (known, left) = apart(&store, &before, staged).await?;
    (adoption.known, adoption.staged) = (known.len(), left.len());
    adoption.segments = {
        let flush = flush.clone();
        blocking(move || {
            known.iter().try_for_each(|part| {
                flush.trim_replaced(part)?;
                part.remove(&*flush.fs)
            })?;
            // Nothing is changed for a log that cannot be read for want of its key.
            let keys = LogKeys(flush.keys.clone());
            let wal_id = flush.identity.lock().wal_id();
            emberkeep_wal::survey_sealed(&*flush.fs, &flush.wal_path, wal_id, &[], Some(&keys))?;
            Ok(emberkeep_wal::usage(&*flush.fs, &flush.wal_path)?.segments)
        })
        .await?
    };
    if adoption.staged == 0 && adoption.segments == 0 {
        blocking(move || flush.check_empty()).await?;
        return Ok(adoption);
    }
    let receiver = fresh_nonce().to_lowercase();
    {
        let (path, receiver) = (settings.identity_path(), receiver.clone());
        blocking(move || rename_receiver(&*fs, &path, &receiver)).await?;
    }
    tracing::info!(before, receiver, "the data directory has a receiver id of its own now");
    drain(components, settings).await?;
    told(&store, &receiver, &mut adoption).await?;
    adoption.receiver = Some(receiver);
    Ok(adoption)
}

/// The data directory, which must be one.
async fn opened(fs: &Arc<dyn FileSystem>, settings: &Settings) -> Result<Flush, ReceiverError> {
    let (fs, settings) = (fs.clone(), settings.clone());
    blocking(move || {
        let path = settings.identity_path();
        // Opening would make an identity where there is none.
        read_to_vec(&*fs, &path, IDENTITY_BYTES_MAX).map_err(ReceiverError::disk(&path))?;
        for directory in [settings.wal_path(), settings.staging_path()] {
            emberkeep_disk::create_dir_all_durable(&*fs, &directory).map_err(ReceiverError::disk(directory))?;
        }
        Ok(Flush {
            identity: Arc::new(Mutex::new(Identity::open(fs.clone(), &path)?)),
            staging: settings.staging_path(),
            wal_path: settings.wal_path(),
            keys: settings.keys.clone(),
            fs,
        })
    })
    .await
}

/// Refuses a store that is not the archive of the directory, before anything is changed in either.
async fn check_archive(store: &dyn ObjectStore, flush: &Flush, settings: &Settings) -> Result<(), ReceiverError> {
    let wrong = |reason: String| ReceiverError::Damaged {
        path: settings.identity_path(),
        reason,
    };
    let held = Format::load(store).await?;
    let belongs = flush.identity.lock().dataset().to_owned();
    match held {
        // It died before it reached its store for the first time, so this is a first start.
        None if belongs.is_empty() => Ok(()),
        None => Err(wrong(format!(
            "it belongs to archive `{belongs}`, but the store that was given holds no archive: see `--objstore.config-file`"
        ))),
        Some(held) if !belongs.is_empty() && held.dataset != belongs => Err(wrong(format!(
            "it belongs to archive `{belongs}`, but the store holds archive `{}`: give the right store",
            held.dataset
        ))),
        Some(_) => Ok(()),
    }
}

/// Which staged parts are in the archive already, and which are not.
async fn apart(
    store: &Arc<dyn ObjectStore>,
    receiver: &str,
    staged: Vec<StagedPart>,
) -> Result<(Vec<StagedPart>, Vec<StagedPart>), ReceiverError> {
    if staged.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let newest = next_sequence(&**store, receiver).await?.newest_record;
    let newest = newest.map(|record| record.nonce);
    let live: HashSet<Ulid> = {
        let view = Catalog::new(store.clone()).refresh().await?;
        view.parts.iter().map(|part| part.ulid).collect()
    };
    Ok(staged
        .into_iter()
        .partition(|part| newest.as_ref() == Some(&part.manifest.nonce) || live.contains(&part.manifest.part.ulid)))
}

/// Gives the directory another receiver id. Everything else stays: the log keeps its name and its numbers.
fn rename_receiver(fs: &dyn FileSystem, path: &Path, receiver: &str) -> Result<(), ReceiverError> {
    let damaged = |reason: String| ReceiverError::Damaged {
        path: PathBuf::from(path),
        reason,
    };
    let bytes = read_to_vec(fs, path, IDENTITY_BYTES_MAX).map_err(ReceiverError::disk(path))?;
    let mut identity: serde_json::Value =
        serde_json::from_slice(&bytes).map_err(|error| damaged(format!("it is not JSON: {error}")))?;
    let Some(field) = identity.get_mut("receiver") else {
        return Err(damaged("it names no receiver".to_owned()));
    };
    *field = receiver.into();
    let bytes = serde_json::to_vec_pretty(&identity).expect("JSON becomes JSON");
    replace_durable(fs, path, &bytes).map_err(ReceiverError::disk(path))
}

/// A life of the receiver that only commits.
async fn drain(components: Components, settings: Settings) -> Result<(), ReceiverError> {
    let receiver = Receiver::start(components, settings, &mut Registry::default()).await?;
    let drained = receiver.drain().await;
    receiver.shutdown().await;
    drained
}

/// What the archive shows of it.
async fn told(store: &Arc<dyn ObjectStore>, receiver: &str, adoption: &mut Adoption) -> Result<(), ReceiverError> {
    adoption.commits = next_sequence(&**store, receiver).await?.seq - 1;
    let view = Catalog::new(store.clone()).refresh().await?;
    for part in &view.parts {
        let is_ours = |file: &emberkeep_archive::FileEntry| {
            let parsed = file.location().ok().and_then(|path| names::parse_level0(&path));
            parsed.is_some_and(|(owner, ..)| owner == receiver)
        };
        if part.files.first().is_some_and(is_ours) {
            adoption.samples += part.samples();
            adoption.histograms += part.histograms();
        }
    }
    Ok(())
}
