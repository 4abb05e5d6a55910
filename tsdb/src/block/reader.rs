//! Reads one block, and verifies it whole.
//!
//! Prometheus checks most rules only when it writes, so a wrong block would be found days later, at its compaction. `verify` checks
//! them all. Blocks with tombstones are refused: answering deleted samples would be wrong.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use emberkeep_model::{Labels, Run};
use ulid::Ulid;

use super::{CHUNKS, INDEX, META, NO_TOMBSTONES, TOMBSTONES};
use crate::chunk::xor;
use crate::error::{corrupt, io_error};
use crate::index::{IndexReader, SeriesEntry};
use crate::segment::SegmentReader;
use crate::{BlockMeta, BlockStats, ChunkMeta, Encoding, TsdbError};

/// An open block.
#[derive(Debug)]
pub struct BlockReader {
    directory: PathBuf,
    meta: BlockMeta,
    index: IndexReader,
    segments: SegmentReader,
    other_bytes: u64,
}

impl BlockReader {
    /// Opens the block in a directory; the index is held in memory, chunks are read when asked for.
    ///
    /// # Errors
    /// [`TsdbError::Io`], [`TsdbError::Corrupt`], [`TsdbError::Unsupported`] for other versions and for tombstones.
    pub fn open(directory: &Path) -> Result<Self, TsdbError> {
        let meta_path = directory.join(META);
        let meta = BlockMeta::read(&meta_path)?;
        let named = directory
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| Ulid::from_string(name).ok());
        if named.is_some_and(|ulid| ulid != meta.ulid) {
            // Prometheus finds blocks by directory and deletes them by ULID.
            let what = format!("its ULID {} is not the name of the directory", meta.ulid);
            return Err(corrupt(|| format!("`{}`", meta_path.display()))(what));
        }
        let tombstones = check_tombstones(&directory.join(TOMBSTONES))?;
        let index = IndexReader::open(&directory.join(INDEX))?;
        let segments = SegmentReader::open(&directory.join(CHUNKS))?;
        let meta_bytes = fs::metadata(&meta_path).map_err(io_error("look at", &meta_path))?.len();
        Ok(Self {
            directory: directory.to_owned(),
            meta,
            index,
            segments,
            other_bytes: meta_bytes + tombstones,
        })
    }

    /// What the block says of itself.
    #[must_use]
    pub fn meta(&self) -> &BlockMeta {
        &self.meta
    }

    /// Its index.
    #[must_use]
    pub fn index(&self) -> &IndexReader {
        &self.index
    }

    /// Bytes of all its files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.index.bytes() + self.segments.bytes() + self.other_bytes
    }

    /// Number of series.
    #[must_use]
    pub fn series_count(&self) -> usize {
        self.index.ids().len()
    }

    /// Labels and chunks of the series at a position in label order.
    ///
    /// # Errors
    /// [`TsdbError::Corrupt`].
    ///
    /// # Panics
    /// When the position is not below [`BlockReader::series_count`].
    pub fn series(&self, position: usize) -> Result<SeriesEntry, TsdbError> {
        self.index.series(self.index.ids()[position])
    }

    /// Appends the samples of a chunk to `run`.
    ///
    /// # Errors
    /// [`TsdbError::Corrupt`], [`TsdbError::Unsupported`] for encodings other than XOR, [`TsdbError::Io`].
    pub fn chunk_samples(&mut self, chunk: &ChunkMeta, run: &mut Run) -> Result<(), TsdbError> {
        let (encoding, data) = self.segments.chunk(chunk.reference)?;
        match encoding {
            Encoding::Xor => xor::decode(data, run),
            other => Err(TsdbError::Unsupported {
                place: format!("chunk {:#x} of `{}`", chunk.reference, self.directory.display()),
                what: format!("chunk encoding {other:?}"),
            }),
        }
    }

    /// All samples of a series, in place of what `run` held.
    ///
    /// # Errors
    /// As [`BlockReader::chunk_samples`].
    pub fn samples(&mut self, series: &SeriesEntry, run: &mut Run) -> Result<(), TsdbError> {
        run.clear();
        series
            .chunks
            .iter()
            .try_for_each(|chunk| self.chunk_samples(chunk, run))
    }

    /// Reads everything again and checks it: checksums, order of series, chunks and samples, times of chunks and block, postings,
    /// counts. Each series is also shown to `visit`, so that digests cost no second pass. Holds 4 bytes per posting.
    ///
    /// # Errors
    /// The first thing that is wrong, as [`TsdbError::Corrupt`]; else as [`BlockReader::chunk_samples`].
    pub fn verify(&mut self, mut visit: impl FnMut(&Labels, &Run)) -> Result<BlockStats, TsdbError> {
        let directory = self.directory.clone();
        let damaged = |what: String| corrupt(|| format!("block `{}`", directory.display()))(what);
        let lists = (1..self.index.list_count())
            .map(|n| self.index.postings_at(n))
            .collect::<Result<Vec<_>, _>>()?;
        let mut seen = vec![0usize; lists.len()];
        let mut stats = BlockStats::default();
        let mut run = Run::default();
        let mut last_labels: Option<Labels> = None;
        let mut last_reference = 0;
        for position in 0..self.series_count() {
            let id = self.index.ids()[position];
            let series = self.index.series(id)?;
            let labels = &series.labels;
            if labels.is_empty() || last_labels.as_ref().is_some_and(|last| labels <= last) {
                return Err(damaged(format!("series `{labels}` is out of order")));
            }
            for (name, value) in labels.iter() {
                let list = self
                    .index
                    .position(name.as_bytes(), value.as_bytes())
                    .unwrap_or(0)
                    .checked_sub(1);
                let Some(list) = list.filter(|&list| lists[list].get(seen[list]) == Some(&id)) else {
                    return Err(damaged(format!(
                        "the postings of `{name}={value:?}` do not hold series `{labels}`"
                    )));
                };
                seen[list] += 1;
            }
            match series.chunks.first() {
                None => return Err(damaged(format!("series `{labels}` has no chunk"))),
                Some(first) if first.reference < last_reference => {
                    return Err(damaged(format!(
                        "the chunks of series `{labels}` lie before those of the previous"
                    )));
                }
                Some(_) => {}
            }
            run.clear();
            for chunk in &series.chunks {
                let from = run.len();
                self.chunk_samples(chunk, &mut run)?;
                let times = &run.timestamps[from..];
                if times.first() != Some(&chunk.min_time) || times.last() != Some(&chunk.max_time) {
                    return Err(damaged(format!(
                        "a chunk of series `{labels}` does not cover the time that the index says"
                    )));
                }
                last_reference = chunk.reference;
            }
            let inside = run.timestamps.first().is_some_and(|&first| first >= self.meta.min_time)
                && run.timestamps.last().is_some_and(|&last| last < self.meta.max_time);
            if !run.is_settled() || !inside {
                return Err(damaged(format!(
                    "samples of series `{labels}` are out of order or outside the block"
                )));
            }
            stats.num_series += 1;
            stats.num_chunks += series.chunks.len() as u64;
            stats.num_samples += run.len() as u64;
            visit(labels, &run);
            last_labels = Some(series.labels);
        }
        if lists.iter().zip(&seen).any(|(list, &seen)| list.len() != seen) {
            return Err(damaged(
                "postings hold a series that does not have the label".to_owned(),
            ));
        }
        // Old versions of Prometheus do not count floats apart.
        stats.num_float_samples = if self.meta.stats.num_float_samples == 0 {
            0
        } else {
            stats.num_samples
        };
        if stats != self.meta.stats {
            return Err(damaged(format!("it holds {stats:?}, but says {:?}", self.meta.stats)));
        }
        Ok(stats)
    }
}

/// Bytes of the tombstone file, which must be absent or hold none.
fn check_tombstones(path: &Path) -> Result<u64, TsdbError> {
    let bytes = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(io_error("look at", path)(error)),
        Ok(metadata) => metadata.len(),
    };
    let place = || format!("`{}`", path.display());
    if bytes != NO_TOMBSTONES.len() as u64 {
        return Err(TsdbError::Unsupported {
            place: place(),
            what: "a tombstone".to_owned(),
        });
    }
    let content = fs::read(path).map_err(io_error("read", path))?;
    if content == NO_TOMBSTONES {
        Ok(bytes)
    } else {
        Err(corrupt(place)("it is not an empty tombstone file"))
    }
}
