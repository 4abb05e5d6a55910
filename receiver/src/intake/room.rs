//! Gathering labels, with an end to it.
//!
//! In version 2.0 a label is two references, a few bytes that may stand for megabytes of symbols. So every limit is looked at before
//! a label is copied, and what a request expands to is counted, refused series included.

use emberkeep_model::LabelsBuilder;

use super::entry::WireLabel;
use crate::limits::Limits;

/// All labels of a series together. Readers of blocks refuse an index entry of twice as much, so more could not be restored.
const SERIES_BYTES_MAX: usize = 2 << 20;

/// What the labels of one series or exemplar may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    labels: usize,
    name_bytes: usize,
    value_bytes: usize,
    all_bytes: usize,
}

impl Room {
    /// For what a verdict has accepted: the limits of its time bound it.
    pub(super) const UNBOUNDED: Self = Self {
        labels: usize::MAX,
        name_bytes: usize::MAX,
        value_bytes: usize::MAX,
        all_bytes: usize::MAX,
    };

    /// For a series.
    pub(super) fn series(limits: &Limits) -> Self {
        Self {
            labels: limits.labels_per_series,
            name_bytes: limits.label_name_bytes,
            value_bytes: limits.label_value_bytes,
            all_bytes: SERIES_BYTES_MAX,
        }
    }

    /// For an exemplar. Its characters are counted later; each has four bytes at most, and no label is without one.
    pub(super) fn exemplar(limits: &Limits) -> Self {
        let bytes = limits.exemplar_chars.saturating_mul(4);
        Self {
            labels: limits.exemplar_chars,
            name_bytes: bytes,
            value_bytes: bytes,
            all_bytes: bytes,
        }
    }

    /// Fills the builder until a limit is passed, and counts what it copied.
    pub(super) fn gather<'a>(
        mut self,
        labels: impl Iterator<Item = WireLabel<'a>>,
        into: &mut LabelsBuilder,
        expanded: &mut usize,
    ) -> Result<(), String> {
        into.clear();
        let (most, most_bytes) = (self.labels, self.all_bytes);
        for label in labels {
            let (name, value) = label?;
            let bytes = name.len() + value.len();
            // An empty name costs nothing to send, and is copied all the same.
            *expanded += bytes + size_of::<usize>();
            if name.len() > self.name_bytes {
                return Err(format!(
                    "has a label name of {} bytes, more than {}",
                    name.len(),
                    self.name_bytes
                ));
            }
            if value.len() > self.value_bytes {
                return Err(format!(
                    "has a label value of {} bytes, more than {}",
                    value.len(),
                    self.value_bytes
                ));
            }
            self.labels = self
                .labels
                .checked_sub(1)
                .ok_or_else(|| format!("has more than {most} labels"))?;
            self.all_bytes = self
                .all_bytes
                .checked_sub(bytes)
                .ok_or_else(|| format!("has labels of more than {most_bytes} bytes"))?;
            into.push(name, value);
        }
        Ok(())
    }
}
