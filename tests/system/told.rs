//! What a Prometheus answers of all that it holds, to be asked again after its disk was lost: queries of every kind over ranges of every age,
//! samples as they were recorded by their bits, and blocks.

use anyhow::{Context, Result, ensure};
use reqwest::Client;
use serde_json::Value;

use crate::blocks::{Blocks, Reason, Way, compare};
use crate::heal::url;
use crate::peers::{Prometheus, same};
use crate::seed::{DAY, HOUR, STEP};
use crate::wire::{self, STALE, Samples};

/// Functions of histograms. Of schema -4 the exposer has buckets inside of the zero bucket, and what Prometheus makes of these at a reset
/// depends on the empty buckets that a chunk happens to keep: they are asked for as they were recorded only.
const HISTOGRAM_QUERIES: [&str; 8] = [
    r#"rate(exposer_native{schema!="-4"}[4s])"#,
    r#"rate(exposer_native_float{schema!="-4"}[4s])"#,
    r#"sum by (schema) (rate(exposer_native_float{schema!="-4"}[4s]))"#,
    r#"histogram_quantile(0.9, sum by (schema) (rate(exposer_native{schema!="-4"}[4s])))"#,
    "histogram_count(exposer_native) - histogram_count(exposer_native offset 3s)",
    "resets(exposer_native[10s])",
    "histogram_fraction(0, 10, exposer_native_gauge)",
    "histogram_quantile(0.5, rate(prometheus_http_request_duration_seconds[5s]))",
];

/// What is asked beside these: counters with resets, gauges with every kind of value, series that end, staleness.
const QUERIES: [&str; 18] = [
    "seeded",
    "sum by (a) (seeded)",
    "max_over_time(seeded[45m])",
    "count by (b) (seeded)",
    "rate(recent_requests_total[10m])",
    "increase(recent_requests_total[1h])",
    "resets(recent_requests_total[2h])",
    "up",
    r#"absent_over_time(up{job="exposer"}[5s])"#,
    "rate(exposer_requests_total[4s])",
    "exposer_native",
    "exposer_native_float",
    "exposer_native_gauge",
    "exposer_visitor",
    r#"{"exposer.größe Ω"}"#,
    "sum by (le) (rate(exposer_classic_bucket[5s]))",
    "changes(process_start_time_seconds[1m])",
    r#"{__name__=~"prometheus_(tsdb|engine)_.*"}"#,
];

/// Everything, as it was recorded; but the zeros whose sign remote write does not carry.
const RAW_QUERIES: [&str; 3] = [
    r#"{__name__=~"seeded|recent_requests_total"}[4d]"#,
    r#"{job="exposer",corner!~"negative-zero|turning"}[10m]"#,
    r#"{job="self"}[10m]"#,
];

/// The times that are asked for, milliseconds since 1970.
pub(crate) struct Times {
    pub(crate) begin: i64,
    pub(crate) recent: i64,
    pub(crate) scraped: i64,
    /// Exclusive.
    pub(crate) end: i64,
}

impl Times {
    /// Ranges of queries, each with its step.
    fn ranges(&self) -> [(i64, i64, i64); 3] {
        [
            (self.begin, self.begin + 2 * DAY, 10 * STEP),
            (self.recent, self.recent + 10 * HOUR, STEP),
            (self.scraped, self.end - 1, 1000),
        ]
    }

    pub(crate) fn within(&self, blocks: Blocks) -> Blocks {
        blocks.within(self.begin, self.end - 1, |_| true)
    }
}

/// What a server answers.
pub(crate) struct Told {
    pub(crate) answers: Vec<(String, Value)>,
    samples: Samples,
}

impl Told {
    pub(crate) async fn ask(client: &Client, server: &Prometheus, times: &Times) -> Result<Self> {
        let second = |ms: i64| (ms as f64 / 1000.0).to_string();
        let mut answers = Vec::new();
        for query in QUERIES.iter().chain(&HISTOGRAM_QUERIES) {
            for (start, end, step) in times.ranges() {
                let parameters = [
                    ("query", (*query).to_owned()),
                    ("start", second(start)),
                    ("end", second(end)),
                    ("step", second(step)),
                ];
                let answer = server.get(client, "/api/v1/query_range", &parameters).await?;
                answers.push((format!("`{query}` from {start}"), answer));
            }
        }
        for query in RAW_QUERIES {
            let answer = server.instant(client, query, (times.end - 1) as f64 / 1000.0).await?;
            ensure!(
                answer["result"].as_array().is_some_and(|rows| rows.len() > 20),
                "{query}"
            );
            answers.push((query.to_owned(), answer));
        }
        let read = format!("{}/api/v1/read", url(server));
        let mut samples = wire::read_samples(client, &read, times.begin, times.end - 1, wire::everything()).await?;
        // A series of histograms ends with a stale histogram here and a stale float there ([`Reason::StaleFlavour`]): blocks tell of it.
        let is_stale = |(bits, _): &(u64, i64)| *bits == STALE;
        samples.retain(|_, by_time| !by_time.values().all(is_stale));
        Ok(Self { answers, samples })
    }

    /// Every query is answered as before, and every sample has the same bits and time.
    pub(crate) fn is_the_same(&self, found: &Self, what: &str) -> Result<()> {
        for ((query, expected), (_, found)) in self.answers.iter().zip(&found.answers) {
            same(expected, found, &format!("{what}, {query}"))?;
        }
        let difference = wire::difference(&self.samples, &found.samples);
        ensure!(difference.is_none(), "{what}: {difference:?}");
        Ok(())
    }
}

/// Blocks hold the same samples of every kind, up to what no format on the way can hold.
pub(crate) fn same_blocks(expected: &Blocks, found: &Blocks, what: &str) -> Result<()> {
    let way = Way {
        custom_buckets: true,
        start_timestamps: false,
    };
    let reasons = compare(expected, found, way).context(what.to_owned())?;
    let allowed = [Reason::FirstOfChunk, Reason::NegativeZeroNotSent, Reason::StaleFlavour];
    ensure!(
        reasons.keys().all(|reason| allowed.contains(reason)),
        "{what}: {reasons:?}"
    );
    Ok(())
}

/// What was compared holds every kind; otherwise equality says little.
pub(crate) fn holds_every_kind(blocks: &Blocks) -> Result<()> {
    let of = |kind: &str| blocks.samples().filter(|sample| sample.kind == kind).count();
    let custom = blocks.samples().filter(|sample| sample.schema() == Some(-53)).count();
    let stale = blocks.samples().filter(|sample| sample.is_stale()).count();
    let kinds = [of("float"), of("integer"), of("floathistogram"), custom, stale];
    let least = [80_000, 1000, 500, 200, 80];
    ensure!(
        kinds.iter().zip(least).all(|(found, least)| *found > least),
        "few: {kinds:?}"
    );
    Ok(())
}
