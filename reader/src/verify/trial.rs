//! A block on trial: a window of the archive is exported to a scratch directory, read back with the reader of blocks, compared with the
//! archive's own rows, and removed.
//!
//! Start timestamps are kept, so that all that a block can hold is compared. The archive is scanned twice: what the first scan got wrong
//! would otherwise be compared with itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use emberkeep_archive::ObjectStore;
use emberkeep_model::TimeRange;
use emberkeep_model::head::HeadKinds;
use emberkeep_tsdb::{BlockReader, BlockWriter};
use ulid::Ulid;

use super::BlockDigests;
use super::comparison::{CompareStarts, Comparison, of_block};
use super::finding::{Finding, Findings};
use super::part_rows::{PART_ADVICE, RowsRead};
use super::stretches::shown;
use crate::scan::{Ground, Opened, Scan};
use crate::{Look, Query, ReaderError, SeriesReader};

/// A directory that goes with all it holds.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes a directory of its own below `parent`.
    pub(super) fn create(parent: &Path) -> Result<Self, ReaderError> {
        let path = parent.join(format!("emberkeep-verify-{}", Ulid::generate()));
        fs::create_dir_all(&path).map_err(ReaderError::file(&path))?;
        Ok(Self { path })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays is in a scratch directory and has a telling name.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Makes the block of a window and compares it; returns what was found and compared, and the bytes of the block.
pub(super) async fn trial(
    store: Arc<dyn ObjectStore>,
    look: Look,
    query: Query,
    window: TimeRange,
    scratch: Arc<Scratch>,
    mut findings: Findings,
) -> (Findings, RowsRead, u64) {
    let object = format!("window {} of tenant `{}`", shown(window), query.tenant);
    let ground = Ground::of(&store, &look);
    let trial = Trial {
        ground,
        query: &query,
        window,
        object: &object,
        scratch: &scratch.path,
    };
    match trial.run(&mut findings).await {
        Ok((read, bytes)) => (findings, read, bytes),
        Err(error) => {
            findings.push(Finding::of_reader(
                &object,
                "parts that can be read",
                &error,
                PART_ADVICE,
            ));
            (findings, RowsRead::default(), 0)
        }
    }
}

struct Trial<'a> {
    ground: Ground<'a>,
    query: &'a Query,
    window: TimeRange,
    object: &'a str,
    scratch: &'a Path,
}

impl Trial<'_> {
    async fn run(&self, findings: &mut Findings) -> Result<(RowsRead, u64), ReaderError> {
        let Some(path) = self.write(findings).await? else {
            return Ok((RowsRead::default(), 0));
        };
        let compared = self.compare(&path, findings).await;
        fs::remove_dir_all(&path).map_err(ReaderError::file(&path))?;
        compared
    }

    async fn scan(&self) -> Result<Scan, ReaderError> {
        let opened = Opened::open(self.ground, self.query, HeadKinds::Samples, usize::MAX).await?;
        opened.scan().await
    }

    /// None when the window is empty, or cannot become a block.
    async fn write(&self, findings: &mut Findings) -> Result<Option<PathBuf>, ReaderError> {
        let ulid = Ulid::generate();
        let failed = |error| ReaderError::output(self.scratch, format!("{error}"));
        let mut writer = BlockWriter::create(self.scratch, ulid, self.window)
            .map_err(failed)?
            .with_start_timestamps();
        let mut scan = self.scan().await?;
        while let Some(series) = scan.next().await? {
            if let Err(error) = writer.push(&series.labels, &series.runs) {
                findings.push(of_block(self.object, &error).of_series(&series.labels));
                return Ok(None);
            }
        }
        let written = writer.finish().map_err(failed)?;
        Ok(written.map(|_| self.scratch.join(ulid.to_string())))
    }

    async fn compare(&self, path: &Path, findings: &mut Findings) -> Result<(RowsRead, u64), ReaderError> {
        let reader = match BlockReader::open(path) {
            Ok(reader) => reader,
            Err(error) => {
                findings.push(of_block(self.object, &error));
                return Ok((RowsRead::default(), 0));
            }
        };
        let bytes = reader.bytes();
        let comparison = Comparison {
            archive: &mut SeriesReader::archived(self.scan().await?, Vec::new()),
            blocks: &mut BlockDigests::new(vec![reader], TimeRange::ALL),
            object: self.object,
            starts: CompareStarts::Always,
            findings,
        };
        Ok((comparison.run().await?, bytes))
    }
}
