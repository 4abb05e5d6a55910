//! The k-way merge: the series of a query in label order, each with its rows in time order, from all parts and heads.
//!
//! Series tables and rows lie in label order in every part, so a scan is one forward pass over all of them with a heap of
//! labels, and nothing is ever collected: a series comes in pieces of bounded size. Equal rows of different sources are one,
//! conflicts are decided by the total order over floats and histograms together; exemplars are a set and are scanned apart. A
//! scan must never emit a row out of time order or leave one out; when the sources contradict themselves it fails.

mod ahead;
mod buffer;
mod entries;
mod families;
mod hidden;
mod hidden_metadata;
mod member;
mod opened;
mod series;
mod source;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::sync::Arc;

use emberkeep_archive::{ObjectStore, PartEntry};
use emberkeep_model::head::{HeadAnswer, HeadKinds};
use emberkeep_model::{Labels, SeriesRuns, TenantId, TimeRange};
use futures::{StreamExt, TryStreamExt};

pub(crate) use self::ahead::MOST as MOST_AHEAD;
pub(crate) use self::entries::{MetadataPasses, Said};
pub(crate) use self::families::read_families;
pub use self::families::{Families, FamilyFilter, Seen};
pub(crate) use self::opened::{Ground, Opened, SomeSeries};
use self::series::SeriesMerge;
use self::source::Source;
use crate::{ReaderError, Selection};

/// Parts that are opened at the same time: enough to hide the store's latency, too few to exhaust its connections.
const OPENINGS_AT_ONCE: usize = 32;

/// What is read.
#[derive(Debug, Clone)]
pub struct Query {
    /// Whose data.
    pub tenant: TenantId,
    /// Which time.
    pub range: TimeRange,
    /// Which series.
    pub selection: Selection,
}

/// One series with all its rows of the range.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesSamples {
    /// The series.
    pub labels: Labels,
    /// Its rows of the kinds that are scanned, settled, at least one.
    pub runs: SeriesRuns,
}

/// A running scan. It holds one cursor of bounded size for each part.
pub struct Scan {
    sources: Vec<Source>,
    /// What the sources stand at; the least is next.
    heap: BinaryHeap<Reverse<(Labels, usize)>>,
    range: TimeRange,
    selection: Selection,
    /// Which of the selected series are given; all without it.
    only: Option<Arc<dyn SomeSeries>>,
    /// The sources that stand at the series being read.
    current: Vec<usize>,
    /// The series being read.
    merge: SeriesMerge,
    /// Its first rows, read ahead to know that there are any.
    ahead: SeriesRuns,
    /// The series being read, while it may have conflicts.
    at: Option<Labels>,
    conflicts: Conflicts,
    parts: usize,
    reading: Reading,
}

/// Whether rows were asked for, and not only labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    Labels,
    Rows,
}

/// Rows that lost against a different one of the same series and timestamp.
#[derive(Debug, Clone, Default)]
pub struct Conflicts {
    /// How many.
    pub rows: u64,
    /// The first series that had any.
    pub example: Option<Labels>,
}

impl fmt::Debug for Scan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scan")
            .field("sources", &self.sources)
            .field("range", &self.range)
            .finish_non_exhaustive()
    }
}

impl Scan {
    /// Begins to read floats and histograms of parts and heads of which nothing is deleted: opens the parts that may hold
    /// something of the query, and joins the answers of the heads.
    ///
    /// `heads` are answers to queries of the same tenant that cover the range; they may hold more than the range and less
    /// than wanted series leave them, so the selection is applied again.
    ///
    /// # Errors
    /// When a part cannot be opened, or more parts are needed than `part_limit`.
    pub async fn open(
        store: &Arc<dyn ObjectStore>,
        parts: &[Arc<PartEntry>],
        heads: &[Arc<HeadAnswer>],
        query: &Query,
        part_limit: usize,
    ) -> Result<Self, ReaderError> {
        let ground = Ground {
            store,
            parts,
            heads,
            masks: &[],
            kept: None,
        };
        let opened = Opened::open(ground, query, HeadKinds::Samples, part_limit).await?;
        opened.scan().await
    }

    /// Begins to read what lies in sources that stand before their first series.
    async fn over(
        sources: Vec<Source>,
        parts: usize,
        query: &Query,
        only: Option<Arc<dyn SomeSeries>>,
    ) -> Result<Self, ReaderError> {
        let mut scan = Self {
            heap: BinaryHeap::with_capacity(sources.len()),
            sources,
            range: query.range,
            selection: query.selection.clone(),
            only,
            current: Vec::new(),
            merge: SeriesMerge::default(),
            ahead: SeriesRuns::default(),
            at: None,
            conflicts: Conflicts::default(),
            parts,
            reading: Reading::Labels,
        };
        // At the same time, or a store would be waited for as often as there are parts.
        let advances: Vec<_> = scan.sources.iter_mut().map(Source::advance).collect();
        let first: Vec<_> = futures::stream::iter(advances)
            .buffered(OPENINGS_AT_ONCE)
            .try_collect()
            .await?;
        let standing = first.into_iter().enumerate();
        let standing = standing.filter_map(|(index, labels)| labels.map(|labels| Reverse((labels, index))));
        scan.heap.extend(standing);
        Ok(scan)
    }

