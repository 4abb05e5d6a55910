//! Blocks by themselves: whether each can be opened and walked from its first byte to its last, and whether `meta.json` tells the truth.

use std::fs::{self, File};
use std::io::{BufReader, ErrorKind};
use std::path::Path;

use emberkeep_model::TimeRange;
use emberkeep_tsdb::{BLOCK_DURATION_MS, BlockMeta, BlockReader, TEMPORARY_SUFFIX};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::BlockDigests;
use super::block_digests::block_directories;
use super::comparison::{BLOCK_ADVICE, of_block};
use super::finding::{Finding, FindingKind, Findings};
use super::report::Checked;
use super::stretches::{Block, shown};
use crate::ReaderError;

/// Opens each block in turn, and tells of those that cannot be opened and of what is left of an export that was interrupted.
pub(super) fn blocks(
    directory: &Path,
    findings: &mut Findings,
    checked: &mut Checked,
) -> Result<Vec<Block>, ReaderError> {
    let mut found = Vec::new();
    let paths = block_directories(directory)?;
    if paths.is_empty() {
        return Err(ReaderError::Bad(format!(
            "there is no block in `{}`: give the directory that the blocks lie in",
            directory.display()
        )));
    }
    for entry in fs::read_dir(directory).map_err(ReaderError::file(directory))? {
        let path = entry.map_err(ReaderError::file(directory))?.path();
        if path.to_string_lossy().ends_with(TEMPORARY_SUFFIX) {
            findings.push(Finding {
                kind: FindingKind::Extra,
                object: path.display().to_string(),
                series: None,
                rows: None,
                expected: "finished blocks only".to_owned(),
                found: "a block that was never finished".to_owned(),
                advice: "run the same export again: it completes what was interrupted".to_owned(),
            });
        }
    }
    for name in ["exemplars.json", "metadata.json"] {
        check_json(&directory.join(name), findings);
    }
    for path in paths {
        match BlockReader::open(&path) {
            Ok(reader) => {
                checked.blocks += 1;
                checked.block_bytes += reader.bytes();
                let meta = reader.meta().clone();
                found.push(Block { path, meta });
            }
            Err(error) => findings.push(of_block(&path.display().to_string(), &error)),
        }
    }
    Ok(found)
}

/// A file beside the blocks, where there is one, is JSON from its first byte to its last. It has no checksum.
fn check_json(path: &Path, findings: &mut Findings) {
    let object = path.display().to_string();
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return,
        Err(error) => return findings.push(Finding::unchecked(&object, &error)),
    };
    let mut json = serde_json::Deserializer::from_reader(BufReader::new(file));
    match IgnoredAny::deserialize(&mut json).and_then(|_| json.end()) {
        Ok(()) => {}
        Err(error) if error.is_io() => findings.push(Finding::unchecked(&object, &error)),
        Err(error) => findings.push(Finding {
            kind: FindingKind::Damaged,
            object,
            series: None,
            rows: None,
            expected: "JSON".to_owned(),
            found: error.to_string(),
            advice: "run the same export again into an empty directory".to_owned(),
        }),
    }
}

/// Reads a block from its first byte to its last.
pub(super) fn walk(path: &Path, mut findings: Findings) -> Findings {
    let object = path.display().to_string();
    let reader = match BlockReader::open(path) {
        Ok(reader) => reader,
        Err(error) => {
            findings.push(of_block(&object, &error));
            return findings;
        }
    };
    let mut blocks = BlockDigests::new(vec![reader], TimeRange::ALL);
    loop {
        match blocks.next_series() {
            Ok(Some(series)) => {
                if let Some(damage) = &series.damage {
                    findings.push(of_block(&object, damage).of_series(&series.labels));
                }
            }
            Ok(None) => break,
            Err(error) => {
                let finding = of_block(&object, &error);
                let is_over = finding.kind != FindingKind::Damaged;
                findings.push(finding);
                if is_over {
                    return findings;
                }
            }
        }
    }
    check_metas(&blocks, &mut findings);
    findings
}

/// `meta.json` has no checksum: what it says is held against what was seen.
pub(super) fn check_metas(blocks: &BlockDigests, findings: &mut Findings) {
    for (path, meta, span) in blocks.seen() {
        for (expected, found) in contradictions(meta, span) {
            findings.push(Finding {
                kind: FindingKind::Damaged,
                object: path.join("meta.json").display().to_string(),
                series: None,
                rows: None,
                expected,
                found,
                advice: BLOCK_ADVICE.to_owned(),
            });
        }
    }
}

fn contradictions(meta: &BlockMeta, span: Option<(i64, i64)>) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let stats = &meta.stats;
    let (apart, together) = (stats.num_float_samples + stats.num_histogram_samples, stats.num_samples);
    if apart != together {
        found.push((format!("kinds that make {together} samples"), format!("{apart}")));
    }
    let compaction = &meta.compaction;
    let is_fresh = compaction.level == 1 && compaction.sources == [meta.ulid];
    let is_merged = compaction.level > 1 && (compaction.sources.len() > 1 || !compaction.parents.is_empty());
    if !is_fresh && !is_merged {
        let said = format!("level {} with {} sources", compaction.level, compaction.sources.len());
        found.push((
            "level 1 and itself as its source, or a merge of several".to_owned(),
            said,
        ));
    }
    // We write the times of the first and the last sample; Prometheus writes those of its windows.
    let is_end = |said: i64, seen: i64| said == seen || said.rem_euclid(BLOCK_DURATION_MS) == 0;
    if let Some((first, last)) = span
        && !(is_end(meta.min_time, first) && is_end(meta.max_time, last.saturating_add(1)))
    {
        let said = TimeRange {
            start: meta.min_time,
            end: meta.max_time,
        };
        found.push((shown(TimeRange::from_inclusive(first, last)), shown(said)));
    }
    found
}
