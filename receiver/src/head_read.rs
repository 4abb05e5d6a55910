//! Reading the head: open generation, frozen generations and staged parts as one answer.
//!
//! All of them are read in label order, side by side, and what is found is packed at once: an answer takes a fraction of what the head
//! takes. Content first, position after: what is committed in between is in both. A staged part that is committed and removed while it is
//! read makes the read start again. It must never give a partial answer, so there is none while the log of an earlier life is replayed.

use std::collections::BTreeMap;
use std::sync::Arc;

use emberkeep_archive::{ArchiveError, ObjectStore, PartReader, PartScan, ScanKinds, ScanQuery};
use emberkeep_model::head::{Head, HeadAnswer, HeadError, HeadKinds, HeadQuery, PackedSeries};
use emberkeep_model::{Labels, Metadata, MetadataEntry, SeenMetadata, SeriesRuns, matches_all};
use tokio::runtime::Handle;

use crate::generations::{Content, Generations};
use crate::replay_state::ReplayState;
use crate::series_table::{TableCursor, weigh};
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
    pub(crate) replay: Arc<ReplayState>,
    pub(crate) samples_max: usize,
    pub(crate) runtime: Handle,
}

/// A try that gave no answer.
enum Failed {
    /// A staged part went away meanwhile: it is in the catalog now.
    Moved,
    Error(HeadError),
}

/// What a try found.
#[derive(Debug, Default)]
struct Found {
    series: PackedSeries,
    metadata: Vec<MetadataEntry>,
}

