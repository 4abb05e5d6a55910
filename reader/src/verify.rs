//! `reader verify`: proof that an archive, or what was exported from it, is what it should be.
//!
//! Three levels, each of which includes the ones before: files by their checksums, rows by digests that were taken before they were
//! encoded, restore by blocks that are read back and compared with the archive's own rows. All damage is told, none stops the check of
//! the rest. It must never take a store that does not answer for damage, nor silence for proof.

mod archive;
mod block_digests;
mod block_files;
mod comparison;
mod exported;
mod finding;
mod level;
mod part_rows;
mod report;
mod stored_form;
mod stretches;
mod trial;

use std::panic::resume_unwind;
use std::path::PathBuf;

use emberkeep_model::{TenantId, TimeRange};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinError;

pub use self::block_digests::{BlockDigests, SeriesDigests};
pub use self::comparison::CompareStarts;
pub use self::finding::{Finding, FindingKind, Findings};
pub use self::level::Level;
pub use self::report::{Checked, Verdict, VerifyReport};
pub use self::stored_form::StoredForm;
pub(crate) use self::stored_form::observations;
use crate::{Query, ReplicaLabels, Selection};

/// What is verified, and how.
#[derive(Debug, Clone)]
pub struct Verify {
    /// How deep.
    pub level: Level,
    /// Whose data; none for everybody's in an archive, and for the default tenant's in a directory of blocks.
    pub tenant: Option<TenantId>,
    /// Which time: parts that hold something of it are checked whole; blocks are compared inside it.
    pub range: TimeRange,
    /// Which series: of them rows are read and compared; files are checked whole.
    pub selection: Selection,
    /// Labels that were taken off when the blocks were made.
    pub strip: ReplicaLabels,
    /// When start timestamps of blocks are compared.
    pub starts: CompareStarts,
    /// How many parts or blocks are checked at the same time.
    pub jobs: usize,
    /// How many findings are listed.
    pub most_findings: usize,
    /// Where blocks are made on trial.
    pub scratch: PathBuf,
}

impl Verify {
    fn query(&self, tenant: TenantId, range: TimeRange) -> Query {
        Query {
            tenant,
            range,
            selection: self.selection.clone(),
        }
    }
}

/// What a task returned; its panic goes on here.
fn joined<T>(done: Result<T, JoinError>) -> T {
    done.unwrap_or_else(|error| match error.try_into_panic() {
        Ok(panic) => resume_unwind(panic),
        Err(error) => unreachable!("nobody ends the tasks of a verification: {error}"),
    })
}

/// The progress on standard error, hidden when that is no terminal.
#[must_use]
pub fn progress() -> ProgressBar {
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{bar:30} {percent:>3} %  {msg}  {elapsed}, {eta} left");
    bar.set_style(style.expect("the template is constant"));
    bar
}
