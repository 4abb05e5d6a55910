//! Intake: a decompressed body becomes a batch and a verdict.
//!
//! Live, every item is judged and what is refused goes into the verdict. In replay the verdict is applied as it stands: the same
//! decode, nothing decided anew, whatever the clock, the limits or the program say by then.
//!
//! Ordinals count the items of a request in wire order from 0, those of refused series included: in each series entry its float
//! samples, histograms, exemplars and metadata, and after all series the metadata of families. Version 1 of the validator counted
//! and kept float samples only; its records are replayed so for ever.
//!
//! A malformed body is refused whole. What was stored before decides nothing here: it only saves looking again at labels that were
//! accepted once, which the limits of one process accept for ever.

mod entry;
mod histogram;
mod items;
mod plain;
mod room;
mod rules;
mod scan;
mod walk;

use emberkeep_model::{Labels, TenantId};
use emberkeep_proto::WireError;
use emberkeep_proto::content::WriteProtocol;
use emberkeep_wal::Verdict;

pub(crate) use self::rules::Rules;
use self::walk::Walk;
use crate::batch::{Batch, Counts};
use crate::series_table::SeriesTable;

/// The rules by which a verdict was found; goes into the record.
pub(crate) const VALIDATOR_VERSION: u32 = 2;

/// The version that knew float samples only.
const FLOATS_ONLY: u32 = 1;

/// How much of the labels of a bad series is told to the sender.
const SHOWN_BYTES_MAX: usize = 400;

/// How much of a refusal is told, the reason included, which comes last.
const TOLD_BYTES_MAX: usize = 700;

/// What a request holds and what became of it.
#[derive(Debug)]
pub(crate) struct Intake<'a> {
    pub(crate) batch: Batch<'a>,
    pub(crate) verdict: Verdict,
    /// Items in the request.
    pub(crate) sent: Counts,
    /// Of those, refused because more than ten minutes ahead.
    pub(crate) n_ahead: usize,
    /// Of those, refused for other reasons.
    pub(crate) n_refused: usize,
    /// Series refused although no item was.
    pub(crate) n_bad_series: usize,
    /// The first refusal, for the sender.
    pub(crate) first_refusal: Option<String>,
}

/// Who decides: the rules, or a recorded verdict.
#[derive(Debug, Clone, Copy)]
enum Judge<'a> {
    Rules(&'a Rules<'a>),
    Recorded(&'a Verdict),
}

/// A body that cannot be taken in at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IntakeError {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("the request expands to more than {0} bytes of labels and samples")]
    TooLarge(usize),
    #[error("the request holds {found} {what}, more than {limit}: send smaller requests or raise the limit")]
    TooMany {
        found: usize,
        what: &'static str,
        limit: usize,
    },
    #[error("the recorded verdict keeps what cannot be read: {0}")]
    Contradiction(String),
    #[error("verdict of validator version {0}, this program knows {VALIDATOR_VERSION}: upgrade")]
    NewerValidator(u32),
}

/// A decompressed body, who sent it, and the table in which its series may be known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a, 't> {
    pub(crate) tenant: &'t TenantId,
    pub(crate) protocol: WriteProtocol,
    pub(crate) body: &'a [u8],
    pub(crate) table: &'t SeriesTable,
}

/// Judges a live request. Symbols are expanded for each series that names them, so the batch has a bound of its own.
#[inline(never)]
pub(crate) fn judge<'a>(request: Request<'a, '_>, rules: &Rules<'_>) -> Result<Intake<'a>, IntakeError> {
    Walk::new(Judge::Rules(rules), Verdict::new(VALIDATOR_VERSION)).request(request)
}

/// Takes a recorded request in again, as its verdict says.
pub(crate) fn replay<'a>(request: Request<'a, '_>, verdict: &Verdict) -> Result<Intake<'a>, IntakeError> {
    if !(FLOATS_ONLY..=VALIDATOR_VERSION).contains(&verdict.validator()) {
        return Err(IntakeError::NewerValidator(verdict.validator()));
    }
    Walk::new(Judge::Recorded(verdict), verdict.clone()).request(request)
}

impl Intake<'_> {
    fn tell(&mut self, text: impl FnOnce() -> String) {
        self.first_refusal
            .get_or_insert_with(|| shorten(text(), TOLD_BYTES_MAX));
    }

    /// Everything refused by the rules that the sender must hear of.
    pub(crate) fn n_refusals(&self) -> usize {
        self.n_ahead + self.n_refused + self.n_bad_series
    }
}

fn show(canonical: &[u8]) -> String {
    let text = Labels::from_canonical(canonical).map_or_else(|e| e.to_string(), |l| l.to_string());
    shorten(text, SHOWN_BYTES_MAX)
}

fn shorten(text: String, most: usize) -> String {
    if text.len() <= most {
        return text;
    }
    format!("{}...", &text[..text.floor_char_boundary(most)])
}

#[cfg(test)]
mod tests;
