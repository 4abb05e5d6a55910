//! In which days the rows of a part lie, when its oldest and newest row are far apart: one late sample of years ago must not make
//! a window for each day since.

use std::collections::BTreeSet;
use std::sync::Arc;

use emberkeep_archive::{ArchiveError, ObjectStore, PartEntry, PartReader, ScanKinds, ScanQuery};
use emberkeep_model::{ExemplarRun, HistogramRun, Run, TenantId, TimeRange};

use super::day_of;

/// Rows that are decoded at once.
const WINDOW_ROWS: usize = 16 * 1024;

/// All time.
const ALWAYS: TimeRange = TimeRange {
    start: i64::MIN,
    end: i64::MAX,
};

/// The days of a tenant's rows, of all kinds; of metadata, those in which it was first seen. Reads the part.
pub(super) async fn days_of(
    store: &Arc<dyn ObjectStore>,
    part: &PartEntry,
    tenant: &str,
) -> Result<BTreeSet<i32>, ArchiveError> {
    let tenant = TenantId::parse(tenant).map_err(|error| ArchiveError::Corrupt {
        object: part.ulid.to_string(),
        reason: error.to_string(),
    })?;
    let reader = PartReader::open(Arc::clone(store), part).await?;
    let mut days = BTreeSet::new();
    let mut scan = reader.scan(
        ScanQuery {
            tenant: tenant.clone(),
            range: ALWAYS,
            matchers: Arc::from([]),
            kinds: ScanKinds::All,
        },
        WINDOW_ROWS,
    );
    let (mut floats, mut histograms, mut exemplars) = (Run::default(), HistogramRun::default(), ExemplarRun::default());
    while let Some(series) = scan.next().await? {
        floats.clear();
        scan.samples(series.samples, ALWAYS, &mut floats).await?;
        days.extend(floats.timestamps.iter().filter_map(|&at| day_of(at)));
        histograms.clear();
        scan.histograms(series.histograms, ALWAYS, &mut histograms).await?;
        days.extend(histograms.timestamps().iter().filter_map(|&at| day_of(at)));
        exemplars.clear();
        scan.exemplars(series.exemplars, ALWAYS, &mut exemplars).await?;
        days.extend(
            exemplars
                .as_slice()
                .iter()
                .filter_map(|exemplar| day_of(exemplar.timestamp)),
        );
    }
    let mut metadata = reader.metadata(&tenant, None);
    while let Some(entries) = metadata.next().await? {
        days.extend(entries.iter().filter_map(|entry| day_of(entry.seen.first_seen)));
    }
    Ok(days)
}
