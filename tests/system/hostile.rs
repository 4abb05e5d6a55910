//! A hostile set: everything that is legal and unusual, over both protocols, in several requests and parts, read back bit for bit.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use emberkeep_proto::messages::{prometheus as v1, write_v2 as v2};
use prost::Message;

use crate::corpus::{drain, duckdb_samples, time_span};
use crate::process::{Emberkeep, eventually};
use crate::wire::{self, Samples, V1_TYPE, V2_TYPE};

const YEAR_ONE: i64 = -62_135_596_800_000;

const VALUES: &[u64] = &[
    0x7ff0_0000_0000_0002, // the stale marker
    0x7ff8_0000_0000_0001, // Prometheus' ordinary NaN
    0x7ff0_0000_0000_0001, // another signalling NaN
    0xfff8_0000_dead_beef, // a NaN with sign and payload
    0x7ff0_0000_0000_0000, // +Inf
    0xfff0_0000_0000_0000, // -Inf
    0x0000_0000_0000_0000, // 0
    0x8000_0000_0000_0000, // -0
    0x0000_0000_0000_0001, // the smallest subnormal
    0x000f_ffff_ffff_ffff, // the largest subnormal
    0x7fef_ffff_ffff_ffff, // the largest number
    0x4340_0000_0000_0000, // 2^53
    0x4340_0000_0000_0001, // 2^53 + 2
    0x3fb9_9999_9999_999a, // 0.1
    0x3fd3_3333_3333_3334, // 0.1 + 0.2
    0x4093_4a45_6d5c_faad, // 1234.5678
    0xc059_0000_0000_0000, // -100
];

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
}

struct Entry {
    labels: Vec<(String, String)>,
    samples: Vec<(i64, u64, i64)>,
}

/// One request: series in any order, some of them more than once.
fn request(dice: &mut Dice, now: i64) -> Vec<Entry> {
    let pair = |name: &str, value: String| (name.to_owned(), value);
    (0..60)
        .map(|_| {
            let n = dice.roll(30);
            let mut labels = vec![
                pair("__name__", format!("hostile_{}", n % 7)),
                pair("job", format!("a={n},b")),
                pair("empty", String::new()),
                pair("Großes Ω", "snow ☃ and \u{1F525}\n\"quoted\\\"".to_owned()),
                pair("a", "x".repeat(usize::try_from(n).unwrap_or(0) * 40)),
                pair("a!", "z".to_owned()),
            ];
            // Unsorted on the wire, and not the same way each time.
            let turn = usize::try_from(dice.roll(6)).unwrap_or(0);
            labels.rotate_left(turn);
            let samples = (0..dice.roll(5) + 1)
                .map(|_| {
                    let timestamp = match dice.roll(9) {
                        0 => YEAR_ONE,
                        1 => YEAR_ONE + 1,
                        2 => -1,
                        3 => 0,
                        4 => now + 9 * 60_000,
                        // Few distinct times, so that duplicates and conflicts are common.
                        _ => now - 60_000 * i64::try_from(dice.roll(8)).unwrap_or(0),
                    };
                    let index = usize::try_from(dice.roll(VALUES.len() as u64)).unwrap_or(0);
                    let start = if dice.roll(3) == 0 {
                        (timestamp - 5_000).max(YEAR_ONE)
                    } else {
                        0
                    };
                    (timestamp, VALUES[index], start)
                })
                .collect();
            Entry { labels, samples }
        })
        .collect()
}

/// A sample as a field 2, by hand: protobuf libraries leave out a value that equals zero, and -0 does.
fn put_sample(out: &mut Vec<u8>, timestamp: i64, bits: u64, start: i64) {
    let mut sample = vec![0x09];
    sample.extend_from_slice(&bits.to_le_bytes());
    sample.push(0x10);
    prost::encoding::encode_varint(timestamp as u64, &mut sample);
    if start != 0 {
        sample.push(0x18);
        prost::encoding::encode_varint(start as u64, &mut sample);
    }
    put_message(out, 0x12, &sample);
}

fn put_message(out: &mut Vec<u8>, tag: u8, message: &[u8]) {
    out.push(tag);
    prost::encoding::encode_varint(message.len() as u64, out);
    out.extend_from_slice(message);
}

