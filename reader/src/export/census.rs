//! Which aligned windows have data.
//!
//! A part of a flush spans minutes, so its time range says it. A part with late data may span years of which it holds a few
//! seconds; its timestamps are read, because trying each window of the years would never end.

use std::collections::BTreeSet;
use std::sync::Arc;

use emberkeep_archive::{ObjectStore, PartEntry};
use emberkeep_model::head::HeadKinds;
use emberkeep_model::{SeriesRuns, TimeRange};
use emberkeep_tsdb::{BLOCK_DURATION_MS, windows};

use crate::scan::{Ground, Opened, prune};
use crate::sources::Look;
use crate::{Query, ReaderError};

/// Parts that span at most so many windows are taken to have data in all of them; an empty window costs one look at the part.
const NARROW_WINDOWS: i64 = 16;

/// The aligned windows of two hours in which the query may have rows of these kinds, oldest first. The look is of the same kinds.
///
/// # Errors
/// When a wide part cannot be read.
pub(crate) async fn windows_with_data(
    store: &Arc<dyn ObjectStore>,
    look: &Look,
    query: &Query,
    kinds: HeadKinds,
) -> Result<Vec<TimeRange>, ReaderError> {
    let mut starts = BTreeSet::new();
    let mut wide = Vec::new();
    for part in prune(&look.view.parts, &query.tenant, query.range, kinds) {
        let span = span_of(&part, query, kinds);
        if span.end.saturating_sub(span.start) <= NARROW_WINDOWS * BLOCK_DURATION_MS {
            starts.extend(windows(span, BLOCK_DURATION_MS).map(|window| window.start));
        } else {
            wide.push(part);
        }
    }
    for part in wide {
        let ground = Ground {
            parts: &[part],
            heads: &[],
            ..Ground::of(store, look)
        };
        count(ground, query, kinds, &mut starts).await?;
    }
    let ground = Ground {
        parts: &[],
        ..Ground::of(store, look)
    };
    count(ground, query, kinds, &mut starts).await?;
    let end_of = |start: i64| start.saturating_add(BLOCK_DURATION_MS);
    Ok(starts
        .into_iter()
        .map(|start| TimeRange {
            start,
            end: end_of(start),
        })
        .collect())
}

/// The part of the range that the tenant's rows of the part span.
fn span_of(part: &PartEntry, query: &Query, kinds: HeadKinds) -> TimeRange {
    let times = part.tenants.get(query.tenant.as_str()).and_then(|held| match kinds {
        HeadKinds::Samples => held.sample_times(),
        HeadKinds::Exemplars => held.exemplar_times,
        HeadKinds::Metadata => held.metadata_times,
    });
    let span = times.map_or(TimeRange { start: 0, end: 0 }, |times| {
        TimeRange::from_inclusive(times.min_time, times.max_time)
    });
    span.intersect(query.range)
}

/// Reads timestamps and notes their windows.
async fn count(
    ground: Ground<'_>,
    query: &Query,
    kinds: HeadKinds,
    starts: &mut BTreeSet<i64>,
) -> Result<(), ReaderError> {
    let mut scan = Opened::open(ground, query, kinds, usize::MAX).await?.scan().await?;
    let mut piece = SeriesRuns::default();
    while scan.next_series().await?.is_some() {
        let mut noted = TimeRange { start: 0, end: 0 };
        while scan.next_piece(&mut piece).await? {
            let samples = piece.samples.timestamps.iter().chain(piece.histograms.timestamps());
            let exemplars = piece.exemplars.as_slice().iter().map(|exemplar| exemplar.timestamp);
            for timestamp in samples.copied().chain(exemplars) {
                if !noted.contains(timestamp) {
                    let at = TimeRange::from_inclusive(timestamp, timestamp);
                    noted = windows(at, BLOCK_DURATION_MS).next().unwrap_or(at);
                    starts.insert(noted.start);
                }
            }
        }
    }
    Ok(())
}
