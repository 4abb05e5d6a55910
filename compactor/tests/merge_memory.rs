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
use emberkeep_model::{Exemplar, Labels, Sample, SeriesRuns, TenantId, TimeRange};

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
}

const TEXT_BYTES: usize = 8192;

impl Bulk {
    /// Series of a part, and rows of each kind in a series.
    fn shape(self) -> (usize, i64) {
        let texts = TIMES_THE_BOUND * MergeJob::least_memory() / TEXT_BYTES / usize::try_from(PARTS).unwrap() + 1;
        match self {
            Self::Exemplars => (texts.div_ceil(50), 50),
            Self::Labels => (texts, 1),
        }
    }

    /// One series with its rows. Texts are large, so that a build without optimisation has few to go through, and small in a file.
    fn series(self, number: usize, part: i64) -> (Labels, SeriesRuns) {
        let text = |number: u64| format!("{number:016x}").repeat(TEXT_BYTES / 16);
        let (name, long) = (format!("{number:06}"), text(number as u64));
        let labels = match self {
            Self::Exemplars => Labels::from_pairs([("__name__", "noise"), ("n", &name)]),
            Self::Labels => Labels::from_pairs([("__name__", "noise"), ("n", &name), ("text", &long)]),
        };
        let (_, rows) = self.shape();
        let mut runs = SeriesRuns::default();
        for i in part * rows..(part + 1) * rows {
            let seed = (i.cast_unsigned() + 1).wrapping_mul(number as u64 + 1);
            runs.samples.push(Sample {
                timestamp: i * 500,
                value: f64::from_bits(seed.wrapping_mul(6_364_136_223_846_793_005) >> 2),
                start_timestamp: 0,
            });
            if let Self::Exemplars = self {
                runs.exemplars.push(Exemplar {
                    timestamp: i * 500,
                    value: 0.5,
                    labels: Labels::from_pairs([("trace_id", text(seed).as_str())]).unwrap(),
                });
            }
        }
        (labels.unwrap(), runs)
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
fn peak_of(bulk: Bulk) -> usize {
    let directory = tempfile::tempdir().unwrap();
    let inputs: Vec<PartEntry> = (0..PARTS).map(|number| flush(directory.path(), number, bulk)).collect();
    let held = inputs.iter().flat_map(|part| part.tenants.values());
    let rows = held.map(|held| held.samples + held.exemplars).sum::<u64>();
    let job = MergeJob {
        inputs,
        windows: vec![Window {
            tenant: TenantId::default(),
            level: 1,
            range: TimeRange {
                start: 0,
                end: 7_200_000,
            },
        }],
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
    peak
}

#[test]
fn a_merge_takes_what_it_states_and_a_tenth_of_its_inputs() {
    for bulk in [Bulk::Exemplars, Bulk::Labels] {
        let peak = peak_of(bulk);
        assert!(peak < MergeJob::least_memory(), "{bulk:?}: peak {peak} B");
    }
}
