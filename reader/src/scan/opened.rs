//! The parts and heads of a query, opened once and scanned as often as needed.
//!
//! A merge of replicas reads its sources several times, each time other series of them. Footers and page indexes are shared by
//! all these scans. Opening must never leave out a part that may hold something of the query.

use std::sync::Arc;

use emberkeep_archive::{
    AheadBytes, KeptParts, Mask, ObjectStore, PartEntry, PartReader, ScanKinds, ScanQuery, TimeSpan,
};
use emberkeep_model::head::{HeadAnswer, HeadKinds};
use emberkeep_model::{Labels, Matcher};
use futures::{StreamExt, TryStreamExt};

use super::ahead::{self, Shares};
use super::hidden::Masks;
use super::source::{Source, Visible};
use super::{OPENINGS_AT_ONCE, Query, Scan, check_part_limit, prune};
use crate::ReaderError;
use crate::sources::Look;

/// What a query is answered from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ground<'a> {
    pub(crate) store: &'a Arc<dyn ObjectStore>,
    pub(crate) parts: &'a [Arc<PartEntry>],
    /// Answers to queries of the same tenant and kinds that cover the range; they may hold more than the range and less than
    /// wanted series leave them, so the selection is applied again.
    pub(crate) heads: &'a [Arc<HeadAnswer>],
    pub(crate) masks: &'a [Mask],
    /// Parts that are open already; without it, each is opened for the query alone.
    pub(crate) kept: Option<&'a KeptParts>,
}

impl<'a> Ground<'a> {
    /// All of a look.
    pub(crate) fn of(store: &'a Arc<dyn ObjectStore>, look: &'a Look) -> Self {
        Self {
            store,
            parts: &look.view.parts,
            heads: &look.heads,
            masks: &look.view.masks,
            kept: None,
        }
    }
}

/// The sources of a query.
#[derive(Debug)]
pub(crate) struct Opened {
    query: Query,
    kinds: HeadKinds,
    parts: Vec<OpenPart>,
    shares: Shares,
    heads: Vec<Arc<HeadAnswer>>,
    masks: Masks,
}

#[derive(Debug)]
struct OpenPart {
    reader: PartReader,
    bytes: AheadBytes,
    name: String,
    exemplar_times: Option<TimeSpan>,
    masks: Masks,
}

/// Some of the series of a query.
pub(crate) trait SomeSeries: Send + Sync {
    /// Whether a series is one of them.
    fn has(&self, labels: &Labels) -> bool;
}

impl Opened {
    /// Opens the parts that may hold something of the query.
    ///
    /// # Errors
    /// When a part cannot be opened, or more are needed than `part_limit`.
    pub(crate) async fn open(
        ground: Ground<'_>,
        query: &Query,
        kinds: HeadKinds,
        part_limit: usize,
    ) -> Result<Self, ReaderError> {
        let wanted = prune(ground.parts, &query.tenant, query.range, kinds);
        check_part_limit(wanted.len(), part_limit)?;
        let masks = Masks::of(ground.masks, query)?;
        let shares = Shares::of(wanted.iter().map(|part| &**part));
        let opened = futures::stream::iter(wanted.into_iter().map(|part| {
            let (masks, tenant) = (masks.above(part.masks), query.tenant.clone());
            async move {
                Ok::<_, ReaderError>(OpenPart {
                    reader: match ground.kept {
                        Some(kept) => kept.open(ground.store, &part).await?,
                        None => PartReader::open(Arc::clone(ground.store), &part).await?,
                    },
                    bytes: ahead::bytes_of(&part),
                    name: part.ulid.to_string(),
                    exemplar_times: part.tenants.get(tenant.as_str()).and_then(|held| held.exemplar_times),
                    masks,
                })
            }
        }));
        Ok(Self {
            parts: opened.buffered(OPENINGS_AT_ONCE).try_collect().await?,
            query: query.clone(),
            kinds,
            shares,
            heads: ground.heads.to_vec(),
            masks,
        })
    }

    /// Which kinds of rows are read.
    pub(crate) fn kinds(&self) -> HeadKinds {
        self.kinds
    }

    /// Number of parts.
    pub(crate) fn parts(&self) -> usize {
        self.parts.len()
    }

    /// A scan over all series of the query.
    ///
    /// # Errors
    /// When a source cannot be read.
    pub(crate) async fn scan(&self) -> Result<Scan, ReaderError> {
        self.scan_by(window_rows(self.parts.len()), ahead::MOST).await
    }

    /// As [`Opened::scan`], with `window_rows` rows of each part decoded at once, and of all parts together so many bytes of rows and as many
    /// of series tables fetched before they are asked for.
    ///
    /// # Errors
    /// When a source cannot be read.
    pub(crate) async fn scan_by(&self, window_rows: usize, ahead: u64) -> Result<Scan, ReaderError> {
        let sources = self.sources(&self.query.selection.common(), (window_rows, ahead));
        Scan::over(sources, self.parts.len(), &self.query, None).await
    }

    /// A scan over the series of the query that `only` has; each of them satisfies `matchers` as well, which serve to find
    /// them. `cursors` is how many parts are read at the same time by all scans together.
    ///
    /// # Errors
    /// When a source cannot be read, or a matcher cannot be built.
    pub(crate) async fn scan_some(
        &self,
        only: Arc<dyn SomeSeries>,
        matchers: Vec<Matcher>,
        cursors: usize,
    ) -> Result<Scan, ReaderError> {
        let mut all = matchers;
        for matcher in self.query.selection.common().iter() {
            let again = Matcher::new(matcher.name(), matcher.op(), matcher.value());
            all.push(again.map_err(|error| ReaderError::Bad(error.to_string()))?);
        }
        let scans = cursors.div_ceil(self.parts.len().max(1)).max(1);
        let sources = self.sources(&all.into(), (window_rows(cursors), ahead::MOST / scans as u64));
        Scan::over(sources, self.parts.len(), &self.query, Some(only)).await
    }

    /// Cursors that decode so many rows at once, and have so many bytes together fetched before they are asked for.
    fn sources(&self, matchers: &Arc<[Matcher]>, (window_rows, ahead): (usize, u64)) -> Vec<Source> {
        let visible = |masks: &Masks| Visible {
            masks: masks.clone(),
            range: self.query.range,
        };
        let of_parts = self.parts.iter().map(|part| {
            let query = ScanQuery {
                tenant: self.query.tenant.clone(),
                range: self.query.range,
                matchers: Arc::clone(matchers),
                kinds: match self.kinds {
                    HeadKinds::Exemplars => ScanKinds::Exemplars,
                    HeadKinds::Samples | HeadKinds::Metadata => ScanKinds::Samples,
                },
            };
            let scan = part.reader.scan(query, window_rows);
            let scan = scan.with_read_ahead(self.shares.of_part(part.bytes, ahead));
            Source::part(scan, &part.name, self.kinds, part.exemplar_times, visible(&part.masks))
        });
        let of_heads = self.heads.iter().map(|answer| {
            let visible = visible(&self.masks);
            Source::head(Arc::clone(answer), self.kinds, visible)
        });
        of_parts.chain(of_heads).collect()
    }
}

/// Rows that a cursor decodes at once. Few parts may use more memory each; from 32 on each stays near half a megabyte.
fn window_rows(cursors: usize) -> usize {
    match cursors {
        0..=4 => 64 * 1024,
        5..=16 => 16 * 1024,
        _ => 8 * 1024,
    }
}
