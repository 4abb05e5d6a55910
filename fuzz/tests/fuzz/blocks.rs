//! The index alone, and whole blocks with any of their files damaged: blocks come from Prometheus and from disks that age.

use std::fs;
use std::path::{Path, PathBuf};

use emberkeep_fuzz::{Bound, Input, Target};
use emberkeep_model::SeriesRuns;
use emberkeep_tsdb::index::IndexReader;
use emberkeep_tsdb::{BlockReader, TsdbError};

use crate::crafted_index::{many_labels, many_lists};
use crate::writing::said;

/// Where the files of an input lie in a block.
const FILES: [&str; 4] = ["chunks/000001", "index", "meta.json", "tombstones"];

const CHUNKS: usize = 0;
const INDEX: usize = 1;
const TOMBSTONES: usize = 3;

/// Every block that some Prometheus wrote for the tests of the crate: `golden/<set>/<ULID>/`.
fn golden() -> Vec<PathBuf> {
    let list = |folder: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut folders: Vec<_> = entries.filter(|path| path.is_dir()).collect();
        folders.sort();
        folders
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tsdb/testdata/golden");
    list(&root).iter().flat_map(|set| list(set)).collect()
}

fn blocks() -> Vec<Input> {
    let read = |block: &PathBuf| Input {
        files: FILES.iter().map(|name| fs::read(block.join(name)).unwrap()).collect(),
    };
    golden().iter().map(read).collect()
}

fn be32(bytes: &[u8], at: usize) -> Option<usize> {
    let number = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_be_bytes(*number) as usize)
}

/// Length and number of bytes of a varint.
fn uvarint(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let mut value = 0_usize;
    for (i, byte) in bytes.get(at..)?.iter().take(5).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some((value, i + 1));
        }
    }
    None
}

/// Puts the CRC-32C of a stretch behind it, when both are there; where that ends.
fn sum(bytes: &mut [u8], start: usize, length: usize) -> Option<usize> {
    let end = start.checked_add(length)?;
    let crc = crc_fast::crc32_iscsi(bytes.get(start..end)?);
    bytes.get_mut(end..end + 4)?.copy_from_slice(&crc.to_be_bytes());
    Some(end + 4)
}

fn repair_chunks(bytes: &mut [u8]) {
    let mut at = 8;
    while let Some((length, width)) = uvarint(bytes, at) {
        let Some(end) = sum(bytes, at + width, length + 1) else {
            return;
        };
        at = end;
    }
}

/// Every section as far as the table of contents leads to it.
fn repair_index(bytes: &mut [u8]) {
    let Some(contents) = bytes.len().checked_sub(52) else {
        return;
    };
    let _ = sum(bytes, contents, 48);
    let offset = |bytes: &[u8], number: usize| {
        let entry = bytes[contents + 8 * number..]
            .first_chunk()
            .copied()
            .unwrap_or_default();
        usize::try_from(u64::from_be_bytes(entry)).unwrap_or(usize::MAX)
    };
    let [symbols, series, postings, table] = [0, 1, 4, 5].map(|number| offset(bytes, number));
    for section in [symbols, table] {
        if let Some(length) = be32(bytes, section) {
            let _ = sum(bytes, section + 4, length);
        }
    }
    let mut at = series.min(bytes.len()).next_multiple_of(16);
    while at < postings {
        let Some((length, width)) = uvarint(bytes, at) else {
            break;
        };
        let Some(end) = sum(bytes, at + width, length) else {
            break;
        };
        at = end.next_multiple_of(16);
    }
    let mut at = postings.min(bytes.len()).next_multiple_of(4);
    while at < table {
        let Some(length) = be32(bytes, at) else { break };
        let Some(end) = sum(bytes, at + 4, length) else { break };
        at = end.next_multiple_of(4);
    }
}

/// The stones are summed, magic and version before them are not.
fn repair_tombstones(bytes: &mut [u8]) {
    if let Some(length) = bytes.len().checked_sub(9) {
        let _ = sum(bytes, 5, length);
    }
}

