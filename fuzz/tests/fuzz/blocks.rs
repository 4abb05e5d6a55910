//! The index alone, and whole blocks with any of their files damaged: blocks come from Prometheus and from disks that age.

use std::fs;
use std::path::{Path, PathBuf};

use emberkeep_fuzz::{Bound, Input, Target};
use emberkeep_tsdb::index::IndexReader;
use emberkeep_tsdb::{BlockReader, TsdbError};

use crate::writing::said;

/// Where the files of an input lie in a block.
const FILES: [&str; 4] = ["chunks/000001", "index", "meta.json", "tombstones"];

const CHUNKS: usize = 0;
const INDEX: usize = 1;
const TOMBSTONES: usize = 3;

fn golden(block: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tsdb/testdata/golden")
        .join(block)
}

/// Blocks that Prometheus wrote.
fn blocks() -> Vec<Input> {
    let blocks = ["exact/01J0000000000000000000000A", "head/01M7XV0WEDKFFB1JJEZHQ3YEXH"];
    let read = |block: &str| Input {
        files: FILES.iter().map(|name| fs::read(golden(block).join(name)).unwrap()).collect(),
    };
    blocks.map(read).to_vec()
}

/// An index in which one series names one long symbol thousands of times, which would be megabytes of labels.
fn index_of_many_labels() -> Vec<u8> {
    fn varint(out: &mut Vec<u8>, mut value: usize) {
        while value >= 0x80 {
            out.push(value as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
    }
    let summed = |out: &mut Vec<u8>, content: &[u8]| {
        out.extend_from_slice(content);
        out.extend_from_slice(&crc_fast::crc32_iscsi(content).to_be_bytes());
    };
    let mut out = vec![0xba, 0xaa, 0xd7, 0, 2];
    let symbols = out.len();
    let mut content = vec![0, 0, 0, 2, 1, b'a'];
    varint(&mut content, 4000);
    content.extend_from_slice(&[b'b'; 4000]);
    out.extend_from_slice(&(content.len() as u32).to_be_bytes());
    summed(&mut out, &content);
    let series = out.len();
    out.resize(series.next_multiple_of(16), 0);
    let id = out.len() as u32 / 16;
    let mut content = Vec::new();
    varint(&mut content, 4000);
    content.extend([0, 1].repeat(4000));
    content.push(0);
    varint(&mut out, content.len());
    summed(&mut out, &content);
    let postings = out.len();
    out.resize(postings.next_multiple_of(4), 0);
    let list = out.len();
    out.extend_from_slice(&8_u32.to_be_bytes());
    summed(&mut out, &[1_u32.to_be_bytes(), id.to_be_bytes()].concat());
    let table = out.len();
    let mut content = vec![0, 0, 0, 1, 2, 0, 0];
    varint(&mut content, list);
    out.extend_from_slice(&(content.len() as u32).to_be_bytes());
    summed(&mut out, &content);
    let contents: Vec<u8> = [symbols, series, postings, table, postings, table]
        .iter()
        .flat_map(|offset| (*offset as u64).to_be_bytes())
        .collect();
    summed(&mut out, &contents);
    out
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
        let Some(end) = sum(bytes, at + width, length + 1) else { return };
        at = end;
    }
}

/// Every section as far as the table of contents leads to it.
fn repair_index(bytes: &mut [u8]) {
    let Some(contents) = bytes.len().checked_sub(52) else { return };
    let _ = sum(bytes, contents, 48);
    let offset = |bytes: &[u8], number: usize| {
        let entry = bytes[contents + 8 * number..].first_chunk().copied().unwrap_or_default();
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
        let Some((length, width)) = uvarint(bytes, at) else { break };
        let Some(end) = sum(bytes, at + width, length) else { break };
        at = end.next_multiple_of(16);
    }
    let mut at = postings.min(bytes.len()).next_multiple_of(4);
    while at < table {
        let Some(length) = be32(bytes, at) else { break };
        let Some(end) = sum(bytes, at + 4, length) else { break };
        at = end.next_multiple_of(4);
    }
}

/// Version and stones are summed, the magic before them is not.
fn repair_tombstones(bytes: &mut [u8]) {
    if let Some(length) = bytes.len().checked_sub(8) {
        let _ = sum(bytes, 4, length);
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
    Ok(format!("{counts:?} {}", failed.map_or(String::new(), |error| error.to_string())))
}

/// The file in memory, places of symbols and lists beside it, and the labels of one series at a time.
#[test]
fn index() {
    let target = Target {
        name: "index",
        rounds: 2500,
        max_bytes: 16 << 10,
        bound: Bound {
            per_byte: 80,
            flat: 64 << 10,
        },
        dictionary: &[],
        outcomes: 1,
    };
    let only_index = |block: Input| Input::of(block.files[INDEX].clone());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("index");
    let mut seeds: Vec<Input> = blocks().into_iter().map(only_index).collect();
    seeds.push(Input::of(index_of_many_labels()));
    target.run(seeds, |input| repair_index(&mut input.files[0]), |input| {
        fs::write(&path, input.bytes()).unwrap();
        said(walk_index(&path))
    });
}

fn walk_block(directory: &Path) -> Result<String, TsdbError> {
    let mut block = BlockReader::open(directory)?;
    let mut series = 0_usize;
    let verified = block.verify(|_, _| series += 1);
    let mut runs = emberkeep_model::Run::default();
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
    Ok(format!("{series} series, {rows} rows / {verified} / {failed}"))
}

/// As the index, the window of a segment, and the rows of one series.
#[test]
fn block() {
    let target = Target {
        name: "block",
        rounds: 1500,
        max_bytes: 64 << 10,
        bound: Bound {
            per_byte: 2000,
            flat: 4 << 20,
        },
        dictionary: &[b"\"version\":", b"\"stats\":", b"numSamples", b"{", b"}", b"null"],
        outcomes: 1,
    };
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("block");
    fs::create_dir_all(root.join("chunks")).unwrap();
    target.run(blocks(), repair, |input| {
        for (name, bytes) in FILES.iter().zip(&input.files) {
            fs::write(root.join(name), bytes).unwrap();
        }
        // Places stand in messages, and must not tell two runs apart.
        said(walk_block(&root)).replace(&root.display().to_string(), "")
    });
}
