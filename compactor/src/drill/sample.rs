//! A look into the series table of one part: a random label of a random series, and how many series have it.
//!
//! It decides nothing but what is drilled, so it may be imprecise: it reads a bounded number of series of one part.

use std::sync::Arc;

use emberkeep_archive::{Catalog, Live, ObjectStore, PartReader, ScanKinds, ScanQuery};
use emberkeep_model::{Labels, Matcher, TenantId, TimeRange, parse_selector};
use rand::RngExt;
use rand::rngs::StdRng;

use super::DrillError;

/// Series that are looked at.
const MOST_SERIES: u64 = 200_000;

/// Rows that are fetched at once.
const WINDOW_ROWS: usize = 16 << 10;

/// A part to look into.
pub(super) struct Sample {
    reader: PartReader,
    tenant: TenantId,
    range: TimeRange,
}

impl Sample {
    /// Opens a random part that may hold something of the range; none when there is none.
    pub(super) async fn open(
        catalog: &Catalog,
        live: &Live,
        (tenant, range): (&TenantId, TimeRange),
        random: &mut StdRng,
    ) -> Result<Option<Self>, DrillError> {
        let parts: Vec<_> = live
            .parts()
            .filter(|part| part.may_hold(tenant.as_str(), range))
            .collect();
        if parts.is_empty() {
            return Ok(None);
        }
        let part = parts[random.random_range(0..parts.len())];
        let store: Arc<dyn ObjectStore> = Arc::clone(catalog.store());
        Ok(Some(Self {
            reader: PartReader::open(store, part).await?,
            tenant: tenant.clone(),
            range,
        }))
    }

    /// A random series that may have rows in the range, and the number of series that were looked at.
    pub(super) async fn series(&self, random: &mut StdRng) -> Result<Option<(Labels, u64)>, DrillError> {
        let mut scan = self.reader.scan(self.query([].into()), WINDOW_ROWS);
        let (mut chosen, mut seen) = (None, 0_u64);
        while seen < MOST_SERIES && scan.advance().await? {
            seen += 1;
            if random.random_range(0..seen) == 0 {
                chosen = Some(Labels::of_canonical(scan.labels()));
            }
        }
        Ok(chosen.map(|labels| (labels, seen)))
    }

    /// How many series a selector selects, of those that [`Sample::series`] looks at and no more than that.
    pub(super) async fn count(&self, selector: &str) -> Result<u64, DrillError> {
        let mut scan = self.reader.scan(self.query(parse_selector(selector)?), WINDOW_ROWS);
        let mut seen = 0;
        while seen < MOST_SERIES && scan.advance().await? {
            seen += 1;
        }
        Ok(seen)
    }

    fn query(&self, matchers: Arc<[Matcher]>) -> ScanQuery {
        ScanQuery {
            tenant: self.tenant.clone(),
            range: self.range,
            matchers,
            kinds: ScanKinds::Samples,
        }
    }
}

/// The selector of labels with their values, as Prometheus reads it.
pub(super) fn selector<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let matchers = labels.into_iter().map(|(name, value)| {
        let is_plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        match is_plain {
            true => format!("{name}={}", quoted(value)),
            false => format!("{}={}", quoted(name), quoted(value)),
        }
    });
    format!("{{{}}}", matchers.collect::<Vec<_>>().join(","))
}

fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{escaped}\"")
}
