//! One block in work: its writer, what was meant to be in it, and how that is read back.
//!
//! It must never leave a block under its final name that is not what was meant.

use std::path::{Path, PathBuf};

use emberkeep_model::{Labels, SeriesRuns, TimeRange};
use emberkeep_tsdb::{BlockMeta, BlockReader, BlockWriter, PrometheusVersion, SeriesWriter, TsdbError};
use ulid::Ulid;

use super::content::Content;
use super::job::Work;
use super::tally::Tally;
use super::{StartTimestamps, Verification};
use crate::{Conflicts, ReaderError};

/// A block on disk.
#[derive(Debug)]
pub(super) struct MadeBlock {
    pub(super) meta: BlockMeta,
    pub(super) bytes: u64,
    pub(super) content: Content,
}

/// A block under construction.
pub(super) struct Making {
    pub(super) window: TimeRange,
    path: PathBuf,
    pub(super) writer: BlockWriter,
    meant: Tally,
    conflicts: Conflicts,
}

/// A block that is written and not read back yet.
pub(super) struct Written {
    path: PathBuf,
    meta: BlockMeta,
    meant: Tally,
    content: emberkeep_tsdb::BlockContent,
    conflicts: Conflicts,
}

impl Making {
    /// Begins the block of a window.
    pub(super) fn begin(work: &Work, window: TimeRange, ulid: Ulid) -> Result<Self, ReaderError> {
        let path = work.directory.join(ulid.to_string());
        let writer = Self::writer(work, window, ulid).map_err(failed(&path))?;
        Ok(Self {
            window,
            path,
            writer,
            meant: Tally::new(work.starts, work.verification),
            conflicts: Conflicts::default(),
        })
    }

    fn writer(work: &Work, window: TimeRange, ulid: Ulid) -> Result<BlockWriter, TsdbError> {
        let mut writer = BlockWriter::create(&work.directory, ulid, window)?;
        if work.starts == StartTimestamps::Kept {
            writer = writer.with_start_timestamps();
        }
        if let Some(bucket) = &work.bucket {
            writer = writer.for_bucket(bucket.clone());
        }
        Ok(writer)
    }

    /// Begins the next series.
    pub(super) fn series<'a>(&'a mut self, labels: &'a Labels) -> Result<MakingSeries<'a>, ReaderError> {
        self.meant.begin(labels);
        Ok(MakingSeries {
            writer: self.writer.series(labels).map_err(failed(&self.path))?,
            meant: &mut self.meant,
            path: &self.path,
        })
    }

    /// Counts rows that lost against a different one.
    pub(super) fn add_conflicts(&mut self, rows: u64, labels: &Labels) {
        self.conflicts.rows += rows;
        if rows > 0 && self.conflicts.example.is_none() {
            self.conflicts.example = Some(labels.clone());
        }
    }

    /// Takes over what a scan of this window alone found.
    pub(super) fn set_conflicts(&mut self, found: Conflicts) {
        self.conflicts = found;
    }

    /// Gives the block its name, when there is anything in it.
    ///
    /// # Errors
    /// When it cannot be written, or the Prometheus that gets it would not read it.
    pub(super) fn finish(self, read_by: Option<PrometheusVersion>) -> Result<Option<Written>, ReaderError> {
        let content = *self.writer.content();
        if let (Some(target), Some(needed)) = (read_by, content.readable_since())
            && needed > target
        {
            return Err(ReaderError::output(
                &self.path,
                format!(
                    "the block would hold chunks that only Prometheus {needed} and newer read, and the target is {target}, which stops at \
                     them: update it, or leave such series out with --match (--ignore version writes the block all the same)"
                ),
            ));
        }
        let meta = self.writer.finish().map_err(failed(&self.path))?;
        Ok(meta.map(|meta| Written {
            path: self.path,
            meta,
            meant: self.meant,
            content,
            conflicts: self.conflicts,
        }))
    }
}

/// A series of a block under construction.
pub(super) struct MakingSeries<'a> {
    writer: SeriesWriter<'a>,
    meant: &'a mut Tally,
    path: &'a Path,
}

impl MakingSeries<'_> {
    /// Adds its next rows.
    pub(super) fn push(&mut self, piece: &SeriesRuns) -> Result<(), ReaderError> {
        self.meant.add(piece);
        let pushed = self.writer.push(&piece.samples, &piece.histograms);
        pushed.map_err(failed(self.path))
    }

    /// Ends it.
    pub(super) fn finish(self) -> Result<(), ReaderError> {
        self.writer.finish().map_err(failed(self.path))
    }
}

impl Written {
    /// Reads the block back, when that is wanted. One that is not what was meant is removed: it must not stay where a Prometheus would
    /// load it.
    ///
    /// # Errors
    /// When it is not what was meant, or cannot be read.
    pub(super) fn check(self, work: &Work) -> Result<MadeBlock, ReaderError> {
        let checked = match work.verification {
            Verification::Full => read_back(&self.path, &self.meant, work.starts),
            Verification::LeftOut => size_of(&self.path).map_err(|error| error.to_string()),
        };
        let bytes = match checked {
            Ok(bytes) => bytes,
            Err(why) => {
                std::fs::remove_dir_all(&self.path).map_err(ReaderError::file(&self.path))?;
                return Err(ReaderError::output(
                    &self.path,
                    format!("read back, the block is not what was written: {why}"),
                ));
            }
        };
        let mut content = self.meant.into_content();
        content.set_chunks(&self.content);
        content.set_conflicts(&self.conflicts);
        Ok(MadeBlock {
            meta: self.meta,
            bytes,
            content,
        })
    }

    /// Removes a block that will not be read back.
    pub(super) fn give_up(self) {
        // The state does not name it as finished: the next run removes what stays.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

fn failed(path: &Path) -> impl Fn(TsdbError) -> ReaderError {
    move |error| ReaderError::output(path, format!("{error}"))
}

/// Reads a block with everything it is checked by, and compares it sample by sample with what was meant. Returns its size.
fn read_back(path: &Path, meant: &Tally, starts: StartTimestamps) -> Result<u64, String> {
    let mut reader = BlockReader::open(path).map_err(|error| error.to_string())?;
    let mut found = Tally::new(starts, Verification::Full);
    let stats = reader
        .verify_chunks(|series, position, chunk| {
            if position == 0 {
                found.begin(&series.labels);
            }
            found.add(chunk);
        })
        .map_err(|error| error.to_string())?;
    if (stats.num_series, stats.num_samples) != meant.counts() {
        let (series, samples) = meant.counts();
        return Err(format!(
            "{} series with {} samples instead of {series} with {samples}",
            stats.num_series, stats.num_samples
        ));
    }
    if found.digest() != meant.digest() {
        return Err("its samples differ".to_owned());
    }
    Ok(reader.bytes())
}

/// Bytes of all files of a block.
pub(super) fn size_of(directory: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() {
            size_of(&entry.path())?
        } else {
            entry.metadata()?.len()
        };
    }
    Ok(bytes)
}
