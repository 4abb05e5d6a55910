//! Which rows of which series masks hide: deletions that are not rewritten in every part yet (DESIGN §6).
//!
//! A mask holds for every part that was not written under it, for records that are not folded, and for heads, whether the rows
//! came before it or after. Rows are left out where a source is read, before anything is merged, so that a hidden row never
//! decides a conflict. Without masks nothing here costs anything for a row. It must never hide more than a mask says.

use std::ops::Range;
use std::sync::Arc;

use emberkeep_archive::{CompiledMask, Mask};
use emberkeep_model::{Labels, TenantId, TimeRange};

use super::Query;
use crate::ReaderError;

/// The masks that concern a query, or a source of it.
#[derive(Debug, Clone)]
pub(crate) struct Masks {
    tenant: TenantId,
    range: TimeRange,
    masks: Vec<Arc<CompiledMask>>,
}

/// The time in which rows of one series are hidden: joined, rising, inside the range of the query.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Hidden(Vec<TimeRange>);

impl Masks {
    /// Those of the tenant that touch the range of the query.
    ///
    /// # Errors
    /// When a matcher of one cannot be built. It is not passed over: what is deleted must not come back.
    pub(crate) fn of(masks: &[Mask], query: &Query) -> Result<Self, ReaderError> {
        Self::touching(masks, &query.tenant, query.range)
    }

    /// Those of the tenant, whatever their time.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub(crate) fn of_tenant(masks: &[Mask], tenant: &TenantId) -> Result<Self, ReaderError> {
        Self::touching(masks, tenant, TimeRange::ALL)
    }

    fn touching(masks: &[Mask], tenant: &TenantId, range: TimeRange) -> Result<Self, ReaderError> {
        let concerned = masks.iter().filter(|mask| mask.tenant == tenant.as_str());
        let compiled = concerned
            .filter(|mask| !mask.range().intersect(range).is_empty())
            .map(|mask| Ok(Arc::new(mask.compile()?)));
        Ok(Self {
            tenant: tenant.clone(),
            range,
            masks: compiled.collect::<Result<_, ReaderError>>()?,
        })
    }

    /// Those that are not applied yet to a part that was written under the masks up to a number.
    pub(crate) fn above(&self, applied: u64) -> Self {
        let masks = self.masks.iter().filter(|mask| mask.number() > applied);
        Self {
            masks: masks.cloned().collect(),
            ..self.clone()
        }
    }

    /// All of them.
    pub(crate) fn compiled(&self) -> impl Iterator<Item = &CompiledMask> + Clone {
        self.masks.iter().map(Arc::as_ref)
    }

    /// Whose they are.
    pub(crate) fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Whether nothing is hidden of any series.
    pub(crate) fn is_empty(&self) -> bool {
        self.masks.is_empty()
    }

    /// What is hidden of a series.
    pub(crate) fn hidden(&self, labels: &Labels) -> Hidden {
        let hiding = self.masks.iter().filter(|mask| mask.hides_series(&self.tenant, labels));
        Hidden::joined(hiding.map(|mask| mask.range().intersect(self.range)).collect())
    }
}

impl Hidden {
    fn joined(mut ranges: Vec<TimeRange>) -> Self {
        ranges.sort_by_key(|range| range.start);
        let mut joined: Vec<TimeRange> = Vec::with_capacity(ranges.len());
        for range in ranges.into_iter().filter(|range| !range.is_empty()) {
            match joined.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => joined.push(range),
            }
        }
        Self(joined)
    }

    /// Whether no time is hidden.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a row at this time is hidden.
    pub(crate) fn hides(&self, timestamp: i64) -> bool {
        let before = self.0.partition_point(|range| range.start <= timestamp);
        before > 0 && timestamp < self.0[before - 1].end
    }

    /// Whether every row from `first` to `last`, both included, is hidden. Of no time at all nothing is.
    pub(crate) fn covers(&self, first: i64, last: i64) -> bool {
        first <= last && self.0.iter().any(|range| range.start <= first && last < range.end)
    }

    /// The positions from `from` on whose times are not hidden, as ranges; none when that is all of them.
    pub(crate) fn shown(&self, from: usize, len: usize, time: impl Fn(usize) -> i64) -> Option<Vec<Range<usize>>> {
        if self.is_empty() || !(from..len).any(|position| self.hides(time(position))) {
            return None;
        }
        let mut shown: Vec<Range<usize>> = Vec::new();
        for position in (from..len).filter(|&position| !self.hides(time(position))) {
            match shown.last_mut() {
                Some(last) if last.end == position => last.end += 1,
                _ => shown.push(position..position + 1),
            }
        }
        Some(shown)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn joined_ranges_hide_what_any_of_them_hides(
            ranges in prop::collection::vec((-20_i64..20, 0_i64..10), 0..6),
            from in 0_usize..5,
        ) {
            let ranges: Vec<TimeRange> = ranges
                .into_iter()
                .map(|(start, length)| TimeRange { start, end: start + length })
                .collect();
            let hidden = Hidden::joined(ranges.clone());
            let naive = |t: i64| ranges.iter().any(|range| range.contains(t));
            for t in -25..35 {
                prop_assert_eq!(hidden.hides(t), naive(t), "{}", t);
                for last in t - 1..35 {
                    prop_assert_eq!(hidden.covers(t, last), t <= last && (t..=last).all(naive), "{}..={}", t, last);
                }
            }
            let times: Vec<i64> = (-25..35).collect();
            let shown = hidden.shown(from, times.len(), |i| times[i]);
            let kept: Vec<usize> = match shown {
                Some(ranges) => ranges.into_iter().flatten().collect(),
                None => (from..times.len()).collect(),
            };
            let expected: Vec<usize> = (from..times.len()).filter(|&i| !naive(times[i])).collect();
            prop_assert_eq!(kept, expected);
        }
    }
}