fn encode_v1(entries: &[Entry]) -> Result<Vec<u8>> {
    let mut request = Vec::new();
    for entry in entries {
        let labels = entry.labels.iter().map(|(n, v)| v1::Label {
            name: n.clone(),
            value: v.clone(),
        });
        let mut series = v1::TimeSeries {
            labels: labels.collect(),
            ..Default::default()
        }
        .encode_to_vec();
        for &(timestamp, bits, _) in &entry.samples {
            put_sample(&mut series, timestamp, bits, 0);
        }
        put_message(&mut request, 0x0a, &series);
    }
    Ok(snap::raw::Encoder::new().compress_vec(&request)?)
}

fn encode_v2(entries: &[Entry]) -> Result<Vec<u8>> {
    let mut symbols = vec![String::new()];
    let mut symbol = |text: &str| {
        let known = symbols.iter().position(|s| s == text);
        let index = known.unwrap_or_else(|| {
            symbols.push(text.to_owned());
            symbols.len() - 1
        });
        u32::try_from(index).unwrap_or(u32::MAX)
    };
    let mut timeseries = Vec::new();
    for entry in entries {
        let labels_refs = entry.labels.iter().flat_map(|(n, v)| [symbol(n), symbol(v)]).collect();
        let mut series = v2::TimeSeries {
            labels_refs,
            ..Default::default()
        }
        .encode_to_vec();
        for &(timestamp, bits, start) in &entry.samples {
            put_sample(&mut series, timestamp, bits, start);
        }
        put_message(&mut timeseries, 0x2a, &series);
    }
    let mut request = v2::Request {
        symbols,
        timeseries: vec![],
    }
    .encode_to_vec();
    request.extend_from_slice(&timeseries);
    Ok(snap::raw::Encoder::new().compress_vec(&request)?)
}

fn now_ms() -> Result<i64> {
    #[expect(clippy::disallowed_methods, reason = "a sender has the machine's clock")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(i64::try_from(now.as_millis())?)
}

#[tokio::test]
async fn the_hostile_set_comes_back_bit_for_bit() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let client = wire::client();
    let mut server = Emberkeep::start(scratch.path(), &["--flush.interval=1s"])?;
    let mut dice = Dice(7);
    let now = now_ms()?;
    let mut expected = Samples::new();
    for i in 0..40 {
        let entries = request(&mut dice, now);
        let (content_type, body) = if i % 2 == 0 {
            (V1_TYPE, encode_v1(&entries)?)
        } else {
            (V2_TYPE, encode_v2(&entries)?)
        };
        let decode = if content_type == V1_TYPE {
            wire::decode_v1
        } else {
            wire::decode_v2
        };
        decode(&body, &mut expected)?;
        // Twice now and then: a sender that never heard the answer.
        for _ in 0..=u32::from(i % 5 == 0) {
            let (status, headers, text) =
                wire::post(&client, &server.url("/api/v1/write"), content_type, body.clone()).await?;
            ensure!(status == 204, "{status} {text}");
            let written = headers
                .get("x-prometheus-remote-write-samples-written")
                .map(|v| v.to_str().map(str::to_owned));
            let sent = entries.iter().map(|e| e.samples.len()).sum::<usize>().to_string();
            ensure!(
                written.transpose()? == (content_type == V2_TYPE).then_some(sent),
                "written header"
            );
        }
        if i % 10 == 9 {
            server = server.kill_and_restart()?;
        }
    }
    let (first, last) = time_span(&expected).context("samples were sent")?;
    ensure!(
        (first, last) == (YEAR_ONE, now + 9 * 60_000),
        "the extremes are in the set"
    );
    let plain = wire::without_starts(&expected);
    // The last life takes writes before it has replayed its log; until then a read gets 503.
    let url = server.url("/api/v1/read");
    let found = eventually(|| wire::read_samples(&client, &url, i64::MIN, i64::MAX, wire::everything())).await?;
    ensure!(
        wire::difference(&plain, &found).is_none(),
        "remote read: {:?}",
        wire::difference(&plain, &found)
    );
    drain(server)?;
    let found = duckdb_samples(scratch.path(), "anonymous")?;
    ensure!(
        wire::difference(&expected, &found).is_none(),
        "DuckDB: {:?}",
        wire::difference(&expected, &found)
    );
    Ok(())
}
