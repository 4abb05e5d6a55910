//! What upkeep does beside merging: retention, quota, orphans, collection, scrub, publication.
//!
//! Each of them is on its own: that one is refused or fails stops none of the others. The guard's refusals are for a person; here they
//! are logged once and shown as metrics until somebody confirms or changes the configuration.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use emberkeep_archive::{Catalog, Format, Live, collect};
use emberkeep_service::config::FileConfig;
use prometheus_client::registry::Registry;
use tracing::{info, warn};

use crate::guard::{Consent, UpkeepError};
use crate::orphans::{OrphanMetrics, remove_unfinished, search};
use crate::publish::{OpenTables, PublishMetrics};
use crate::quota::{QuotaMetrics, enforce};
use crate::retention::{DueRule, Retention, RetentionMetrics, due_rules, estimate_rules, expire};
use crate::scrub::{Budget, ScrubMetrics, scrub, show};

/// How often retention, quota, collection and scrub look.
const EVERY_MS: i64 = 600_000;

/// How often the whole archive is listed for orphans.
const ORPHANS_EVERY_MS: i64 = 7 * 86_400_000;

/// What a dead process left unfinished in a directory store goes after this.
const UNFINISHED_AFTER: Duration = Duration::from_secs(86_400);

/// What is removed and checked, and when.
#[derive(Debug, Clone, Default)]
pub struct KeepingSettings {
    /// What is kept, and for how long.
    pub retention: Retention,
    /// Physical bytes that the archive may have; none = no quota.
    pub quota_bytes: Option<u64>,
    /// Bytes that are read again each day; none = no scrub.
    pub scrub_bytes_per_day: Option<u64>,
    /// Whether merged parts are published as tables for other engines.
    pub tables: Tables,
    /// The archive's directory, when it is one.
    pub directory: Option<PathBuf>,
}

/// What becomes of merged parts for other engines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tables {
    /// They are published as Delta tables.
    #[default]
    Published,
    /// They are Parquet files whose names a view prints.
    Off,
}

impl KeepingSettings {
    /// What the configuration file says.
    ///
    /// # Errors
    /// Rules of retention that cannot be.
    pub fn from_config(file: &FileConfig, directory: Option<PathBuf>) -> Result<Self, UpkeepError> {
        Ok(Self {
            retention: Retention::from_config(&file.retention)?,
            quota_bytes: file.quota.bytes,
            scrub_bytes_per_day: file.scrub.bytes_per_day,
            // The log of a table is clear: with encryption it is written only when somebody asks for it.
            tables: match (file.tables.publish, &file.encryption.write_key) {
                (Some(true), _) | (None, None) => Tables::Published,
                (Some(false), _) | (None, Some(_)) => Tables::Off,
            },
            directory,
        })
    }
}

/// The removing and checking side of one archive's upkeep.
#[derive(Debug)]
pub(crate) struct Keeping {
    settings: KeepingSettings,
    metrics: KeepingMetrics,
    budget: Option<Budget>,
    /// The published tables, once the archive has a name.
    tables: Option<OpenTables>,
    looked_at: i64,
    orphans_at: i64,
    /// What failed last, by what it is, so that a repetition is not logged again.
    trouble: BTreeMap<&'static str, String>,
}

/// Metrics of all of it.
#[derive(Debug, Clone, Default)]
pub struct KeepingMetrics {
    retention: RetentionMetrics,
    quota: QuotaMetrics,
    orphans: OrphanMetrics,
    scrub: ScrubMetrics,
    publish: PublishMetrics,
}

impl KeepingMetrics {
    /// Shows them.
    pub fn register(&self, registry: &mut Registry) {
        self.retention.register(registry);
        self.quota.register(registry);
        self.orphans.register(registry);
        self.scrub.register(registry);
        self.publish.register(registry);
    }
}

impl Keeping {
    pub(crate) fn new(settings: KeepingSettings, metrics: KeepingMetrics, now_ms: i64) -> Self {
        Self {
            budget: settings.scrub_bytes_per_day.map(|per_day| Budget::new(per_day, now_ms)),
            settings,
            metrics,
            tables: None,
            looked_at: i64::MIN,
            // The first listing comes after a while: a process that is started often must not list often.
            orphans_at: now_ms,
            trouble: BTreeMap::new(),
        }
    }

