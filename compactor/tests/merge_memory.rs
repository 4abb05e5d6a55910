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
const SERIES: usize = 400;
/// Exemplars of a series in a part, as many floats, and bytes of the label that each exemplar has: large rows, so that a build without
/// optimisation has few of them to go through.
const ROWS: i64 = 25;
const LABEL_BYTES: usize = 2048;

/// Files with values that cannot be made smaller, each with the same series, one behind the other in time.
fn flush(directory: &std::path::Path, number: i64) -> PartEntry {
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
    let mut random = number.cast_unsigned() + 1;
    for series in 0..SERIES {
        let labels = Labels::from_pairs([("__name__", "noise"), ("n", format!("{series:05}").as_str())]).unwrap();
        let mut runs = SeriesRuns::default();
        for i in number * ROWS..(number + 1) * ROWS {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            // Small in a file: an upload holds up to 16 MiB of one, whatever it has.
            let text = format!("{random:016x}").repeat(LABEL_BYTES / 16);
            runs.samples.push(Sample {
                timestamp: i * 500,
                value: f64::from_bits(random >> 2),
                start_timestamp: 0,
            });
            runs.exemplars.push(Exemplar {
                timestamp: i * 500,
                value: 0.5,
                labels: Labels::from_pairs([("trace_id", text.as_str())]).unwrap(),
            });
        }
        writer.push(&TenantId::default(), &labels, &runs, &[]).unwrap();
    }
    let (summary, files) = writer.finish().unwrap();
    for (_, file) in files {
        file.into_inner().unwrap();
    }
    PartEntry::level0(ulid, "r", &summary, object)
}

#[test]
fn a_merge_takes_what_it_states_and_a_part_of_its_inputs() {
    let directory = tempfile::tempdir().unwrap();
    let inputs: Vec<PartEntry> = (0..PARTS).map(|number| flush(directory.path(), number)).collect();
    let rows = 2 * inputs.iter().map(PartEntry::samples).sum::<u64>();
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
        // An eighth of the usual row groups.
        settings: PartSettings {
            group_bytes: 1 << 20,
            ..PartSettings::compacted()
        },
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
    let in_memory = usize::try_from(rows / 2).unwrap() * LABEL_BYTES;
    assert!(peak < MergeJob::least_memory(), "peak {peak} B");
    assert!(3 * peak < in_memory, "peak {peak} B, inputs {in_memory} B");
}
