//! Round trip of every kind of data: a real Prometheus scrapes all that can be scraped, sends it, and its own blocks are compared with those
//! that come back out of the archive, series by series and sample by sample; exemplars, metadata and queries, too.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::blocks::{Blocks, Reason, Way, compare};
use crate::peers::{CURRENT, Exposer, OLD, Prometheus, get_json, same};
use crate::process::{Emberkeep, emberkeep, eventually, output, peer};

/// Counter resets come every 37 steps; this many give several and fill several chunks of each series.
const STEPS: f64 = 200.0;

/// Rules make float histograms that are gauges.
const RULES: &str = "
groups:
- name: made
  interval: 1s
  rules:
  - {record: 'made:rate', expr: 'rate(exposer_native[3s])'}
  - {record: 'made:sum', expr: 'sum by (schema) (exposer_native_float)'}
";

/// Histograms of each kind, also those that end; not the zeros that lose their sign at the sender ([`Reason::NegativeZeroNotSent`]); functions that depend on resets; names of any characters.
const QUERIES: &[&str] = &[
    "exposer_native",
    "exposer_native_float",
    "exposer_native_gauge",
    "exposer_visitor",
    r#"exposer_corner{corner!~"negative-zero|turning"}"#,
    r#"{"exposer.größe Ω"}"#,
    "rate(exposer_native[4s])",
    "sum by (schema) (rate(exposer_native_float[4s]))",
    "histogram_quantile(0.9, sum by (schema) (rate(exposer_native[4s])))",
    "histogram_count(exposer_native) - histogram_count(exposer_native offset 3s)",
    "resets(exposer_native[10s])",
    "histogram_fraction(0, 10, exposer_native_gauge)",
    "{__name__=~\"made:.*\"}",
    "sum by (le) (rate(exposer_classic_bucket[5s]))",
];

/// Selectors of floats with names that every Prometheus knows.
const FLOATS: &[&str] = &[
    r#"exposer_corner{corner!~"negative-zero|turning"}"#,
    "exposer_visitor",
    "rate(exposer_requests_total[4s])",
    "exposer_classic_bucket",
];

/// How the data goes.
struct Trip {
    protocol: &'static str,
    features: &'static str,
    export: &'static [&'static str],
    way: Way,
}

fn source_config(trip: &Trip, exposer: &Exposer, archive: &Emberkeep) -> String {
    format!(
        r#"
global:
  scrape_interval: 150ms
  scrape_timeout: 150ms
  scrape_native_histograms: true
  convert_classic_histograms_to_nhcb: true
  always_scrape_classic_histograms: true
rule_files: [rules.yml]
storage: {{exemplars: {{max_exemplars: 100000}}}}
scrape_configs:
- {{job_name: exposer, static_configs: [{{targets: ["127.0.0.1:{}"]}}]}}
remote_write:
- url: {}
  protobuf_message: {}
  send_exemplars: true
  send_native_histograms: true
  metadata_config: {{send: true, send_interval: 1s}}
  queue_config: {{batch_send_deadline: 300ms, min_backoff: 30ms, max_backoff: 200ms}}
"#,
        exposer.port,
        archive.url("/api/v1/write"),
        trip.protocol,
    )
}

/// A source that has seen everything, an archive that has it, and the time up to which both are complete.
struct Sent {
    source: Prometheus,
    archive: Emberkeep,
    /// Seconds since the epoch.
    end: f64,
}

/// Lets the source scrape and send until the exposer is gone, with one `kill -9` of Emberkeep in between.
async fn send_everything(trip: &Trip, scratch: &Path, client: &reqwest::Client) -> Result<Sent> {
    let archive = Emberkeep::start(
        &scratch.join("emberkeep"),
        &["--flush.interval=5s", "--fold.interval=1s"],
    )?;
    let exposer = Exposer::start()?;
    let directory = scratch.join("source");
    std::fs::create_dir_all(&directory)?;
    std::fs::write(directory.join("rules.yml"), RULES)?;
    let features = format!("--enable-feature={}", trip.features);
    let config = source_config(trip, &exposer, &archive);
    let source = Prometheus::start("source", &directory, &config, &[&features, "--web.enable-admin-api"])?;
    let steps = |wanted: f64| {
        let source = &source;
        async move {
            eventually(|| async {
                let steps = source.value(client, "exposer_steps").await?;
                ensure!(steps >= wanted, "{steps} steps");
                Ok(())
            })
            .await
        }
    };
    steps(STEPS / 2.0).await?;
    let archive = archive.kill_and_restart()?;
    steps(STEPS).await?;
    // Every series of the exposer ends with a stale marker.
    exposer.process.kill()?;
    let end = eventually(|| async {
        let up = source.value(client, "up{job=\"exposer\"}").await?;
        ensure!(up == 0.0, "the exposer is still scraped");
        source.value(client, "vector(time())").await
    })
    .await?;
    let end = end.ceil();
    eventually(|| async {
        let query = "min(prometheus_remote_storage_queue_highest_sent_timestamp_seconds)";
        let newest = source
            .own(client, query.trim_start_matches("min(").trim_end_matches(')'))
            .await?;
        ensure!(newest > end + 1.0, "sent up to {newest}, wanted {end}");
        Ok(())
    })
    .await?;
    for metric in ["samples", "histograms", "exemplars", "metadata"] {
        let failed = source
            .own(client, &format!("prometheus_remote_storage_{metric}_failed_total"))
            .await?;
        ensure!(failed == 0.0, "the source counts {failed} failed {metric}");
    }
    Ok(Sent { source, archive, end })
}

