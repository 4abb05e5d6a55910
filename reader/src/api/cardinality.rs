//! `/api/v1/status/cardinality`, and the same as `/api/v1/status/tsdb`: which metrics and labels make the series.
//!
//! Prometheus counts the series of its head, the last few hours; this counts those of a time range, the last day unless told
//! otherwise, in the archive and the heads, and of `match[]` if given. The JSON is Prometheus', so that what reads the one reads
//! the other. Sums are exact or the answer says which are not.

mod tally;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use emberkeep_model::TimeRange;
use serde::Serialize;

use self::tally::Tally;
use super::envelope::{Found, answer};
use super::params::{Form, MatchRule};
use super::{SeriesSeen, within_limits};
use crate::scan::Query;
use crate::{Reader, ReaderError, ReplicaLabels};

/// Entries of each list unless told otherwise, as in Prometheus.
const LIMIT_DEFAULT: usize = 10;
/// Most entries of each list, as in Prometheus.
const LIMIT_MAX: usize = 10_000;
/// How far back is looked, unless told otherwise.
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// What is counted of all series.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct HeadStats {
    num_series: u64,
    num_label_pairs: u64,
    /// The archive has no chunks.
    chunk_count: u64,
    /// The range that was looked at.
    min_time: i64,
    max_time: i64,
}

/// One line of a list.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Line {
    name: String,
    value: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Cardinality {
    head_stats: HeadStats,
    series_count_by_metric_name: Vec<Line>,
    label_value_count_by_label_name: Vec<Line>,
    memory_in_bytes_by_label_name: Vec<Line>,
    series_count_by_label_value_pair: Vec<Line>,
}

/// `GET|POST /api/v1/status/cardinality`, `GET /api/v1/status/tsdb`
pub(super) async fn handle(State(reader): State<Arc<Reader>>, request: Request) -> Response {
    let result = within_limits(&reader, request, async |form| {
        let limit = limit_of(&form)?;
        let (first, last) = span_of(&form)?;
        let query = Query {
            range: TimeRange::from_inclusive(first, last.unwrap_or(i64::MAX)),
            selection: form.selection(MatchRule::Optional)?,
            tenant: form.tenant,
        };
        let (mut tally, mut seen) = (Tally::default(), SeriesSeen::new(&reader));
        // What is stored is counted, so replicas are not merged.
        let mut scan = reader.read(&query, &ReplicaLabels::default()).await?;
        while let Some(labels) = scan.next_labels().await? {
            seen.one_more()?;
            tally.add(&labels)?;
        }
        let head_stats = HeadStats {
            num_series: tally.series(),
            num_label_pairs: tally.label_pairs(),
            chunk_count: 0,
            min_time: first,
            max_time: last.unwrap_or(form.now_ms),
        };
        Ok(Found {
            data: Cardinality {
                head_stats,
                series_count_by_metric_name: tally.series_by_metric_name(limit),
                label_value_count_by_label_name: tally.values_by_label_name(limit),
                memory_in_bytes_by_label_name: tally.memory_by_label_name(limit),
                series_count_by_label_value_pair: tally.series_by_label_pair(limit),
            },
            warnings: tally.warnings(),
        }
        .without(scan.left_out()))
    });
    answer(reader.metrics(), "cardinality", result.await)
}

fn limit_of(form: &Form) -> Result<usize, ReaderError> {
    let bad = |why: &str| Err(ReaderError::Bad(why.to_owned()));
    match form.first("limit") {
        "" => Ok(LIMIT_DEFAULT),
        text => match text.parse::<usize>() {
            Err(_) | Ok(0) => bad("limit must be a positive number"),
            Ok(limit) if limit > LIMIT_MAX => bad(&format!("limit must not exceed {LIMIT_MAX}")),
            Ok(limit) => Ok(limit),
        },
    }
}

/// From when until when. Without an end nothing is too new: clocks of senders may be a little ahead.
fn span_of(form: &Form) -> Result<(i64, Option<i64>), ReaderError> {
    let last = form.time("end")?;
    let first = form.time("start")?;
    let first = first.unwrap_or_else(|| last.unwrap_or(form.now_ms).saturating_sub(DAY_MS));
    Ok((first, last))
}
