//! Which windows of two hours there are to choose from, how one is chosen, and how large what it holds may become as blocks.
//!
//! Chosen uniformly, the last day of a year's archive would hardly ever be drilled; by size, old data would not. So the age is chosen
//! first, among classes each of which reaches four times as far back as the one before, then a window of that age. Spans of parts may
//! be absurd (a sample of the year 1), so windows are never listed one by one.

use std::collections::BTreeMap;
use std::ops::Range;

use emberkeep_archive::Live;
use emberkeep_model::{TenantId, TimeRange};
use rand::RngExt;
use rand::rngs::StdRng;

/// A window, as archive and blocks are aligned.
pub(super) const WINDOW_MS: i64 = 7_200_000;

/// What a window waits for after its end: senders that lag, flushes, folds.
const SETTLED_MS: i64 = 3_600_000;

/// Each class of age reaches so much further back than the one before.
const AGE_FACTOR: i64 = 4;

/// What a float takes in blocks, index aside: more than it usually does.
const FLOAT_BYTES: f64 = 4.0;
/// What a histogram takes.
const HISTOGRAM_BYTES: f64 = 120.0;
/// What a series takes in the index.
const SERIES_BYTES: f64 = 250.0;

/// Windows of which the catalog has parts, by tenant.
#[derive(Debug)]
pub(super) struct Windows {
    /// Numbers of windows since 1970; the ranges of a tenant do not touch.
    spans: Vec<(TenantId, Range<i64>)>,
    /// The first window that is too young.
    end: i64,
}

impl Windows {
    /// The windows of a tenant, or of all.
    pub(super) fn of(live: &Live, tenant: Option<&TenantId>, now_ms: i64) -> Self {
        let end = now_ms.saturating_sub(SETTLED_MS).div_euclid(WINDOW_MS);
        let mut found: BTreeMap<&str, Vec<Range<i64>>> = BTreeMap::new();
        for part in live.parts() {
            for (name, held) in &part.tenants {
                let is_wanted = tenant.is_none_or(|tenant| tenant.as_str() == name);
                if let Some(times) = held.sample_times().filter(|_| is_wanted) {
                    let (first, last) = (
                        times.min_time.div_euclid(WINDOW_MS),
                        times.max_time.div_euclid(WINDOW_MS),
                    );
                    let span = first..(last + 1).min(end);
                    if !span.is_empty() {
                        found.entry(name).or_default().push(span);
                    }
                }
            }
        }
        let mut spans = Vec::new();
        for (name, of_tenant) in found {
            // Entries of the catalog name tenants that were checked when their rows came.
            if let Ok(tenant) = name.parse::<TenantId>() {
                spans.extend(merged(of_tenant).into_iter().map(|span| (tenant.clone(), span)));
            }
        }
        Self { spans, end }
    }

    /// A random window: its tenant and its number.
    pub(super) fn pick(&self, random: &mut StdRng) -> Option<(TenantId, i64)> {
        let classes: Vec<(Range<i64>, i64)> = self.classes().filter(|(_, count)| *count > 0).collect();
        if classes.is_empty() {
            return None;
        }
        let (class, count) = &classes[random.random_range(0..classes.len())];
        let mut nth = random.random_range(0..*count);
        for (tenant, span) in &self.spans {
            let both = common(span, class);
            let length = both.end - both.start;
            if nth < length {
                return Some((tenant.clone(), both.start + nth));
            }
            nth -= length.max(0);
        }
        None
    }

    /// The range of some windows from one on, as far as they are old enough.
    pub(super) fn range(&self, window: i64, count: i64) -> TimeRange {
        TimeRange {
            start: window * WINDOW_MS,
            end: window.saturating_add(count).min(self.end.max(window + 1)) * WINDOW_MS,
        }
    }

    /// Windows by class of age, and how many there are to choose from.
    fn classes(&self) -> impl Iterator<Item = (Range<i64>, i64)> {
        let mut age = 1_i64;
        std::iter::from_fn(move || {
            let older = age.checked_mul(AGE_FACTOR)?;
            let class = self.end.checked_sub(older)?.checked_add(1)?..self.end.checked_sub(age)?.checked_add(1)?;
            age = older;
            let lengths = self.spans.iter().map(|(_, span)| common(span, &class));
            let count = lengths.map(|both| (both.end - both.start).max(0)).sum();
            Some((class, count))
        })
    }
}

fn common(a: &Range<i64>, b: &Range<i64>) -> Range<i64> {
    a.start.max(b.start)..a.end.min(b.end)
}

fn merged(mut spans: Vec<Range<i64>>) -> Vec<Range<i64>> {
    spans.sort_by_key(|span| span.start);
    let mut merged: Vec<Range<i64>> = Vec::new();
    for span in spans {
        match merged.last_mut() {
            Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
            _ => merged.push(span),
        }
    }
    merged
}

/// Bytes that a range of a tenant may take as blocks, by what the catalog says; rather too many.
pub(super) fn estimate(live: &Live, tenant: &TenantId, range: TimeRange) -> u64 {
    let (mut rows, mut merged_series, mut flushed_series) = (0.0, 0.0, 0.0_f64);
    for part in live.parts().filter(|part| part.may_hold(tenant.as_str(), range)) {
        let Some(held) = part.tenants.get(tenant.as_str()) else {
            continue;
        };
        let span = held.max_time.saturating_sub(held.min_time).saturating_add(1) as f64;
        let inside = range.intersect(TimeRange::from_inclusive(held.min_time, held.max_time));
        let share = (inside.end.saturating_sub(inside.start) as f64 / span).clamp(0.0, 1.0);
        rows += share * (held.samples as f64 * FLOAT_BYTES + held.histograms as f64 * HISTOGRAM_BYTES);
        match part.level {
            // Flushes hold the same series again and again.
            0 => flushed_series = flushed_series.max(held.series as f64),
            _ => merged_series += held.series as f64,
        }
    }
    let blocks = (range.end.saturating_sub(range.start) as f64 / WINDOW_MS as f64).max(1.0);
    (rows + (merged_series + flushed_series) * SERIES_BYTES * blocks) as u64
}
