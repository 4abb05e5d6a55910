//! Histograms, exemplars and metadata as DuckDB finds them in the Parquet files through the shipped views, against a model of what was sent: not
//! one line of the product's code is between the files and the result.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Result, ensure};
use emberkeep_proto::messages::{prometheus as v1, write_v2 as v2};
use prost::Message;
use v2::histogram::{Count, ZeroCount};

use crate::corpus::drain;
use crate::process::{Emberkeep, emberkeep, output, peer};
use crate::requests::Requests;
use crate::wire::{self, V1_TYPE, V2_TYPE};

/// Prints the views row by row; floats as their bits, lists with commas, labels in the order of their names.
const SCRIPT: &str = r#"
import duckdb, struct, sys
db = duckdb.connect()
db.execute("SET TimeZone = 'UTC'")
db.execute(open(sys.argv[1]).read())
def bits(x):
    return "-" if x is None else "%016x" % struct.unpack("<Q", struct.pack("<d", x))[0]
def whole(n):
    return "-" if n is None else str(n)
def several(show, xs):
    return "[" + ",".join(show(x) for x in xs or []) + "]"
def pairs(m):
    if m is None:
        return "-"
    if set(m) == {"key", "value"} and isinstance(m["key"], list):
        m = dict(zip(m["key"], m["value"]))
    return "{" + ",".join(f"{k}={v}" for k, v in sorted(m.items(), key=lambda kv: kv[0].encode())) + "}"
out = []
for r in db.execute("""
    select labels, epoch_ms(timestamp), epoch_ms(start_timestamp), reset_hint, schema, zero_threshold, sum, count, zero_count,
           float_count, float_zero_count, positive_span_offsets, positive_span_lengths, positive_buckets, float_positive_buckets,
           negative_span_offsets, negative_span_lengths, negative_buckets, float_negative_buckets, custom_values
    from histograms""").fetchall():
    out.append(" ".join(["histogram", pairs(r[0]), whole(r[1]), whole(r[2]), whole(r[3]), whole(r[4]), bits(r[5]), bits(r[6]),
        whole(r[7]), whole(r[8]), bits(r[9]), bits(r[10])]
        + [several(whole, r[i]) for i in (11, 12, 13)] + [several(bits, r[14])]
        + [several(whole, r[i]) for i in (15, 16, 17)] + [several(bits, r[18]), several(bits, r[19])]))
for r in db.execute("""
    select labels, epoch_ms(timestamp), side, bucket, count from histogram_buckets
    where not (lower < upper or (lower = upper and (side = 'zero' or schema = 52)))""").fetchall():
    out.append("a bucket without width " + repr(r))
for r in db.execute("select labels, epoch_ms(timestamp), side, bucket, count from histogram_buckets").fetchall():
    out.append(" ".join(["bucket", pairs(r[0]), whole(r[1]), r[2], whole(r[3]), bits(r[4])]))
for r in db.execute("select labels, epoch_ms(timestamp), value, exemplar_labels from exemplars").fetchall():
    out.append(" ".join(["exemplar", pairs(r[0]), whole(r[1]), bits(r[2]), pairs(r[3])]))
for r in db.execute("select family, labels, type, unit, help from metadata").fetchall():
    out.append(" ".join(["metadata", r[0], pairs(r[1]), r[2], r[3], r[4].replace("\n", "|")]))
sys.stdout.write("\n".join(out))
"#;

/// A small generator, so that the set is the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, n: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        let index = self.roll(from.len() as u64);
        from[usize::try_from(index).unwrap_or(0)]
    }
}

/// Spans with gaps, some of length zero, and the number of their buckets.
fn spans(dice: &mut Dice, first: i32, gaps: u64) -> (Vec<v2::BucketSpan>, usize) {
    let mut spans = Vec::new();
    let mut buckets = 0;
    for n in 0..dice.roll(4) {
        let gap = i32::try_from(dice.roll(gaps + 1)).unwrap_or(0);
        let length = u32::try_from(dice.roll(5)).unwrap_or(0);
        spans.push(v2::BucketSpan {
            offset: if n == 0 { first } else { gap },
            length,
        });
        buckets += length as usize;
    }
    (spans, buckets)
}

fn deltas(counts: &[i64]) -> Vec<i64> {
    let befores = [0].iter().chain(counts);
    counts
        .iter()
        .zip(befores)
        .map(|(count, before)| count - before)
        .collect()
}

