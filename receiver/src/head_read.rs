//! Reading the head: open generation, frozen generations and staged parts as one answer.
//!
//! Content first, position after: what is committed in between is in both. A staged part that is committed and removed while it is
//! read makes the read start again. It must never give a partial answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use emberkeep_archive::{ArchiveError, ObjectStore, PartReader, ScanQuery};
use emberkeep_model::head::{Head, HeadAnswer, HeadError, HeadQuery, HeadSeries};
use emberkeep_model::{Labels, Run};
use tokio::runtime::Handle;

use crate::generations::Generations;
use crate::staging::StagedPart;
use crate::status::Status;

/// Each try sees fewer staged parts than the one before, and commits are minutes apart.
const TRIES: usize = 5;
/// Rows decoded at a time from a staged part.
const WINDOW_ROWS: usize = 16 << 10;

/// The head of one receiver, readable.
#[derive(Debug)]
pub(crate) struct ReceiverHead {
    /// The staging directory, read like a bucket.
    pub(crate) staging: Arc<dyn ObjectStore>,
    pub(crate) generations: Arc<Generations>,
    pub(crate) status: Arc<Status>,
    pub(crate) samples_max: usize,
    pub(crate) runtime: Handle,
}

/// A try that gave no answer.
enum Failed {
    /// A staged part went away meanwhile: it is in the catalog now.
    Moved,
    Error(HeadError),
}

impl Head for ReceiverHead {
    fn read(&self, query: &HeadQuery) -> Result<HeadAnswer, HeadError> {
        for _ in 0..TRIES {
            match self.try_read(query) {
                Ok(series) => {
                    return Ok(HeadAnswer {
                        position: self.generations.position(),
                        series,
                    });
                }
                Err(Failed::Moved) => {}
                Err(Failed::Error(error)) => return Err(error),
            }
        }
        Err(self.unavailable("staged parts were committed faster than they could be read".to_owned()))
    }
}

impl ReceiverHead {
    fn try_read(&self, query: &HeadQuery) -> Result<Vec<HeadSeries>, Failed> {
        let too_large = || {
            Failed::Error(HeadError::TooLarge {
                limit: self.samples_max,
            })
        };
        let content = self.generations.content();
        let mut found: BTreeMap<Labels, Run> = BTreeMap::new();
        let mut samples = 0;
        let mut add = |labels: Labels, run: Run| {
            samples += run.len();
            found.entry(labels).or_default().append(&run);
            if samples > self.samples_max {
                Err(too_large())
            } else {
                Ok(())
            }
        };
        for generation in &content.generations {
            for series in generation.table.select(query, self.samples_max).ok_or_else(too_large)? {
                add(series.labels, series.samples)?;
            }
        }
        for part in &content.staged {
            self.runtime.block_on(self.read_staged(part, query, &mut add))?;
        }
        let settled = found.into_iter().map(|(labels, mut samples)| {
            samples.settle();
            HeadSeries { labels, samples }
        });
        Ok(settled.collect())
    }

    async fn read_staged(
        &self,
        part: &StagedPart,
        query: &HeadQuery,
        add: &mut impl FnMut(Labels, Run) -> Result<(), Failed>,
    ) -> Result<(), Failed> {
        if !part.manifest.part.may_hold(query.tenant.as_str(), query.range) {
            return Ok(());
        }
        let failed = |error: ArchiveError| {
            if error.is_not_found() {
                Failed::Moved
            } else {
                Failed::Error(self.unavailable(format!("staged part `{}`: {error}", part.directory.display())))
            }
        };
        let reader = PartReader::open(self.staging.clone(), &part.entry_in_staging())
            .await
            .map_err(failed)?;
        let scan = ScanQuery {
            tenant: query.tenant.clone(),
            range: query.range,
            matchers: query.matchers.clone(),
        };
        let mut scan = reader.scan(scan, WINDOW_ROWS);
        while let Some(series) = scan.next().await.map_err(failed)? {
            let mut run = Run::default();
            scan.samples(series.rows, query.range, &mut run).await.map_err(failed)?;
            if !run.is_empty() {
                add(series.labels, run)?;
            }
        }
        Ok(())
    }

    fn unavailable(&self, why: String) -> HeadError {
        let why = self
            .status
            .ready()
            .err()
            .map_or_else(|| why.clone(), |state| format!("{why} ({state})"));
        HeadError::Unavailable {
            who: self.generations.position().receiver,
            why,
        }
    }
}