/// One of the things that make up the head, in label order.
enum Source<'a> {
    Table(Box<TableCursor<'a>>),
    Staged(&'a StagedPart, Box<PartScan>),
}

/// Variants of metadata and when each was seen.
type Variants = BTreeMap<(String, Option<Labels>, Metadata), (i64, i64)>;

impl Head for ReceiverHead {
    fn read(&self, query: &HeadQuery) -> Result<HeadAnswer, HeadError> {
        // Before the content is taken: once replay is over, everything replayed is in what is taken later.
        self.replay.check().map_err(|why| self.unavailable(why))?;
        for _ in 0..TRIES {
            match self.try_read(query) {
                Ok(Found { series, metadata }) => {
                    return Ok(HeadAnswer {
                        position: self.generations.position(),
                        series,
                        metadata,
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
    fn try_read(&self, query: &HeadQuery) -> Result<Found, Failed> {
        let content = self.generations.content();
        match query.kinds {
            HeadKinds::Samples | HeadKinds::Exemplars => Ok(Found {
                series: self.rows(&content, query)?,
                metadata: Vec::new(),
            }),
            HeadKinds::Metadata => Ok(Found {
                series: PackedSeries::default(),
                metadata: self.metadata(&content, query)?,
            }),
        }
    }

    fn rows(&self, content: &Content, query: &HeadQuery) -> Result<PackedSeries, Failed> {
        let mut sources = Vec::new();
        for generation in &content.generations {
            sources.push(Source::Table(Box::new(generation.table.cursor(query))));
        }
        for part in &content.staged {
            let scan = self.runtime.block_on(self.scan_staged(part, query))?;
            sources.extend(scan.map(|scan| Source::Staged(part, Box::new(scan))));
        }
        let mut at = Vec::new();
        for source in &mut sources {
            at.push(self.next(source, query)?);
        }
        let (mut packed, mut weight) = (PackedSeries::default(), 0);
        while let Some(least) = at.iter().flatten().map(|(labels, _)| labels).min().cloned() {
            let mut found = SeriesRuns::default();
            for (at, source) in at.iter_mut().zip(&mut sources) {
                if let Some((_, runs)) = at.take_if(|(labels, _)| *labels == least) {
                    if found.is_empty() {
                        found = runs;
                    } else {
                        found.append(&runs);
                    }
                    *at = self.next(source, query)?;
                }
            }
            found.settle();
            weight += weigh(&found);
            if weight > self.samples_max {
                return Err(self.too_large());
            }
            packed.push(&least, &found);
        }
        Ok(packed)
    }

    /// The next series of a source that has rows.
    fn next(&self, source: &mut Source<'_>, query: &HeadQuery) -> Result<Option<(Labels, SeriesRuns)>, Failed> {
        match source {
            Source::Table(cursor) => Ok(cursor.next()),
            Source::Staged(part, scan) => {
                let next = self.runtime.block_on(next_staged(scan, query));
                next.map_err(|error| self.failed(part, error))
            }
        }
    }

    /// A scan of what a staged part may hold.
    async fn scan_staged(&self, part: &StagedPart, query: &HeadQuery) -> Result<Option<PartScan>, Failed> {
        let (tenant, entry) = (query.tenant.as_str(), &part.manifest.part);
        let (may_hold, kinds) = match query.kinds {
            HeadKinds::Exemplars => (entry.may_hold_exemplars(tenant, query.range), ScanKinds::Exemplars),
            HeadKinds::Samples | HeadKinds::Metadata => (entry.may_hold(tenant, query.range), ScanKinds::Samples),
        };
        if !may_hold {
            return Ok(None);
        }
        let scan = ScanQuery {
            tenant: query.tenant.clone(),
            range: query.range,
            matchers: query.matchers.clone(),
            kinds,
        };
        Ok(Some(self.open(part).await?.scan(scan, WINDOW_ROWS)))
    }

    fn metadata(&self, content: &Content, query: &HeadQuery) -> Result<Vec<MetadataEntry>, Failed> {
        let mut variants = Variants::new();
        let mut add = |entries: Vec<MetadataEntry>| {
            for MetadataEntry { family, series, seen } in entries {
                let span = (seen.first_seen, seen.last_seen);
                let known = variants.entry((family, series, seen.metadata)).or_insert(span);
                *known = (known.0.min(span.0), known.1.max(span.1));
            }
            if variants.len() > self.samples_max {
                Err(self.too_large())
            } else {
                Ok(())
            }
        };
        for generation in &content.generations {
            let selected = generation.table.metadata(query, self.samples_max);
            add(selected.ok_or_else(|| self.too_large())?)?;
        }
        for part in &content.staged {
            self.runtime
                .block_on(self.read_staged_metadata(part, query, &mut add))?;
        }
        let entries = variants
            .into_iter()
            .map(|((family, series, metadata), (first_seen, last_seen))| MetadataEntry {
                family,
                series,
                seen: SeenMetadata {
                    metadata,
                    first_seen,
                    last_seen,
                },
            });
        Ok(entries.collect())
    }

    async fn read_staged_metadata(
        &self,
        part: &StagedPart,
        query: &HeadQuery,
        add: &mut impl FnMut(Vec<MetadataEntry>) -> Result<(), Failed>,
    ) -> Result<(), Failed> {
        let entry = &part.manifest.part;
        if !entry.may_hold_metadata(query.tenant.as_str(), query.range) {
            return Ok(());
        }
        let failed = |error| self.failed(part, error);
        let reader = self.open(part).await?;
        let mut metadata = reader.metadata(&query.tenant, None);
        while let Some(mut entries) = metadata.next().await.map_err(failed)? {
            entries.retain(|entry| is_selected(query, entry));
            add(entries)?;
        }
        Ok(())
    }

    async fn open(&self, part: &StagedPart) -> Result<PartReader, Failed> {
        let opened = PartReader::open(self.staging.clone(), &part.entry_in_staging()).await;
        opened.map_err(|error| self.failed(part, error))
    }

    fn failed(&self, part: &StagedPart, error: ArchiveError) -> Failed {
        if error.is_not_found() {
            Failed::Moved
        } else {
            Failed::Error(self.unavailable(format!("staged part `{}`: {error}", part.directory.display())))
        }
    }

    fn too_large(&self) -> Failed {
        Failed::Error(HeadError::TooLarge {
            limit: self.samples_max,
        })
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

/// The next series of a staged part that has rows in the range.
async fn next_staged(scan: &mut PartScan, query: &HeadQuery) -> Result<Option<(Labels, SeriesRuns)>, ArchiveError> {
    while let Some(series) = scan.next().await? {
        let mut runs = SeriesRuns::default();
        match query.kinds {
            HeadKinds::Samples => {
                scan.samples(series.samples, query.range, &mut runs.samples).await?;
                scan.histograms(series.histograms, query.range, &mut runs.histograms)
                    .await?;
            }
            HeadKinds::Exemplars => {
                scan.exemplars(series.exemplars, query.range, &mut runs.exemplars)
                    .await?;
            }
            HeadKinds::Metadata => {}
        }
        if !runs.is_empty() {
            return Ok(Some((series.labels, runs)));
        }
    }
    Ok(None)
}

/// Whether a query for metadata wants an entry: a series by all matchers, a family by those of its name.
fn is_selected(query: &HeadQuery, entry: &MetadataEntry) -> bool {
    match &entry.series {
        Some(labels) => matches_all(&query.matchers, labels),
        None => {
            let mut of_name = query.matchers.iter().filter(|m| m.name() == Labels::METRIC_NAME);
            of_name.all(|matcher| matcher.matches(&entry.family))
        }
    }
}
