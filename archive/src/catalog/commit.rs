//! The receiver's side of the catalog: which number comes next, and creating the record with that number (DESIGN §5.1-2).

use object_store::ObjectStore;

use super::load::{list_log, load, newest_root, parse};
use super::{CommitRecord, PartEntry, Root};
use crate::{ArchiveError, Created, names, put_create};

/// Where a receiver's log ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextSequence {
    /// The number of the next record: 1 + max(newest record, watermark in the newest root).
    pub seq: u64,
    /// The newest record, by which a restarted receiver knows what of its WAL and staging is committed. Every collection of
    /// the log keeps it. None as well when a rebuild has passed it over.
    pub newest_record: Option<CommitRecord>,
    /// When the newest root was made, milliseconds since 1970: a clock that is behind it is not believable.
    pub root_created_at: Option<i64>,
}

/// What became of an attempt to commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Committed {
    /// The record is part of the archive, now or since an earlier attempt with the same nonce.
    Done,
    /// An earlier incarnation of this receiver holds the number: the record is our past. Trim what it covers, and go on with
    /// the next number.
    AdoptedEarlier(Box<CommitRecord>),
    /// A later incarnation exists: stop accepting writes (503) and keep the WAL.
    Fenced {
        /// The later incarnation.
        epoch: u64,
    },
    /// The number was folded and collected long ago, so a record under it would never be seen: ask [`next_sequence`] again,
    /// and upload under the new number.
    Outrun {
        /// The last folded sequence.
        watermark: u64,
    },
}

/// Looks up where a receiver's log ends: one listing of roots, one of the log, and at most two objects.
///
/// # Errors
/// As [`Catalog::refresh`](super::Catalog::refresh).
pub async fn next_sequence(store: &dyn ObjectStore, receiver: &str) -> Result<NextSequence, ArchiveError> {
    let root = newest_root(store).await?;
    let log = list_log(store).await?;
    let newest = log
        .into_iter()
        .filter(|(owner, _)| owner == receiver)
        .map(|(_, seq)| seq)
        .max();
    let watermark = root
        .as_ref()
        .and_then(|root| root.watermarks.get(receiver))
        .map_or(0, |mark| mark.seq);
    let newest_record = match newest {
        Some(seq) => Some(load_record(store, receiver, seq).await?),
        None => None,
    };
    // The newest record is never below the watermark, but after a rebuild, which sets the watermark above all records. Then it counts only
    // when the rebuild has seen it.
    let counts = |record: &CommitRecord| {
        record.seq >= watermark
            || root
                .as_ref()
                .is_some_and(|root| record.parts.iter().all(|part| holds(root, part)))
    };
    let newest_record = newest_record.filter(counts);
    Ok(NextSequence {
        seq: newest.unwrap_or(0).max(watermark).saturating_add(1),
        newest_record,
        root_created_at: root.map(|root| root.created_at),
    })
}

/// Creates a commit record whose files are uploaded already. Idempotent: call it again with the same record after any error.
///
/// # Errors
/// [`ArchiveError::Store`] when it is not known whether the record exists: call again with the same record.
/// [`ArchiveError::Invalid`] for a record that breaks the rules of names.
pub async fn commit(store: &dyn ObjectStore, record: &CommitRecord) -> Result<Committed, ArchiveError> {
    record.check()?;
    let path = names::log_record(&record.receiver, record.seq);
    match put_create(store, &path, record, &record.nonce).await? {
        Created::Ours => {
            let root = newest_root(store).await?;
            Ok(root.map_or(Committed::Done, |root| judge(record, &root)))
        }
        Created::Theirs(bytes) => {
            let theirs: CommitRecord = parse(&path, &bytes)?;
            Ok(if theirs.epoch > record.epoch {
                Committed::Fenced { epoch: theirs.epoch }
            } else {
                Committed::AdoptedEarlier(Box::new(theirs))
            })
        }
    }
}

/// Whether a record that was just created counts, given the newest root.
///
/// A creation protects only against names that exist *now*. A receiver that stalled long enough for its number to be used,
/// folded and collected would succeed in creating a record that nobody will ever read. A watermark at exactly our sequence may be this
/// very record, folded in the moment between, or the record of a twin with a lower epoch that went on while we stalled, and that is
/// collected because more came after it. The root's own parts tell; parts that were merged away within that moment are flushed again, and
/// equal rows are one.
fn judge(record: &CommitRecord, root: &Root) -> Committed {
    let Some(mark) = root.watermarks.get(&record.receiver) else {
        return Committed::Done;
    };
    if mark.seq < record.seq {
        Committed::Done
    } else if mark.epoch > record.epoch {
        Committed::Fenced { epoch: mark.epoch }
    } else if mark.seq == record.seq && record.parts.iter().all(|part| holds(root, part)) {
        Committed::Done
    } else {
        Committed::Outrun { watermark: mark.seq }
    }
}

/// Whether a flushed part is live in a root as it is.
fn holds(root: &Root, part: &PartEntry) -> bool {
    root.level0.iter().any(|live| live.ulid == part.ulid)
}

/// Reads one commit record.
pub(super) async fn load_record(
    store: &dyn ObjectStore,
    receiver: &str,
    seq: u64,
) -> Result<CommitRecord, ArchiveError> {
    let path = names::log_record(receiver, seq);
    let record: CommitRecord = load(store, &path).await?;
    if record.receiver != receiver || record.seq != seq {
        let reason = format!("it says that it is record {} of `{}`", record.seq, record.receiver);
        return Err(ArchiveError::corrupt(path, reason));
    }
    Ok(record)
}