/// A legal histogram of any kind.
fn histogram(dice: &mut Dice, timestamp: i64) -> v2::Histogram {
    let is_custom = dice.roll(5) == 0;
    let is_float = dice.roll(2) == 0;
    let (positive_spans, positive) = spans(dice, if is_custom { 1 } else { -7 }, 3);
    let (negative_spans, negative) = if is_custom { (vec![], 0) } else { spans(dice, 2, 9) };
    let mut counts = |n: usize| -> Vec<i64> { (0..n).map(|_| dice.roll(1000) as i64).collect() };
    let (positive, negative) = (counts(positive), counts(negative));
    let zero = if is_custom { 0 } else { dice.roll(9) };
    let sum = dice.pick(&[
        1.5,
        -0.25,
        0.0,
        f64::INFINITY,
        f64::from_bits(0x7ff8_0000_0000_0001),
        1e300,
    ]);
    let total = positive.iter().chain(&negative).sum::<i64>() as u64 + zero;
    // Observations of NaN are in the count and in no bucket, and make the sum NaN.
    let total = if sum.is_nan() { total + 3 } else { total };
    let thirds = |counts: &[i64]| counts.iter().map(|c| *c as f64 / 3.0).collect();
    let mut histogram = v2::Histogram {
        sum,
        schema: if is_custom {
            -53
        } else {
            dice.pick(&[-4, -1, 0, 3, 8, 9, 52])
        },
        zero_threshold: if is_custom {
            0.0
        } else {
            dice.pick(&[0.0, 1e-128, 0.001])
        },
        custom_values: if is_custom {
            (0..40).map(|n| f64::from(n) * 0.1).collect()
        } else {
            vec![]
        },
        reset_hint: i32::try_from(dice.roll(4)).unwrap_or(0),
        timestamp,
        start_timestamp: dice.pick(&[0, 1, timestamp - 5]),
        positive_spans,
        negative_spans,
        ..Default::default()
    };
    if is_float {
        histogram.count = Some(Count::CountFloat(total as f64 / 3.0));
        histogram.zero_count = Some(ZeroCount::ZeroCountFloat(zero as f64 / 3.0));
        (histogram.positive_counts, histogram.negative_counts) = (thirds(&positive), thirds(&negative));
    } else {
        histogram.count = Some(Count::CountInt(total));
        histogram.zero_count = Some(ZeroCount::ZeroCountInt(zero));
        (histogram.positive_deltas, histogram.negative_deltas) = (deltas(&positive), deltas(&negative));
    }
    histogram
}

fn bits(x: f64) -> String {
    format!("{:016x}", x.to_bits())
}

fn list<T>(items: &[T], show: impl Fn(&T) -> String) -> String {
    format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(","))
}

fn absolute(deltas: &[i64]) -> Vec<i64> {
    let mut count = 0;
    let sums = deltas.iter().map(|delta| {
        count += delta;
        count
    });
    sums.collect()
}

/// The rows of one histogram in the views.
fn histogram_rows(labels: &str, h: &v2::Histogram) -> Vec<String> {
    let start = if h.start_timestamp == 0 {
        "-".to_owned()
    } else {
        h.start_timestamp.to_string()
    };
    let (positive, negative) = (absolute(&h.positive_deltas), absolute(&h.negative_deltas));
    let (whole, fractions, zero) = match (&h.count, &h.zero_count) {
        (Some(Count::CountFloat(count)), Some(ZeroCount::ZeroCountFloat(zero))) => {
            ("- -".to_owned(), format!("{} {}", bits(*count), bits(*zero)), *zero)
        }
        (Some(Count::CountInt(count)), Some(ZeroCount::ZeroCountInt(zero))) => {
            (format!("{count} {zero}"), "- -".to_owned(), *zero as f64)
        }
        other => (format!("{other:?}"), String::new(), 0.0),
    };
    let side = |spans: &[v2::BucketSpan], counts: &[i64], floats: &[f64]| {
        [
            list(spans, |s| s.offset.to_string()),
            list(spans, |s| s.length.to_string()),
            list(counts, ToString::to_string),
            list(floats, |x| bits(*x)),
        ]
        .join(" ")
    };
    let head = format!("{labels} {}", h.timestamp);
    let mut rows = vec![format!(
        "histogram {head} {start} {} {} {} {} {whole} {fractions} {} {} {}",
        h.reset_hint,
        h.schema,
        bits(h.zero_threshold),
        bits(h.sum),
        side(&h.positive_spans, &positive, &h.positive_counts),
        side(&h.negative_spans, &negative, &h.negative_counts),
        list(&h.custom_values, |x| bits(*x)),
    )];
    if h.schema != -53 {
        rows.push(format!("bucket {head} zero - {}", bits(zero)));
    }
    let mut buckets = |name: &str, spans: &[v2::BucketSpan], counts: &[i64], floats: &[f64]| {
        let mut index = 0;
        let mut values = counts.iter().map(|c| *c as f64).chain(floats.iter().copied());
        for span in spans {
            index += span.offset;
            for _ in 0..span.length {
                let value = values.next().unwrap_or(f64::NAN);
                rows.push(format!("bucket {head} {name} {index} {}", bits(value)));
                index += 1;
            }
        }
    };
    buckets("positive", &h.positive_spans, &positive, &h.positive_counts);
    buckets("negative", &h.negative_spans, &negative, &h.negative_counts);
    rows
}

