//! Memory of a merge does not grow with its inputs: it stays inside of what it states, and well below what they take.
//!
//! Every allocation of this process is counted. Archive and scratch files lie in a directory, so they are not memory of ours, and one test
//! runs alone in its process, so nothing else allocates.

#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(
    unsafe_code,
    reason = "counting what the system's allocator gives needs an allocator of one's own"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs::File;
use std::io::BufWriter;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use emberkeep_archive::{
    ArchiveError, DirectoryStore, ObjectStore, PartEntry, PartInfo, PartOrigin, PartSettings, PartWriter, Ulid,
    WalRange, names,
};
use emberkeep_compactor::merge::{self, MergeJob, Window};
use emberkeep_disk::{FileSystem, RealFs};
use emberkeep_model::{Counts, Exemplar, Histogram, Labels, Sample, SeriesRuns, Span, TenantId, TimeRange};

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call is passed on to the system's allocator as it is; only its size is counted.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(live, Ordering::Relaxed);
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

const PARTS: i64 = 4;
/// What the inputs take in memory, in units of what a merge states.
const TIMES_THE_BOUND: usize = 10;

/// What most of the bytes of a part are.
#[derive(Debug, Clone, Copy)]
enum Bulk {
    /// Exemplars with a label of 8 KiB.
    Exemplars,
    /// Series with a label of 8 KiB.
    Labels,
    /// Native histograms with buckets of 8 KiB.
    Histograms,
    /// All of these, and floats, of which nothing becomes smaller in a file.
    Noise,
}

/// How the rows are cut: into how many outputs.
#[derive(Debug, Clone, Copy)]
enum Cut {
    /// One, which is all that is open.
    Whole,
    /// As many as there are parts: all of them are open, and each is large.
    ByTime,
}

const TEXT_BYTES: usize = 8192;

/// What each output has of noise, of each kind: more than a row group.
const NOISE_BYTES: usize = 12 << 20;

/// Milliseconds from one row of a series to the next.
const ROW_EVERY_MS: i64 = 500;

/// A histogram whose buckets take as much as a text.
fn histogram(sum: f64, bucket: impl FnMut() -> f64) -> Histogram {
    let buckets = TEXT_BYTES / size_of::<f64>();
    Histogram {
        counts: Counts::Float {
            count: 1.0,
            zero_count: 0.0,
            positive: std::iter::repeat_with(bucket).take(buckets).collect(),
            negative: vec![],
        },
        sum,
        positive_spans: vec![Span {
            offset: 0,
            length: u32::try_from(buckets).unwrap(),
        }],
        ..Histogram::default()
    }
}

/// The next of some numbers that nothing can make smaller.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb)
}

/// Text that takes in a file nearly what it takes in memory.
fn noise(state: &mut u64) -> String {
    let letter = |at: u64| char::from(b'0' + u8::try_from(at & 63).unwrap());
    let letters = (0..TEXT_BYTES / 8).flat_map(|_| next(state).to_le_bytes());
    letters.map(|byte| letter(byte.into())).collect()
}

impl Bulk {
    /// Series of a part, and rows of each kind in a series.
    fn shape(self) -> (usize, i64) {
        let texts = TIMES_THE_BOUND * MergeJob::least_memory() / TEXT_BYTES / usize::try_from(PARTS).unwrap() + 1;
        match self {
            Self::Exemplars | Self::Histograms => (texts.div_ceil(50), 50),
            Self::Labels => (texts, 1),
            // A row group of each kind is as full as it can be.
            Self::Noise => (
                NOISE_BYTES / TEXT_BYTES,
                i64::try_from(TEXT_BYTES / size_of::<f64>()).unwrap(),
            ),
        }
    }

    /// One series with its rows. But for noise, texts are large, so that a build without optimisation has few to go through, and small in a
    /// file.
    fn series(self, number: usize, part: i64) -> (Labels, SeriesRuns) {
        let text = |number: u64| format!("{number:016x}").repeat(TEXT_BYTES / 16);
        let (name, mut state) = (format!("{number:06}"), number as u64);
        let long = match self {
            Self::Labels => Some(text(state)),
            Self::Noise => Some(noise(&mut state)),
            Self::Exemplars | Self::Histograms => None,
        };
        let mut labels = vec![("__name__", "noise"), ("n", &name)];
        labels.extend(long.iter().map(|long| ("text", long.as_str())));
        let (_, rows) = self.shape();
        let mut runs = SeriesRuns::default();
        let times = (part * rows..(part + 1) * rows).map(|i| i * ROW_EVERY_MS);
        for (timestamp, is_first) in times.zip(std::iter::once(true).chain(std::iter::repeat(false))) {
            let seed = (timestamp.cast_unsigned() + 1).wrapping_mul(number as u64 + 1);
            let mut random = seed;
            let value = f64::from_bits(next(&mut random) >> 2);
            if let Self::Histograms = self {
                let histogram = histogram(value, || value);
                runs.histograms.push(timestamp, 0, &histogram);
                continue;
            }
            runs.samples.push(Sample {
                timestamp,
                value,
                start_timestamp: 0,
            });
            let text = match self {
                Self::Exemplars => text(seed),
                Self::Noise if is_first => {
                    let histogram = histogram(value, || f64::from_bits(next(&mut random) >> 2));
                    runs.histograms.push(timestamp + 1, 0, &histogram);
                    noise(&mut random)
                }
                _ => continue,
            };
            runs.exemplars.push(Exemplar {
                timestamp,
                value: 0.5,
                labels: Labels::from_pairs([("trace_id", text.as_str())]).unwrap(),
            });
        }
        (Labels::from_pairs(labels).unwrap(), runs)
    }
}