/// Blocks of all that the source has, made by itself.
pub(crate) async fn snapshot(source: &Prometheus, directory: &Path, client: &reqwest::Client) -> Result<PathBuf> {
    let url = format!("http://127.0.0.1:{}/api/v1/admin/tsdb/snapshot", source.port);
    let answer: Value = serde_json::from_str(&client.post(url).send().await?.text().await?)?;
    let name = answer["data"]["name"]
        .as_str()
        .with_context(|| format!("no snapshot: {answer}"))?;
    Ok(directory.join("data/snapshots").join(name))
}

/// Series and exemplars of an answer, in an order of their own.
fn exemplars(data: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for one in data.as_array().into_iter().flatten() {
        let exemplars = one["exemplars"].as_array().into_iter().flatten();
        let of_series = found.entry(one["seriesLabels"].to_string()).or_default();
        of_series.extend(exemplars.map(ToString::to_string));
    }
    found
}

async fn same_exemplars(
    sent: &Sent,
    start: f64,
    client: &reqwest::Client,
) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let parameters = [
        ("query", r#"{job="exposer"}"#.to_owned()),
        ("start", start.to_string()),
        ("end", sent.end.to_string()),
    ];
    let path = "/api/v1/query_exemplars";
    let expected = exemplars(&sent.source.get(client, path, &parameters).await?);
    let found = exemplars(&get_json(client, sent.archive.port, path, &parameters).await?);
    for (series, expected) in &expected {
        let found = found.get(series);
        ensure!(
            found == Some(expected),
            "exemplars of {series}:\nsource  {expected:?}\narchive {found:?}"
        );
    }
    ensure!(
        found.len() == expected.len(),
        "exemplars of more series than the source has"
    );
    Ok(expected)
}

/// Type, help and unit by name. Over 1.0 the source sends what it knows of families. Over 2.0 it sends type and unit of each series, taken from its
/// labels; help would come from its log, where 3.14 writes none (`metadata-wal-records` has no effect in a server).
async fn same_metadata(sent: &Sent, per_series: bool, client: &reqwest::Client) -> Result<()> {
    let expected = sent.source.get(client, "/api/v1/metadata", &[]).await?;
    let found = get_json(client, sent.archive.port, "/api/v1/metadata", &[]).await?;
    let found = found.as_object().context("an object of names")?;
    let mut seen = 0;
    for (family, entries) in expected.as_object().context("an object of names")? {
        let mut expected = entries.clone();
        let mut names = vec![family.clone()];
        if per_series {
            let of_family = |name: &&String| {
                let rest = name.strip_prefix(family.as_str());
                rest.is_some_and(|r| matches!(r, "" | "_bucket" | "_sum" | "_count"))
            };
            names = found.keys().filter(of_family).cloned().collect();
            expected[0]["help"] = Value::from("");
            if expected[0]["type"] == "unknown" {
                continue;
            }
        }
        ensure!(!names.is_empty(), "no metadata of {family} among {:?}", found.keys());
        for name in names {
            let entry = found.get(&name);
            ensure!(
                entry == Some(&expected),
                "metadata of {name}:\nsource  {expected}\narchive {entry:?}"
            );
            seen += 1;
        }
    }
    ensure!(seen >= 12, "only {seen} names have metadata");
    Ok(())
}

async fn same_answers(
    client: &reqwest::Client,
    (source, other): (&Prometheus, &Prometheus),
    what: &str,
    (start, end): (f64, f64),
) -> Result<()> {
    let mut compared = 0;
    for query in QUERIES {
        let expected = source.range(client, query, start, end).await?;
        let found = other.range(client, query, start, end).await?;
        same(&expected, &found, &format!("{what}, range `{query}`"))?;
        compared += expected["result"].as_array().map_or(0, Vec::len);
    }
    for query in [
        r#"{job="exposer",__name__!~"exposer_classic",corner!~"negative-zero|turning"}[20s]"#,
        "{__name__=~\"made:.*\"}[20s]",
    ] {
        let expected = source.instant(client, query, end).await?;
        let found = other.instant(client, query, end).await?;
        same(&expected, &found, &format!("{what}, raw `{query}`"))?;
        compared += expected["result"].as_array().map_or(0, Vec::len);
    }
    ensure!(compared > 150, "{what}: only {compared} series were compared");
    Ok(())
}

