//! The samples of a file of requests, by series. The form of the file is drawn in `benches/rwgen/src/file.rs`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use emberkeep_model::{Labels, Run, Sample};
use emberkeep_proto::{snappy, write_v1};

const TRAILER_BYTES: usize = 40;
const SLOT_BYTES: usize = 48;

/// All series in label order, with their samples in order of time.
pub(crate) fn load(path: &Path) -> Result<Vec<(Labels, Run)>> {
    let bytes = std::fs::read(path).with_context(|| format!("read `{}`", path.display()))?;
    ensure!(
        bytes.ends_with(b"RWGENEND"),
        "`{}` is not a file of rwgen",
        path.display()
    );
    let trailer = bytes.len() - TRAILER_BYTES;
    let index = usize::try_from(word(&bytes, trailer)?)?;
    let index_bytes = usize::try_from(word(&bytes, trailer + 8)?)?;
    let slots = bytes
        .get(index..index + index_bytes)
        .context("its index is not there")?;
    let mut all: BTreeMap<Vec<u8>, (Labels, Run)> = BTreeMap::new();
    let (mut message, mut key) = (Vec::new(), Vec::new());
    for slot in slots.chunks_exact(SLOT_BYTES) {
        let (offset, length) = (
            usize::try_from(word(slot, 8)?)?,
            usize::try_from(word(slot, 28)? & 0xffff_ffff)?,
        );
        let body = bytes.get(offset..offset + length).context("a request is not there")?;
        snappy::decompress_capped(body, 64 << 20, &mut message)?;
        for series in write_v1::Request::parse(&message)?.series() {
            key.clear();
            for (name, value) in series.labels() {
                for text in [name, value] {
                    key.extend_from_slice(text);
                    key.push(0xff);
                }
            }
            if !all.contains_key(&key) {
                let text = |bytes| std::str::from_utf8(bytes).context("a label is no text");
                let pairs = series
                    .labels()
                    .map(|(name, value)| anyhow::Ok((text(name)?, text(value)?)));
                let labels = Labels::from_pairs(pairs.collect::<Result<Vec<_>>>()?)?;
                all.insert(key.clone(), (labels, Run::default()));
            }
            let (_, run) = all.get_mut(&key).context("it was inserted above")?;
            for sample in series.samples() {
                run.push(Sample {
                    timestamp: sample.timestamp,
                    value: sample.value,
                    start_timestamp: 0,
                });
            }
        }
    }
    let mut series: Vec<(Labels, Run)> = all.into_values().filter(|(_, run)| !run.is_empty()).collect();
    for (_, run) in &mut series {
        run.settle();
    }
    series.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(series)
}

fn word(bytes: &[u8], at: usize) -> Result<u64> {
    let word = bytes.get(at..at + 8).context("the file is cut off")?;
    Ok(u64::from_le_bytes(word.try_into()?))
}