fn repair(input: &mut Input) {
    repair_chunks(&mut input.files[CHUNKS]);
    repair_index(&mut input.files[INDEX]);
    repair_tombstones(&mut input.files[TOMBSTONES]);
}

/// What an index says of everything that it holds.
fn walk_index(path: &Path) -> Result<String, TsdbError> {
    let index = IndexReader::open(path)?;
    let mut counts = [index.ids().len(), index.pairs().count(), 0, 0];
    let mut failed = None;
    for &id in index.ids() {
        match index.series(id) {
            Ok(series) => counts[2] += series.chunks.len(),
            Err(error) => failed = Some(error),
        }
    }
    for (name, value) in index.pairs() {
        let (Ok(name), Ok(value)) = (std::str::from_utf8(name), std::str::from_utf8(value)) else {
            continue;
        };
        match index.postings(name, value) {
            Ok(ids) => counts[3] += ids.len(),
            Err(error) => failed = Some(error),
        }
    }
    Ok(format!(
        "{counts:?} {}",
        failed.map_or(String::new(), |error| error.to_string())
    ))
}

/// The file in memory, places of symbols and lists beside it, and the labels of one series at a time, up to 4 MiB of them.
#[test]
fn index() {
    let target = Target {
        name: "index",
        rounds: 2500,
        max_bytes: 16 << 10,
        bound: Bound {
            per_byte: 80,
            flat: 13 << 20,
        },
        dictionary: &[],
        outcomes: 25,
    };
    let only_index = |block: Input| Input::of(block.files[INDEX].clone());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("index");
    let mut seeds: Vec<Input> = blocks().into_iter().map(only_index).collect();
    seeds.push(Input::of(many_labels()));
    seeds.push(Input::of(many_lists()));
    target.run(
        seeds,
        |input| repair_index(&mut input.files[0]),
        |input| {
            fs::write(&path, input.bytes()).unwrap();
            said(walk_index(&path))
        },
    );
}

fn walk_block(directory: &Path) -> Result<String, TsdbError> {
    let mut block = BlockReader::open(directory)?;
    let mut series = 0_usize;
    let verified = block.verify(|_, _| series += 1);
    let mut runs = SeriesRuns::default();
    let mut rows = 0_usize;
    let mut failed = None;
    for position in 0..block.series_count() {
        let read = block.series(position).and_then(|entry| {
            runs.clear();
            block.samples(&entry, &mut runs)
        });
        match read {
            Ok(()) => rows += runs.len(),
            Err(error) => failed = Some(error),
        }
    }
    let verified = said(verified.map(|stats| format!("{stats:?}")));
    let failed = failed.map_or(String::new(), |error| error.to_string());
    let deleted = block.tombstones().len();
    Ok(format!(
        "{series} series, {rows} rows, {deleted} deleted / {verified} / {failed}"
    ))
}

/// As the index, and the window of a segment. A chunk may give 64 MiB of rows; they are held twice while a series is put together, and
/// lists that grow have both their lengths at once.
#[test]
fn block() {
    let target = Target {
        name: "block",
        rounds: 1500,
        max_bytes: 64 << 10,
        bound: Bound {
            per_byte: 300,
            flat: 400 << 20,
        },
        dictionary: &[b"\"version\":", b"\"stats\":", b"numSamples", b"{", b"}", b"null"],
        outcomes: 80,
    };
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("block");
    fs::create_dir_all(root.join("chunks")).unwrap();
    let mut seeds = blocks();
    for index in [many_lists(), many_labels()] {
        let mut hostile = seeds[0].clone();
        hostile.files[INDEX] = index;
        seeds.push(hostile);
    }
    target.run(seeds, repair, |input| {
        for (name, bytes) in FILES.iter().zip(&input.files) {
            fs::write(root.join(name), bytes).unwrap();
        }
        // Places stand in messages, and must not tell two runs apart.
        said(walk_block(&root)).replace(&root.display().to_string(), "")
    });
}