/// A request of 2.0 with all kinds, and the rows that it must become.
fn request(dice: &mut Dice, number: i64, rows: &mut BTreeSet<String>) -> Result<Vec<u8>> {
    let mut request = Requests::new();
    for n in 0..20 {
        let name = format!("measured_{}", n % 4);
        let code = n.to_string();
        let labels = format!("{{__name__={name},code={code},größe=☃}}");
        let mut series = v2::TimeSeries {
            labels_refs: request.refs(&[("größe", "☃"), ("code", &code), ("__name__", &name)]),
            ..Default::default()
        };
        for m in 0..4 {
            // Every time once only: what wins of two is another test.
            let one = histogram(dice, 1_000 + number * 100 + m);
            rows.extend(histogram_rows(&labels, &one));
            series.histograms.push(one);
        }
        for _ in 0..dice.roll(4) {
            // 0 means "no time" to some; here it is a time like any other.
            let times = [0, 1_000 + number * 100, 1_001 + number * 100];
            let timestamp = dice.pick(&times);
            let value = dice.pick(&[0.5, f64::from_bits(0x7ff8_0000_dead_beef), -1e9]);
            let trace = dice.roll(3).to_string();
            let own: &[(&str, &str)] = &[("trace_id", &trace), ("ключ", "a b")];
            let own = &own[..usize::try_from(dice.roll(3)).unwrap_or(0)];
            let pairs: Vec<_> = own.iter().map(|(k, v)| format!("{k}={v}")).collect();
            rows.insert(format!(
                "exemplar {labels} {timestamp} {} {{{}}}",
                bits(value),
                pairs.join(",")
            ));
            let exemplar = v2::Exemplar {
                labels_refs: request.refs(own),
                value,
                timestamp,
            };
            // Twice: exemplars are a set.
            series.exemplars.extend([exemplar.clone(), exemplar]);
        }
        if n % 3 == 0 {
            let help = format!("Help {}\nof it.", n % 2);
            series.metadata = Some(v2::Metadata {
                r#type: v2::metadata::MetricType::Gaugehistogram.into(),
                help_ref: request.symbol(&help),
                unit_ref: request.symbol("bytes"),
            });
            let help = help.replace('\n', "|");
            rows.insert(format!("metadata {name} {labels} gaugehistogram bytes {help}"));
        }
        request.push(&series, &[]);
    }
    request.body()
}

/// Metadata of families, over 1.0.
fn families(rows: &mut BTreeSet<String>) -> Result<Vec<u8>> {
    use v1::metric_metadata::MetricType as Type;
    let types = [
        (Type::Unknown, "unknown"),
        (Type::Counter, "counter"),
        (Type::Gauge, "gauge"),
        (Type::Histogram, "histogram"),
        (Type::Gaugehistogram, "gaugehistogram"),
        (Type::Summary, "summary"),
        (Type::Info, "info"),
        (Type::Stateset, "stateset"),
    ];
    let metadata = types.map(|(metric_type, text)| {
        rows.insert(format!("metadata family.of_{text} - {text} unit/{text} {text} ☃ help"));
        v1::MetricMetadata {
            r#type: metric_type.into(),
            metric_family_name: format!("family.of_{text}"),
            help: format!("{text} ☃ help"),
            unit: format!("unit/{text}"),
        }
    });
    let request = v1::WriteRequest {
        metadata: metadata.to_vec(),
        ..Default::default()
    };
    Ok(snap::raw::Encoder::new().compress_vec(&request.encode_to_vec())?)
}

/// Labels as the script prints them: sorted, without empty values.
fn label_text(pairs: impl Iterator<Item = (String, String)>) -> String {
    let labels: Vec<_> = wire::normal(pairs).iter().map(|(n, v)| format!("{n}={v}")).collect();
    format!("{{{}}}", labels.join(","))
}

fn metadata_row(name: &str, labels: &str, metric_type: i32, unit: &str, help: &str) -> Option<String> {
    // What says nothing is not kept.
    let says_something = metric_type != 0 || !unit.is_empty() || !help.is_empty();
    let metric_type = usize::try_from(metric_type)
        .ok()
        .and_then(|n| TYPES.get(n))
        .unwrap_or(&"?");
    let help = help.replace('\n', "|");
    says_something.then(|| format!("metadata {name} {labels} {metric_type} {unit} {help}"))
}

const TYPES: [&str; 8] = [
    "unknown",
    "counter",
    "gauge",
    "histogram",
    "gaugehistogram",
    "summary",
    "info",
    "stateset",
];

