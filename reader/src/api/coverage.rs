//! `/api/v1/coverage`: what is held of each source, for the page that shows it.
//!
//! Parameters: `start`, `end` (the last day unless told otherwise), `match[]` of `up` series, `source_label` (repeatable), `min_gap`,
//! `interval` and `step` as durations, `series=1` for sources without `up`. The answer is that of `reader coverage -o json`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use emberkeep_model::TimeRange;
use emberkeep_service::duration;

use super::envelope::{Found, answer};
use super::params::{Form, MatchRule};
use super::within_limits;
use crate::coverage::{Coverage, CoverageReport, OtherSources, RangeEnd};
use crate::{Reader, ReaderError};

/// How far back is looked, and the shortest gap, unless told otherwise.
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
const MIN_GAP_MS: i64 = 60 * 1_000;
/// Most steps of an answer.
const STEPS_MAX: i64 = 10_000;

/// `GET|POST /api/v1/coverage`
pub(super) async fn handle(State(reader): State<Arc<Reader>>, request: Request) -> Response {
    let result = within_limits(&reader, request, async |form| {
        let coverage = asked(form)?;
        let report = coverage.run(reader.sources(), reader.settings().part_limit).await?;
        let left_out = report.left_out.clone();
        Ok(Found::<CoverageReport>::whole(report).without(&left_out))
    });
    answer(reader.metrics(), "coverage", result.await)
}

fn asked(form: Form) -> Result<Coverage, ReaderError> {
    let end = form.time("end")?.unwrap_or(form.now_ms).min(form.now_ms);
    let start = form.time("start")?.unwrap_or_else(|| end.saturating_sub(DAY_MS));
    let range = TimeRange { start, end };
    let step_ms = length(&form, "step")?;
    if range.is_empty() || step_ms.is_some_and(|step| (end.saturating_sub(start)) / step.max(1) > STEPS_MAX) {
        return Err(ReaderError::Bad(format!(
            "start must be before end and now, and step must make at most {STEPS_MAX} steps of it"
        )));
    }
    Ok(Coverage {
        range,
        end: if form.time("end")?.is_none_or(|end| end > form.now_ms) {
            RangeEnd::Now
        } else {
            RangeEnd::Exact
        },
        selection: form.selection(MatchRule::Optional)?,
        source_labels: form.all("source_label").map(str::to_owned).collect(),
        interval_ms: length(&form, "interval")?,
        step_ms,
        min_gap_ms: length(&form, "min_gap")?.unwrap_or(MIN_GAP_MS),
        others: match form.first("series") {
            "1" | "true" => OtherSources::BySeries,
            _ => OtherSources::LeftOut,
        },
        keep: None,
        now_ms: form.now_ms,
        tenant: form.tenant,
    })
}

/// A duration in milliseconds.
fn length(form: &Form, name: &str) -> Result<Option<i64>, ReaderError> {
    let text = form.first(name);
    if text.is_empty() {
        return Ok(None);
    }
    let length =
        duration::parse(text).map_err(|error| ReaderError::Bad(format!("invalid parameter `{name}`: {error}")))?;
    Ok(Some(i64::try_from(length.as_millis()).unwrap_or(i64::MAX)))
}
