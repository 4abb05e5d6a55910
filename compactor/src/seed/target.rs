//! Where a seed goes: an archive, a tenant, and how one window of rows becomes live.

use std::path::PathBuf;
use std::sync::Arc;

use emberkeep_archive::{ArchiveError, Catalog, Change, Format, Keys, PartEntry, PartSettings, apply, fresh_nonce};
use emberkeep_disk::{FileSystem, RealFs};
use emberkeep_model::{SeriesRuns, TenantId, TimeRange};
use emberkeep_service::clock::{Clock, SystemClock};
use emberkeep_service::time_expr;
use tracing::info;

use super::held::HeldParts;
use super::lanes::Lanes;
use super::rows::Rows;
use super::{ExternalLabels, SeedError, WindowReport};
use crate::merge::{Filling, Window};

/// Bytes of the files of a part with which it ends.
const TARGET_BYTES: u64 = 384 << 20;

/// Where rows go.
#[derive(Debug)]
pub struct SeedTarget<'a> {
    /// The archive.
    pub catalog: &'a Catalog,
    /// Whose rows they become.
    pub tenant: TenantId,
    /// What is added to every series.
    pub external: ExternalLabels,
    /// Which rows are taken.
    pub range: TimeRange,
    /// Which of the rows that the archive does not hold are written.
    pub fills: Fills,
    /// Directory for files that are written before they are uploaded.
    pub scratch: PathBuf,
}

/// What is new to an archive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Fills {
    /// Every row that changes an answer: a time that is not held, or a value that wins against the one that is.
    #[default]
    Changes,
    /// Rows of times at which the archive holds nothing of the series, and no others: what was received counts as it came.
    MissingTimes,
}

impl SeedTarget<'_> {
    /// Writes the rows of one window, and makes them live in one root. A crash before that root leaves files that belong to nobody and are
    /// collected later; after it the window is done.
    pub(super) async fn fill(
        &self,
        (level, range): (u32, TimeRange),
        rows: &mut impl Rows,
        tell: &mut impl FnMut(u64),
    ) -> Result<WindowReport, SeedError> {
        let store = self.catalog.store();
        let now_ms = SystemClock.now_ms();
        let dataset = Format::load_or_create(&**store, now_ms).await?.dataset;
        let held = HeldParts::open(self.catalog, &self.tenant, range, self.fills).await?;
        let window = Window {
            tenant: self.tenant.clone(),
            level,
            range,
        };
        let settings = PartSettings {
            keys: Keys::of(&**store).await,
            ..PartSettings::compacted()
        };
        let fs: Arc<dyn FileSystem> = Arc::new(RealFs);
        let filling = Filling::new(&fs, &self.scratch, window, dataset, (settings, TARGET_BYTES), now_ms)?;
        let mut report = WindowReport {
            from: range.start,
            to: range.end,
            ..WindowReport::default()
        };
        let mut lanes = Lanes::new(&filling, &held);
        let mut runs = SeriesRuns::default();
        while let Some(labels) = rows.next(&mut runs).await? {
            let count = runs.len() as u64;
            lanes
                .push(self.external.add_to(&labels), &mut runs, &mut report)
                .await?;
            tell(count);
        }
        let entries = filling.deliver(store, lanes.end()?).await?;
        report.parts = entries.len() as u64;
        report.bytes = entries.iter().map(PartEntry::bytes).sum();
        if !entries.is_empty() {
            let nonce = fresh_nonce();
            let root = apply(self.catalog, &nonce, now_ms, |_| {
                Ok::<_, ArchiveError>(Some(Change {
                    add: entries.clone(),
                    ..Change::default()
                }))
            });
            report.root = root.await?.map(|root| root.n);
        }
        if report.series > 0 {
            let (from, written, held) = (time_expr::format_rfc3339(range.start), report.written, report.held);
            info!(from, written, held, "a window is seeded");
        }
        Ok(report)
    }
}