    /// Rules of retention that merges apply now; none while they would take more than the guard lets pass.
    pub(crate) async fn rules(
        &mut self,
        catalog: &Catalog,
        live: &Live,
        consent: Consent,
        now_ms: i64,
    ) -> Vec<DueRule> {
        let rules = due_rules(live, &self.settings.retention, now_ms);
        if rules.is_empty() {
            return rules;
        }
        let estimate = estimate_rules(catalog, live, &rules, &self.settings.retention, consent).await;
        let may = estimate.is_ok();
        self.note("rules of retention", estimate.map(drop));
        if may { rules } else { Vec::new() }
    }

    /// Does what is due.
    pub(crate) async fn pass(&mut self, catalog: &Catalog, now_ms: i64) {
        if now_ms.saturating_sub(self.looked_at) >= EVERY_MS {
            self.looked_at = now_ms;
            self.removals(catalog, now_ms).await;
            self.scrub(catalog, now_ms).await;
        }
        if now_ms.saturating_sub(self.orphans_at) >= ORPHANS_EVERY_MS {
            self.orphans_at = now_ms;
            let found = search(catalog, &self.metrics.orphans, now_ms).await;
            self.note("orphans", found.map(drop));
            if let Some(directory) = &self.settings.directory {
                let removed = remove_unfinished(directory, UNFINISHED_AFTER);
                let removed =
                    removed.map_err(|error| UpkeepError::Invalid(format!("`{}`: {error}", directory.display())));
                self.note("unfinished", removed.map(drop));
            }
        }
        let published = self.publish(catalog).await;
        self.note("tables", published);
    }

    async fn publish(&mut self, catalog: &Catalog) -> Result<(), UpkeepError> {
        if self.settings.tables == Tables::Off {
            return Ok(());
        }
        let live = catalog.live().await?;
        if live.root_n() == 0 {
            return Ok(());
        }
        if self.tables.is_none() {
            let Some(format) = Format::load(&**catalog.store()).await? else {
                return Ok(());
            };
            let undelete_days = self.settings.retention.undelete_window.as_secs().div_ceil(86_400);
            let store = Arc::clone(catalog.store());
            self.tables = Some(OpenTables::new(
                store,
                &format.dataset,
                undelete_days,
                self.metrics.publish.clone(),
            ));
        }
        if let Some(tables) = &self.tables {
            tables.publish(&live).await?;
        }
        Ok(())
    }

    /// Looks at retention, quota and collection, whenever they were looked at last.
    pub(crate) async fn removals(&mut self, catalog: &Catalog, now_ms: i64) {
        let (settings, metrics) = (self.settings.clone(), self.metrics.clone());
        let retention = &settings.retention;
        let expired = expire(catalog, retention, &metrics.retention, Consent::Missing, now_ms).await;
        self.note("retention", expired.map(drop));
        if let Some(quota) = settings.quota_bytes {
            let freed = enforce(catalog, quota, retention, &metrics.quota, Consent::Missing, now_ms).await;
            self.note("quota", freed.map(drop));
        }
        match collect(catalog, &retention.collect_settings(), now_ms).await {
            Ok(collected) => {
                if collected.files > 0 {
                    info!(
                        files = collected.files,
                        bytes = collected.bytes,
                        "deleted what was condemned"
                    );
                }
                self.note("collection", Ok(()));
            }
            Err(error) => self.note("collection", Err(error.into())),
        }
    }

    async fn scrub(&mut self, catalog: &Catalog, now_ms: i64) {
        let Some(mut budget) = self.budget else {
            return;
        };
        let left = budget.left(now_ms);
        let outcome = match left {
            0 => show(catalog, &self.metrics.scrub, now_ms).await,
            bytes => match scrub(catalog, bytes, &self.metrics.scrub, now_ms).await {
                Ok(scrubbed) => {
                    budget.spend(scrubbed.bytes, now_ms);
                    Ok(())
                }
                Err(error) => Err(error),
            },
        };
        self.budget = Some(budget);
        self.note("scrub", outcome);
    }

    /// Logs trouble when it is news.
    fn note(&mut self, what: &'static str, outcome: Result<(), UpkeepError>) {
        match outcome {
            Ok(()) => {
                if self.trouble.remove(what).is_some() {
                    info!(what, "works again");
                }
            }
            Err(error) => {
                let reason = error.to_string();
                if self.trouble.get(what) != Some(&reason) {
                    warn!(what, %reason, "cannot be done now; it is tried again");
                }
                self.trouble.insert(what, reason);
            }
        }
    }
}

#[cfg(test)]
mod tests;
