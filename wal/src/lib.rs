//! The write-ahead log: what was acknowledged, on local disk, until it is in a committed part.
//!
//! One directory holds the segments of one WAL id. [`Wal`] appends records through one writer thread with group commit,
//! [`survey`] and [`replay`] read them back after a crash, [`remove`] trims what staged parts have replaced. The format is drawn in
//! `docs/formats/wal.md`.
//!
//! The log knows requests as bytes with a tenant, an arrival time and a verdict; it must never decode or judge them. It must
//! never answer an append before the record and the name of its segment are durable, and never delete bytes that it could
//! not read.

mod answer;
mod attempts;
mod error;
mod format;
mod id;
mod options;
mod pending;
mod position;
mod prepared;
mod preparer;
mod queue;
mod record;
mod recovery;
mod scan;
mod sealing;
mod segment;
mod set_aside;
mod shortage;
mod spare;
mod stats;
mod survey;
mod trim;
mod verdict;
mod wal;
mod writer;

pub use error::{AppendError, WalError};
pub use id::{WalId, WalIdError};
pub use options::{Options, Purpose, RecoveryOptions};
pub use pending::{Pending, PendingAppend, PendingRotation};
pub use position::{Position, SegmentRange};
pub use record::{Protocol, Record, RecordView};
pub use recovery::{Damage, DamageKind, NextSegment, Recovery, Refusal, Visit, recover, replay};
pub use sealing::{OpenError, RecordSealing, SegmentSealing};
pub use stats::{SYNC_BUCKETS, Stats};
pub use survey::{Survey, survey, survey_sealed};
pub use trim::{Usage, remove, usage};
pub use verdict::Verdict;
pub use wal::Wal;
