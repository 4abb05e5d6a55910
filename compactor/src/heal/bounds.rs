//! Which time a pass is about: what the source holds, the archive keeps, and was asked for.

use emberkeep_archive::{CatalogView, TenantSummary};
use emberkeep_model::TimeRange;

use super::said::Said;
use super::{HealError, HealSettings, Scope};

/// A sender that is behind may still catch up for so long: its log holds about two hours.
const CATCH_UP_MS: i64 = 10_800_000;

/// Which time is at stake. Times are milliseconds since 1970.
#[derive(Debug)]
pub(super) struct Bounds {
    /// The oldest time that the source holds.
    pub(super) oldest: i64,
    /// What is older the archive does not keep, or was not asked for.
    pub(super) kept_from: i64,
    /// What the source holds of the rest.
    pub(super) held: TimeRange,
    /// Whether a beginning was given, so that what the source does not hold of it counts as well.
    pub(super) has_beginning: bool,
}

impl Bounds {
    pub(super) fn new(
        scope: Scope,
        settings: &HealSettings,
        (said, view): (&Said, &CatalogView),
        now_ms: i64,
    ) -> Result<Self, HealError> {
        let asked = match scope {
            Scope::Whole(range) | Scope::Suspects(range) => range,
            Scope::Round => TimeRange::ALL,
        };
        let has_beginning = asked.start > i64::MIN;
        let oldest = said.oldest_ms.or(has_beginning.then_some(asked.start)).ok_or_else(|| {
            HealError::Input(
                "the source does not say how far back it reaches (`prometheus_tsdb_lowest_timestamp_seconds`): is this the URL of a \
                 Prometheus? else give `--from`"
                    .to_owned(),
            )
        })?;
        let tenant = settings.tenant.as_str();
        let keep = settings.retention.keep_of(tenant).map_or(i64::MAX, milliseconds);
        let mut kept_from = now_ms.saturating_sub(keep).max(asked.start);
        if settings.quota_bytes.is_some() {
            // What a quota took must not come back, or it would take other data for it.
            let held = view.parts.iter().filter_map(|part| part.tenants.get(tenant));
            let times = held.filter_map(TenantSummary::sample_times);
            kept_from = kept_from.max(times.map(|times| times.min_time).min().unwrap_or(i64::MAX));
        }
        let mut end = now_ms.saturating_sub(milliseconds(settings.settle));
        if let Some(sent) = said.sent_until_ms {
            end = end.min(sent.max(now_ms.saturating_sub(CATCH_UP_MS)));
        }
        let end = end.min(asked.end);
        Ok(Self {
            oldest,
            kept_from: kept_from.min(end),
            held: TimeRange {
                start: oldest.max(kept_from).min(end),
                end,
            },
            has_beginning,
        })
    }
}

fn milliseconds(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
