//! Holes in `up`, as the parts of the archive hold it.
//!
//! The rule is [`emberkeep_model::coverage`], which `reader coverage` follows as well. Read in pieces of some hours, so that memory does not
//! grow with the range: of each series a few samples are carried from piece to piece.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use emberkeep_archive::{Catalog, CatalogView, ObjectStore, PartReader, ScanKinds, ScanQuery};
use emberkeep_model::coverage::{gaps, stretches_of_up, with_removed};
use emberkeep_model::{Labels, MatchOp, Matcher, SeriesRuns, TimeRange, matches_all};

use super::intended::Intended;
use super::{HealError, RangeSet};

/// Length of a piece.
const PIECE_MS: i64 = 7_200_000;

/// How long before the range is looked for samples that say how it begins.
const LOOK_BACK_MS: i64 = 7_200_000;

/// Samples that are carried: enough to know the interval, see [`stretches_of_up`].
const CARRIED: usize = 10;

/// Rows that are decoded at once of each part.
const WINDOW_ROWS: usize = 8 << 10;

/// Series `up` of one sender.
#[derive(Debug)]
pub(super) struct UpGaps<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) view: &'a CatalogView,
    /// Parts that cannot be read.
    pub(super) quarantined: &'a HashSet<String>,
    pub(super) matchers: &'a [Matcher],
    /// Labels that all series of the sender have.
    pub(super) external: Vec<(String, String)>,
    pub(super) intended: &'a Intended<'a>,
}

impl UpGaps<'_> {
    /// The time in which any series misses scrapes.
    pub(super) async fn find(&self, range: TimeRange) -> Result<RangeSet, HealError> {
        let mut carried: BTreeMap<Labels, Vec<(i64, f64)>> = BTreeMap::new();
        let mut found = RangeSet::default();
        let mut start = range.start;
        let mut read_from = range.start.saturating_sub(LOOK_BACK_MS);
        while start < range.end {
            let end = range.end.min((start.div_euclid(PIECE_MS) + 1).saturating_mul(PIECE_MS));
            let piece = TimeRange { start, end };
            let read = TimeRange { start: read_from, end };
            for (labels, mut runs) in self.read(read).await? {
                runs.settle();
                let samples = runs.samples.iter().map(|sample| (sample.timestamp, sample.value));
                carried.entry(labels).or_default().extend(samples);
            }
            for (labels, samples) in &mut carried {
                let stretches = stretches_of_up(samples, None, piece);
                let stretches = with_removed(&stretches, &self.intended.removed(labels));
                gaps(&stretches, 1).into_iter().for_each(|gap| found.insert(gap));
                let passed = samples.len().saturating_sub(CARRIED);
                samples.drain(..passed);
            }
            (start, read_from) = (end, end);
        }
        Ok(found)
    }

    async fn read(&self, range: TimeRange) -> Result<BTreeMap<Labels, SeriesRuns>, HealError> {
        let tenant = self.intended.tenant;
        let up = Matcher::new(Labels::METRIC_NAME, MatchOp::Equal, "up");
        let query = ScanQuery {
            tenant: tenant.clone(),
            range,
            matchers: [up.map_err(|error| HealError::Input(error.to_string()))?].into(),
            kinds: ScanKinds::Samples,
        };
        let mut series: BTreeMap<Labels, SeriesRuns> = BTreeMap::new();
        for part in &self.view.parts {
            if !part.may_hold(tenant.as_str(), range) || self.quarantined.contains(&part.ulid.to_string()) {
                continue;
            }
            let store: Arc<dyn ObjectStore> = Arc::clone(self.catalog.store());
            let reader = PartReader::open(store, part).await?;
            let mut scan = reader.scan(query.clone(), WINDOW_ROWS);
            while let Some(next) = scan.next().await? {
                if self.is_of_sender(&next.labels) {
                    let runs = series.entry(next.labels).or_default();
                    scan.samples(next.samples, range, &mut runs.samples).await?;
                }
            }
        }
        Ok(series)
    }

    fn is_of_sender(&self, labels: &Labels) -> bool {
        let has = |(name, value): &(String, String)| labels.value_of(name) == value;
        self.external.iter().all(has) && matches_all(self.matchers, labels)
    }
}