/// The rows of all but the floats of a 1.0 body, decoded by prost.
pub(crate) fn expect_v1(body: &[u8], rows: &mut BTreeSet<String>) -> Result<()> {
    let request = v1::WriteRequest::decode(&*wire::uncompressed(body)?)?;
    let pairs = |labels: Vec<v1::Label>| label_text(labels.into_iter().map(|l| (l.name, l.value)));
    for series in request.timeseries {
        let labels = pairs(series.labels);
        for histogram in series.histograms {
            // Both messages have the same fields under the same numbers.
            let same = v2::Histogram::decode(&*histogram.encode_to_vec())?;
            rows.extend(histogram_rows(&labels, &same));
        }
        for e in series.exemplars {
            rows.insert(format!(
                "exemplar {labels} {} {} {}",
                e.timestamp,
                bits(e.value),
                pairs(e.labels)
            ));
        }
    }
    let said = request.metadata.iter();
    rows.extend(said.filter_map(|m| metadata_row(&m.metric_family_name, "-", m.r#type, &m.unit, &m.help)));
    Ok(())
}

/// The same for a 2.0 body.
pub(crate) fn expect_v2(body: &[u8], rows: &mut BTreeSet<String>) -> Result<()> {
    let request = v2::Request::decode(&*wire::uncompressed(body)?)?;
    let symbol = |index: u32| request.symbols.get(index as usize).cloned().unwrap_or_default();
    let pairs = |refs: &[u32]| label_text(refs.chunks(2).map(|p| (symbol(p[0]), symbol(p[p.len() - 1]))));
    for series in &request.timeseries {
        let labels = pairs(&series.labels_refs);
        let mut names = series.labels_refs.chunks(2).filter(|p| symbol(p[0]) == "__name__");
        let name = names.next().map(|p| symbol(p[p.len() - 1])).unwrap_or_default();
        rows.extend(series.histograms.iter().flat_map(|h| histogram_rows(&labels, h)));
        for e in &series.exemplars {
            let own = pairs(&e.labels_refs);
            rows.insert(format!("exemplar {labels} {} {} {own}", e.timestamp, bits(e.value)));
        }
        if let Some(m) = &series.metadata {
            let (unit, help) = (symbol(m.unit_ref), symbol(m.help_ref));
            rows.extend(metadata_row(&name, &labels, m.r#type, &unit, &help));
        }
    }
    Ok(())
}

/// Compares what was expected with what DuckDB finds.
pub(crate) fn same_rows(expected: &BTreeSet<String>, data: &Path) -> Result<()> {
    let found = duckdb_rows(data)?;
    let as_set: BTreeSet<String> = found.iter().cloned().collect();
    ensure!(as_set.len() == found.len(), "the views give a row twice");
    let (missing, extra) = (expected.difference(&as_set).next(), as_set.difference(expected).next());
    ensure!(
        missing.is_none() && extra.is_none(),
        "missing {missing:?}\nextra   {extra:?}"
    );
    Ok(())
}

fn duckdb_rows(data: &Path) -> Result<Vec<String>> {
    let sql = output(emberkeep(["reader", "view", "--engine", "duckdb", "--storage.path"]).arg(data))?;
    let scratch = tempfile::tempdir()?;
    let (view, script) = (scratch.path().join("view.sql"), scratch.path().join("read.py"));
    std::fs::write(&view, sql)?;
    std::fs::write(&script, SCRIPT)?;
    let mut python = std::process::Command::new(peer("python/bin/python")?);
    let rows = output(python.arg(&script).arg(&view))?;
    Ok(rows.lines().map(str::to_owned).collect())
}

#[tokio::test]
async fn duckdb_finds_the_histograms_exemplars_and_metadata_that_were_sent() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let client = wire::client();
    let mut server = Emberkeep::start(scratch.path(), &["--flush.interval=1s"])?;
    let mut dice = Dice(11);
    let mut expected = BTreeSet::new();
    let body = families(&mut expected)?;
    ensure!(
        wire::post(&client, &server.url("/api/v1/write"), V1_TYPE, body)
            .await?
            .0
            == 204
    );
    for number in 0..12 {
        let body = request(&mut dice, number, &mut expected)?;
        // Twice now and then: a sender that never heard the answer.
        for _ in 0..=u32::from(number % 4 == 0) {
            let (status, _, text) = wire::post(&client, &server.url("/api/v1/write"), V2_TYPE, body.clone()).await?;
            ensure!(status == 204, "{status} {text}");
        }
        if number % 5 == 4 {
            server = server.kill_and_restart()?;
        }
    }
    drain(server)?;
    same_rows(&expected, scratch.path())?;
    let of = |kind: &str| expected.iter().filter(|row| row.starts_with(kind)).count();
    ensure!(
        of("histogram") == 960 && of("exemplar") > 100 && of("metadata") > 10,
        "the set is too small"
    );
    Ok(())
}
