//! The bound of DESIGN §7: a streamed remote read takes at most 64 MB with up to 32 open parts, and 0.5 MB for each further one. And
//! that of an export: `--max-memory`, whatever the size of what is exported.
//!
//! Every allocation of this process is counted. The store is a directory, so what lies there is not memory of ours, and one
//! test runs alone in its process, so nothing else allocates.

#![expect(
    unsafe_code,
    reason = "counting what the system's allocator gives needs an allocator of one's own"
)]

#[path = "../reader/model.rs"]
mod model;
#[path = "../reader/support.rs"]
#[expect(dead_code, reason = "the other tests use more of it")]
mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use emberkeep_model::{Counts, Histogram, Run, SeriesRuns, Span, TenantId, TimeRange};
use emberkeep_proto::messages::prometheus as wire;
use emberkeep_proto::snappy;
use emberkeep_reader::export::{Console, Export, ExportArguments, ExportOptions, Target, TargetFacts, progress};
use emberkeep_reader::{ReaderSettings, Selection, Sources};
use prost::Message;
use support::{TestArchive, client, float, floats, labels, serve};

const MEGABYTE: usize = 1_000_000;

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn grow(bytes: usize) {
    let live = LIVE.fetch_add(bytes, Ordering::Relaxed) + bytes;
    PEAK.fetch_max(live, Ordering::Relaxed);
}

// SAFETY: every call is passed on to the system's allocator as it is; only its size is counted.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// What a series has in each part, from its number, the part and how many rows.
type Make = fn(usize, i64, i64) -> SeriesRuns;

/// Flushes `parts` parts that follow one another, with the same series in each, as five minutes of scrapes would be.
async fn archive(parts: usize, series: usize, samples: i64, make: Make) -> TestArchive {
    let mut archive = TestArchive::new();
    for part in 0..parts as i64 {
        let runs = (0..series).map(|number| {
            let instance = format!("host-{:05}.some.where.example.com:9100", number);
            let pairs = [
                ("__name__", "node_cpu_seconds_total"),
                ("cpu", "7"),
                ("instance", instance.as_str()),
                ("mode", "idle"),
            ];
            (TenantId::default(), labels(&pairs), make(number, part, samples))
        });
        archive.flush_runs(runs).await;
    }
    archive
}

fn some_floats(number: usize, part: i64, samples: i64) -> SeriesRuns {
    let run: Run = (part * samples..(part + 1) * samples)
        .map(|at| {
            float(
                1_700_000_000_000 + at * 15_000,
                (at * 37 + number as i64) as f64 / 100.0,
            )
        })
        .collect();
    floats(run)
}

/// Counters of 160 buckets, as large as an exporter makes them.
fn some_histograms(number: usize, part: i64, samples: i64) -> SeriesRuns {
    many_buckets(160, number, part * samples..(part + 1) * samples, 1)
}

/// Counters of thousands of buckets, and of all parts in the same time.
fn huge_histograms(number: usize, part: i64, samples: i64) -> SeriesRuns {
    many_buckets(4_000, number, part..part + samples * 1_000, 1_000)
}

fn many_buckets(buckets: u32, number: usize, times: std::ops::Range<i64>, step: usize) -> SeriesRuns {
    let mut runs = SeriesRuns::default();
    for at in times.step_by(step) {
        // Rising, and without a pattern that encodes to nothing.
        let count_of = |bucket: u32| at * 1_000 + i64::from(bucket) * (17 + at * 7) % 301 + number as i64;
        let positive: Vec<i64> = (0..buckets).map(count_of).collect();
        let histogram = Histogram {
            counts: Counts::Integer {
                count: positive.iter().sum::<i64>().cast_unsigned(),
                zero_count: 0,
                positive,
                negative: Vec::new(),
            },
            sum: at as f64 / 3.0,
            schema: 3,
            positive_spans: vec![Span {
                offset: -80,
                length: buckets,
            }],
            ..Histogram::default()
        };
        runs.histograms.push(1_700_000_000_000 + at * 15_000, 0, &histogram);
    }
    runs
}