/// A part with each series once, behind the one before it in time.
fn flush(directory: &std::path::Path, number: i64, bulk: Bulk) -> PartEntry {
    let ulid = Ulid(u128::try_from(number).unwrap());
    let seq = number.cast_unsigned() + 1;
    let object = |kind| names::level0("r", seq, ulid, kind);
    let create = |kind| {
        let path = directory.join(object(kind).as_ref());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        File::create(path).map(BufWriter::new).map_err(ArchiveError::Write)
    };
    let info = PartInfo {
        dataset: "d".to_owned(),
        ulid,
        origin: PartOrigin::Flush {
            receiver: "r".to_owned(),
            wal: WalRange {
                id: "w".to_owned(),
                from: seq,
                to: seq + 1,
            },
        },
    };
    let mut writer = PartWriter::create(create, info, PartSettings::default()).unwrap();
    for series in 0..bulk.shape().0 {
        let (labels, runs) = bulk.series(series, number);
        writer.push(&TenantId::default(), &labels, &runs, &[]).unwrap();
    }
    let (summary, files) = writer.finish().unwrap();
    for (_, file) in files {
        file.into_inner().unwrap();
    }
    PartEntry::level0(ulid, "r", &summary, object)
}

/// The most that a merge of parts takes, with the settings that the product has.
fn peak_of(bulk: Bulk, cut: Cut) -> usize {
    let directory = tempfile::tempdir().unwrap();
    let inputs: Vec<PartEntry> = (0..PARTS).map(|number| flush(directory.path(), number, bulk)).collect();
    let held = inputs.iter().flat_map(|part| part.tenants.values());
    let rows = held
        .map(|held| held.samples + held.histograms + held.exemplars)
        .sum::<u64>();
    let (_, rows_of_part) = bulk.shape();
    let windows = match cut {
        Cut::Whole => vec![(0, 7_200_000)],
        Cut::ByTime => (0..PARTS)
            .map(|part| {
                (
                    part * rows_of_part * ROW_EVERY_MS,
                    (part + 1) * rows_of_part * ROW_EVERY_MS,
                )
            })
            .collect(),
    };
    let outputs = windows.len();
    let window = |(start, end)| Window {
        tenant: TenantId::default(),
        level: 1,
        range: TimeRange { start, end },
    };
    let job = MergeJob {
        inputs,
        windows: windows.into_iter().map(window).collect(),
        masks: vec![],
        masks_through: 0,
        merge: None,
        target_bytes: 256 << 20,
        settings: PartSettings::compacted(),
        memory_bytes: MergeJob::least_memory(),
    };
    let fs: Arc<dyn FileSystem> = Arc::new(RealFs);
    let store: Arc<dyn ObjectStore> = Arc::new(DirectoryStore::open(Arc::clone(&fs), directory.path()).unwrap());
    let scratch = directory.path().join("scratch");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();

    let before = LIVE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let outcome = runtime.block_on(merge::run(&store, &fs, &scratch, &job, 0)).unwrap();
    let peak = PEAK.load(Ordering::Relaxed) - before;
    assert_eq!((outcome.rows_read, outcome.rows_written), (rows, rows));
    assert_eq!(outcome.added.len(), outputs);
    peak
}

#[test]
fn a_merge_takes_what_it_states_and_a_tenth_of_its_inputs() {
    for (bulk, cut) in [
        (Bulk::Exemplars, Cut::Whole),
        (Bulk::Labels, Cut::ByTime),
        (Bulk::Histograms, Cut::ByTime),
    ] {
        let peak = peak_of(bulk, cut);
        assert!(peak < MergeJob::least_memory(), "{bulk:?} {cut:?}: peak {peak} B");
    }
    // Outputs that are all open, and of which each has a row group of each kind nearly full.
    let peak = peak_of(Bulk::Noise, Cut::ByTime);
    assert!(peak < MergeJob::least_memory(), "noise: peak {peak} B");
}