/// Opens every block with the promtool of a version.
pub(crate) fn promtool_reads(version: &str, blocks: &Path) -> Result<()> {
    let promtool = peer(&format!("{version}/promtool"))?;
    let listed = output(Command::new(&promtool).args(["tsdb", "list"]).arg(blocks))?;
    let ulids = listed.lines().filter_map(|line| line.split_whitespace().next());
    let ulids: Vec<_> = ulids.filter(|word| word.len() == 26).collect();
    ensure!(!ulids.is_empty(), "promtool lists no block:\n{listed}");
    for ulid in ulids {
        let mut analyze = Command::new(&promtool);
        output(analyze.args(["tsdb", "analyze", "--extended"]).arg(blocks).arg(ulid))?;
    }
    Ok(())
}

/// What was compared must contain every kind; otherwise equality says little.
fn holds_every_kind(blocks: &Blocks, way: Way) -> Result<()> {
    let mut kinds: BTreeMap<(String, Option<i32>), usize> = BTreeMap::new();
    for sample in blocks.samples() {
        *kinds.entry((sample.kind.clone(), sample.schema())).or_default() += 1;
    }
    let schemas = (-4..=8).chain(way.custom_buckets.then_some(-53));
    for kind in schemas.map(|s| ("integer".to_owned(), Some(s))) {
        ensure!(kinds.get(&kind).is_some_and(|n| *n > 50), "few {kind:?}: {kinds:?}");
    }
    for kind in (-4..=8).map(|s| ("floathistogram".to_owned(), Some(s))) {
        ensure!(kinds.get(&kind).is_some_and(|n| *n > 50), "few {kind:?}: {kinds:?}");
    }
    let of_histograms = blocks
        .series
        .values()
        .filter(|s| s.values().any(|s| s.schema().is_some()));
    let stale = of_histograms
        .flat_map(BTreeMap::values)
        .filter(|s| s.is_stale())
        .count();
    ensure!(stale > 40, "only {stale} histograms are stale: {kinds:?}");
    if way.start_timestamps {
        let started = blocks.samples().filter(|s| s.start != 0 && s.kind != "float").count();
        ensure!(started > 1000, "only {started} histograms have start timestamps");
    }
    Ok(())
}