/// Reads everything, keeping nothing. Returns bytes received and the greatest growth of the heap meanwhile.
async fn read_everything(archive: &TestArchive) -> (usize, usize) {
    let url = serve(archive.reader(Vec::new(), ReaderSettings::default())).await;
    let query = wire::Query {
        start_timestamp_ms: 0,
        end_timestamp_ms: i64::MAX,
        matchers: Vec::new(),
        hints: None,
    };
    let request = wire::ReadRequest {
        queries: vec![query],
        accepted_response_types: vec![1],
    };
    let body = snappy::compress(&request.encode_to_vec());
    let client = client();
    let before = LIVE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let mut response = client
        .post(format!("{url}/api/v1/read"))
        .body(body)
        .send()
        .await
        .expect("an answer");
    assert_eq!(response.status(), 200);
    let mut received = 0;
    while let Some(bytes) = response.chunk().await.expect("a whole answer") {
        received += bytes.len();
    }
    (received, PEAK.load(Ordering::Relaxed) - before)
}

/// Exports everything, verified, in so much memory; returns the greatest growth of the heap meanwhile.
async fn export_everything(archive: &TestArchive, memory: usize, parallel: usize) -> usize {
    let output = tempfile::tempdir().expect("a directory");
    let export = Export {
        arguments: ExportArguments {
            from: "x".to_owned(),
            block_duration: Some("6h".to_owned()),
            ..ExportArguments::default()
        },
        range: TimeRange {
            start: 0,
            end: i64::MAX,
        },
        selection: Selection::all(),
        output: output.path().to_owned(),
        now_ms: 0,
        options: ExportOptions {
            memory: memory as u64,
            parallel,
            ..ExportOptions::default()
        },
        target: Target::default(),
        facts: TargetFacts::default(),
    };
    let sources = Sources::new(archive.store.clone(), Vec::new());
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut console = Console {
        out: &mut out,
        err: &mut err,
        bar: progress(),
    };
    let before = LIVE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let summary = export.run(&sources, &mut console).await.expect("an export");
    assert!(!summary.blocks.is_empty());
    PEAK.load(Ordering::Relaxed) - before
}

/// Ten times as much data as memory: each histogram is 1.3 kB. And many series, which are what an index grows with.
async fn an_export_stays_within_its_bound() {
    for (parts, series, samples, make, memory, parallel) in [
        (12, 40, 260, some_histograms as Make, 16 << 20, 1),
        (12, 2_000, 40, some_floats, 16 << 20, 1),
        (24, 2_000, 20, some_floats, 128 << 20, 2),
    ] {
        let archive = archive(parts, series, samples, make).await;
        let grown = export_everything(&archive, memory, parallel).await;
        assert!(
            grown <= memory,
            "{parts} parts with {series} series of {samples} samples each took {grown} bytes, the bound is {memory}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_and_an_export_stay_within_their_bounds() {
    an_export_stays_within_its_bound().await;
    // The samples of the first take more than the bound when they are held; the third has series longer than any window. A
    // histogram is as large as hundreds of floats, so rows alone would bound nothing.
    for (parts, series, samples, make, least) in [
        (32, 2_000, 80, some_floats as Make, 1),
        (96, 2_000, 20, some_floats, 1),
        (40, 3, 5_000, some_floats, 1),
        (32, 20, 20, some_histograms, 20),
        (16, 2, 40, huge_histograms, 1_000),
    ] {
        let archive = archive(parts, series, samples, make).await;
        let (received, grown) = read_everything(&archive).await;
        let total = parts * series * samples as usize;
        assert!(
            received > total * least,
            "{received} bytes for {total} samples: more than {least} each are expected of this data"
        );
        let bound = 64 * MEGABYTE + parts.saturating_sub(32) * MEGABYTE / 2;
        assert!(
            grown <= bound,
            "{parts} parts with {total} samples took {grown} bytes, the bound is {bound}"
        );
    }
}
