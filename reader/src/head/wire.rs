//! Queries and answers of a head as messages (`docs/formats/head-read.md`).
//!
//! What comes from a receiver is checked row by row: canonical labels, valid histograms, settled runs. What is not as it must be
//! makes the head unreadable; it is never put right here.

use std::fmt::Display;

use emberkeep_model::head::{HeadKinds, HeadQuery, HeadSeries};
use emberkeep_model::{
    Exemplar, Histogram, Labels, MatchOp, Matcher, Metadata, MetadataEntry, MetricType, Run, SeenMetadata, SeriesRuns,
};
use emberkeep_proto::messages::head as wire;

pub(super) fn request(query: &HeadQuery) -> wire::HeadReadRequest {
    wire::HeadReadRequest {
        tenant: query.tenant.to_string(),
        start_ms: query.range.start,
        end_ms: query.range.end,
        matchers: query.matchers.iter().map(matcher).collect(),
        kinds: kinds(query.kinds).into(),
    }
}

pub(super) fn kinds(kinds: HeadKinds) -> wire::HeadKinds {
    match kinds {
        HeadKinds::Samples => wire::HeadKinds::Samples,
        HeadKinds::Exemplars => wire::HeadKinds::Exemplars,
        HeadKinds::Metadata => wire::HeadKinds::Metadata,
    }
}

fn matcher(matcher: &Matcher) -> wire::HeadMatcher {
    use wire::head_matcher::MatchOp as WireOp;
    let op = match matcher.op() {
        MatchOp::Equal => WireOp::Equal,
        MatchOp::NotEqual => WireOp::NotEqual,
        MatchOp::Regex => WireOp::Regex,
        MatchOp::NotRegex => WireOp::NotRegex,
    };
    wire::HeadMatcher {
        name: matcher.name().to_owned(),
        op: op.into(),
        value: matcher.value().to_owned(),
    }
}

/// A series, with the reason when it is none.
pub(super) fn series(series: wire::HeadSeries) -> Result<HeadSeries, String> {
    let labels = labels(&series.labels)?;
    let mut runs = SeriesRuns::default();
    for row in series.histograms() {
        let bad = |why: &dyn Display| format!("it sent a bad histogram of series {labels}: {why}");
        // Everything after this relies on what the receiver promised when it took the histogram: clients refuse others.
        let histogram = Histogram::from_canonical(row.canonical).map_err(|error| bad(&error))?;
        histogram.validate().map_err(|error| bad(&error))?;
        runs.histograms
            .push_canonical(row.timestamp, row.start_timestamp, row.canonical)
            .map_err(|error| bad(&error))?;
    }
    for row in series.exemplars() {
        runs.exemplars.push(Exemplar {
            timestamp: row.timestamp,
            value: f64::from_bits(row.value_bits),
            labels: self::labels(row.labels)?,
        });
    }
    runs.samples = Run {
        timestamps: series.timestamps,
        values: series.value_bits.into_iter().map(f64::from_bits).collect(),
        start_timestamps: series.start_timestamps,
    };
    if runs.is_empty() || !runs.is_settled() {
        return Err(format!("it sent series {labels} without rows or out of order"));
    }
    Ok(HeadSeries { labels, runs })
}

/// A variant of metadata, with the reason when it is none.
pub(super) fn metadata(metadata: wire::HeadMetadata) -> Result<MetadataEntry, String> {
    Ok(MetadataEntry {
        family: metadata.family,
        series: metadata.series.as_deref().map(labels).transpose()?,
        seen: SeenMetadata {
            metadata: Metadata {
                metric_type: MetricType::from_number(metadata.metric_type),
                unit: metadata.unit,
                help: metadata.help,
            },
            first_seen: metadata.first_seen_ms,
            last_seen: metadata.last_seen_ms,
        },
    })
}

fn labels(canonical: &[u8]) -> Result<Labels, String> {
    Labels::from_canonical(canonical).map_err(|error| format!("it sent bad labels: {error}"))
}