    /// Ends every piece at these times, which rise; before the first series. Whoever sorts rows by windows never has to split a piece.
    pub(crate) fn cut_at(&mut self, edges: impl Into<Arc<[i64]>>) {
        self.merge.cut_at(edges.into());
    }

    /// Goes on to the next series that has a row in the range; [`Self::next_piece`] then gives its rows.
    ///
    /// # Errors
    /// When a source cannot be read or contradicts itself.
    pub async fn next_series(&mut self) -> Result<Option<Labels>, ReaderError> {
        if self.reading == Reading::Labels {
            self.reading = Reading::Rows;
            self.sources.iter_mut().for_each(Source::expect_rows);
        }
        while let Some(labels) = self.next_labels().await? {
            let mut first = std::mem::take(&mut self.ahead);
            let found = self.merge.next_piece(&mut self.sources, self.range, &mut first).await;
            self.ahead = first;
            if found.map_err(|why| about(&labels, why))? {
                return Ok(Some(labels));
            }
        }
        Ok(None)
    }

    /// The next rows of the series, settled across kinds and later than all before; false when there are no more.
    ///
    /// # Errors
    /// When a source cannot be read or contradicts itself.
    pub async fn next_piece(&mut self, out: &mut SeriesRuns) -> Result<bool, ReaderError> {
        if !self.ahead.is_empty() {
            std::mem::swap(&mut self.ahead, out);
            self.ahead.clear();
            return Ok(true);
        }
        self.merge.next_piece(&mut self.sources, self.range, out).await
    }

    /// The next series whole; for callers whose range bounds its size.
    ///
    /// # Errors
    /// When a source cannot be read or contradicts itself.
    pub async fn next(&mut self) -> Result<Option<SeriesSamples>, ReaderError> {
        let Some(labels) = self.next_series().await? else {
            return Ok(None);
        };
        let (mut runs, mut piece) = (SeriesRuns::default(), SeriesRuns::default());
        while self.next_piece(&mut piece).await? {
            runs.append(&piece);
        }
        Ok(Some(SeriesSamples { labels, runs }))
    }

    /// The next label set that the sources list for the range, without reading rows. A series is listed when its span
    /// in a part overlaps the range, so it may have a gap there, as Prometheus' own metadata answers may.
    ///
    /// # Errors
    /// When a source cannot be read.
    pub async fn next_labels(&mut self) -> Result<Option<Labels>, ReaderError> {
        self.note_conflicts();
        self.ahead.clear();
        loop {
            while let Some(index) = self.current.pop() {
                self.advance(index).await?;
            }
            let Some(Reverse((labels, first))) = self.heap.pop() else {
                return Ok(None);
            };
            self.current.push(first);
            while let Some(Reverse((other, index))) = self.heap.peek()
                && *other == labels
            {
                self.current.push(*index);
                self.heap.pop();
            }
            if self.selection.accepts(&labels) && self.only.as_ref().is_none_or(|only| only.has(&labels)) {
                let members = self
                    .current
                    .iter()
                    .flat_map(|&index| self.sources[index].members(index));
                self.merge.start(members);
                self.at = Some(labels.clone());
                return Ok(Some(labels));
            }
        }
    }

    /// Rows of the series that are behind the scan that lost against a different one.
    #[must_use]
    pub fn conflicts(&self) -> &Conflicts {
        &self.conflicts
    }

    /// Rows that lost against a different one, those of the series at work included.
    pub(crate) fn conflicts_so_far(&self) -> u64 {
        self.conflicts.rows + self.merge.conflicts()
    }

    /// Number of parts that are read.
    #[must_use]
    pub fn parts(&self) -> usize {
        self.parts
    }

    fn note_conflicts(&mut self) {
        let (rows, series) = (self.merge.take_conflicts(), self.at.take());
        if rows > 0 {
            self.conflicts.rows += rows;
            self.conflicts.example = self.conflicts.example.take().or(series);
        }
    }

    async fn advance(&mut self, index: usize) -> Result<(), ReaderError> {
        if let Some(labels) = self.sources[index].advance().await? {
            self.heap.push(Reverse((labels, index)));
        }
        Ok(())
    }
}

/// The parts that hold anything of the tenant in the range, of the kinds that are read.
pub(crate) fn prune(
    parts: &[Arc<PartEntry>],
    tenant: &TenantId,
    range: TimeRange,
    kinds: HeadKinds,
) -> Vec<Arc<PartEntry>> {
    let tenant = tenant.as_str();
    let holds = |part: &PartEntry| match kinds {
        HeadKinds::Samples => part.may_hold(tenant, range),
        HeadKinds::Exemplars => part.may_hold_exemplars(tenant, range),
        HeadKinds::Metadata => part.may_hold_metadata(tenant, range),
    };
    parts.iter().filter(|part| holds(part)).map(Arc::clone).collect()
}

pub(crate) fn check_part_limit(wanted: usize, limit: usize) -> Result<(), ReaderError> {
    if wanted <= limit {
        return Ok(());
    }
    Err(ReaderError::TooMuch(format!(
        "the query needs {wanted} parts, more than the limit of {limit}: narrow its time range or raise --read.part-limit"
    )))
}

fn about(labels: &Labels, error: ReaderError) -> ReaderError {
    match error {
        ReaderError::Inconsistent(why) => ReaderError::Inconsistent(format!("series {labels}: {why}")),
        other => other,
    }
}