async fn round_trip(trip: Trip) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let scratch = scratch.path();
    let client = crate::wire::client();
    let sent = send_everything(&trip, scratch, &client).await?;
    let directory = scratch.join("source");
    let (start, end) = (sent.end - 25.0, sent.end);

    // (a) Over the archive's own endpoints: remote read of archive and head together, exemplars, metadata.
    let config = format!(
        "remote_read: [{{url: \"{}\", read_recent: true}}]",
        sent.archive.url("/api/v1/read")
    );
    let reading = Prometheus::start("reading", &scratch.join("reading"), &config, &[])?;
    // The sender keeps custom buckets back from 1.0, so those queries would differ.
    same_answers(&client, (&sent.source, &reading), "remote read", (start, end)).await?;
    if !trip.way.custom_buckets {
        // The oldest reader takes samples, not chunks, and no histograms over remote read; floats it gets like the newest.
        let old = Prometheus::start_version(OLD, "old reading", &scratch.join("old-reading"), &config, &[])?;
        for query in FLOATS {
            let expected = sent.source.range(&client, query, start, end).await?;
            same(
                &expected,
                &old.range(&client, query, start, end).await?,
                &format!("2.42 over remote read, `{query}`"),
            )?;
        }
    }
    let of_source = same_exemplars(&sent, start, &client).await?;
    let compared = of_source.values().map(BTreeSet::len).sum::<usize>();
    ensure!(compared > 300, "only {compared} exemplars");
    same_metadata(&sent, trip.protocol.contains("v2"), &client).await?;

    // (b) Blocks of the source against blocks from the bucket, read by Prometheus' own code.
    let source_blocks = snapshot(&sent.source, &directory, &client).await?;
    crate::corpus::drain(sent.archive)?;
    let restored = scratch.join("restored");
    let mut export = emberkeep(["reader", "export-tsdb", "--from=-1h", "--storage.path"]);
    export.arg(scratch.join("emberkeep")).args(trip.export);
    let table = output(export.arg("--output").arg(&restored))?;
    let needed = if trip.way.start_timestamps {
        "Prometheus 3.14"
    } else {
        "Prometheus 2.42"
    };
    ensure!(table.contains(needed), "the report names no {needed}:\n{table}");
    // What blocks cannot hold lies beside them.
    let beside = exemplars(&serde_json::from_slice(&std::fs::read(
        restored.join("exemplars.json"),
    )?)?);
    for (series, expected) in &of_source {
        let is_there = beside.get(series).is_some_and(|found| found.is_superset(expected));
        ensure!(is_there, "exemplars.json lacks some of {series}");
    }
    let restored_blocks = Blocks::read(&restored)?;
    let source_blocks = Blocks::read(&source_blocks)?;
    let last = (end * 1000.0) as i64;
    let first = restored_blocks.series.values().flat_map(|s| s.keys()).min();
    let first = *first.context("the archive is empty")?;
    let began = source_blocks.series.values().flat_map(|s| s.keys()).min();
    ensure!(
        began == Some(&first),
        "the source begins at {began:?}, the archive at {first}"
    );
    let encodings = restored_blocks.encodings.clone();
    let source_blocks = source_blocks.within(first, last, |_| true);
    let restored_blocks = restored_blocks.within(first, last, |_| true);
    let reasons = compare(&source_blocks, &restored_blocks, trip.way)?;
    holds_every_kind(&restored_blocks, trip.way)?;
    let mut allowed = vec![Reason::FirstOfChunk, Reason::NegativeZeroNotSent, Reason::StaleFlavour];
    allowed.extend((!trip.way.custom_buckets).then_some(Reason::CustomBucketsNotSent));
    allowed.extend((!trip.way.start_timestamps).then_some(Reason::StartTimestampNotHeld));
    ensure!(reasons.keys().all(|r| allowed.contains(r)), "{reasons:?}");
    let samples = restored_blocks.samples().count();
    let differing = reasons.get(&Reason::FirstOfChunk).copied().unwrap_or(0);
    ensure!(differing * 5 < samples, "{differing} of {samples} hints differ");

    // (c) Prometheus on the blocks answers as the source; the blocks are legal for promtool.
    promtool_reads(CURRENT, &restored)?;
    if !trip.way.start_timestamps {
        ensure!(encodings.iter().all(|e| (1..=3).contains(e)), "encodings {encodings:?}");
    }
    let retention = "--storage.tsdb.retention.time=100y";
    let copy = scratch.join("copy");
    output(Command::new("cp").arg("-r").arg(&restored).arg(&copy))?;
    let storage = format!("--storage.tsdb.path={}", restored.display());
    let third = Prometheus::start("restored", &scratch.join("third"), "{}", &[&storage, retention])?;
    same_answers(&client, (&sent.source, &third), "restored blocks", (start, end)).await?;
    if !trip.way.custom_buckets {
        promtool_reads(OLD, &copy)?;
        let storage = format!("--storage.tsdb.path={}", copy.display());
        let old = Prometheus::start_version(OLD, "old", &scratch.join("old"), "{}", &[&storage, retention])?;
        old_answers(&client, (&sent.source, &old), (start, end)).await?;
    }
    Ok(())
}

/// 2.42 prints histograms as 3.14 does, knows no names of any characters in selectors, and has fewer functions.
async fn old_answers(
    client: &reqwest::Client,
    (source, old): (&Prometheus, &Prometheus),
    (start, end): (f64, f64),
) -> Result<()> {
    for query in [
        r#"exposer_corner{corner!~"negative-zero|turning"}"#,
        "exposer_visitor",
        "exposer_native",
        "exposer_native_float",
        "exposer_native_gauge",
    ] {
        let expected = source.range(client, query, start, end).await?;
        let found = old.range(client, query, start, end).await?;
        same(&expected, &found, &format!("2.42, `{query}`"))?;
        ensure!(
            expected["result"].as_array().is_some_and(|r| !r.is_empty()),
            "`{query}` selects nothing"
        );
    }
    Ok(())
}

#[tokio::test]
async fn everything_over_remote_write_2_comes_back_in_blocks_with_start_timestamps() -> Result<()> {
    round_trip(Trip {
        protocol: "io.prometheus.write.v2.Request",
        features: "exemplar-storage,type-and-unit-labels,st-storage,xor2-encoding,histograms-st-encoding",
        export: &["--start-timestamps"],
        way: Way {
            custom_buckets: true,
            start_timestamps: true,
        },
    })
    .await
}

#[tokio::test]
async fn everything_over_remote_write_1_comes_back_in_blocks_for_every_prometheus() -> Result<()> {
    round_trip(Trip {
        protocol: "prometheus.WriteRequest",
        features: "exemplar-storage",
        export: &[],
        way: Way {
            custom_buckets: false,
            start_timestamps: false,
        },
    })
    .await
}
