//! The rules of retention, read from the configuration and checked against each other.
//!
//! A rule that could not mean what its author wants is refused, since a misunderstanding here deletes data: two limits for the same
//! tenant, a series rule that wants to keep longer than its tenant, a rule for everything that is not called `keep`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use emberkeep_archive::{CollectSettings, MatcherText};
use emberkeep_model::{Matcher, TenantId, parse_selector};
use emberkeep_service::config::RetentionConfig;
use emberkeep_service::duration;
use xxhash_rust::xxh3::xxh3_64;

use crate::guard::{MOST_AT_ONCE_PERCENT, UpkeepError};

/// Nothing younger is expired when nothing is said.
const MINIMUM_AGE: Duration = Duration::from_secs(86_400);

/// The shortest time for which removals can be undone. Readers hold files of a root that is a few minutes old without a pin.
const LEAST_UNDELETE_WINDOW: Duration = Duration::from_secs(3600);

/// What goes when.
#[derive(Debug, Clone)]
pub struct Retention {
    keep: Option<Duration>,
    tenants: BTreeMap<String, Duration>,
    rules: Vec<SeriesRule>,
    minimum_age: Duration,
    /// How long a removal can be undone.
    pub undelete_window: Duration,
    /// Most of the archive's bytes that go at once without a confirmation, in percent.
    pub most_at_once_percent: u8,
}

/// A rule for some series of one tenant, or of all.
#[derive(Debug, Clone)]
pub struct SeriesRule {
    /// The same for the same tenant, matchers and time, on every machine and in every version.
    pub id: String,
    /// Whose series; none = everybody's.
    pub tenant: Option<String>,
    /// The rule as it was written.
    pub selector: String,
    /// Which series: all must match.
    pub matchers: Arc<[Matcher]>,
    /// How long their rows are kept.
    pub keep: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            keep: None,
            tenants: BTreeMap::new(),
            rules: Vec::new(),
            minimum_age: MINIMUM_AGE,
            undelete_window: CollectSettings::default().undelete_window,
            most_at_once_percent: MOST_AT_ONCE_PERCENT,
        }
    }
}

impl Retention {
    /// Checks what a configuration says.
    ///
    /// # Errors
    /// [`UpkeepError::Invalid`] names the rule and says what is wrong with it.
    pub fn from_config(config: &RetentionConfig) -> Result<Self, UpkeepError> {
        let defaults = Self::default();
        let mut retention = Self {
            keep: config.keep,
            minimum_age: config.minimum_age.unwrap_or(defaults.minimum_age),
            undelete_window: config.undelete_window.unwrap_or(defaults.undelete_window),
            most_at_once_percent: config.most_at_once_percent.unwrap_or(defaults.most_at_once_percent),
            ..defaults
        };
        if config.keep.is_some_and(|keep| keep.is_zero()) {
            return Err(invalid(
                "`retention.keep` must be more than 0; leave it out to keep everything",
            ));
        }
        if retention.undelete_window < LEAST_UNDELETE_WINDOW {
            return Err(invalid(
                "`retention.undelete_window` must be 1h or more, readers depend on it",
            ));
        }
        if !(1..=100).contains(&retention.most_at_once_percent) {
            return Err(invalid("`retention.most_at_once_percent` must be from 1 to 100"));
        }
        let place = |i: usize| format!("`retention.rules`, rule {}", i + 1);
        for (i, rule) in config.rules.iter().enumerate() {
            let wrong = |what: &str| UpkeepError::Invalid(format!("{}: {what}", place(i)));
            if rule.keep.is_zero() {
                return Err(wrong("`keep` must be more than 0"));
            }
            if let Some(Err(error)) = rule.tenant.as_deref().map(TenantId::parse) {
                return Err(wrong(&error.to_string()));
            }
            match (&rule.tenant, &rule.selector) {
                (None, None) => {
                    return Err(wrong(
                        "it has neither `tenant` nor `match`; write `retention.keep` for all",
                    ));
                }
                (Some(tenant), None) => {
                    if retention.tenants.insert(tenant.clone(), rule.keep).is_some() {
                        return Err(wrong(&format!("there is another rule for all of tenant `{tenant}`")));
                    }
                }
                (tenant, Some(selector)) => {
                    let matchers = parse_selector(selector).map_err(|error| wrong(&error.to_string()))?;
                    let rule = SeriesRule {
                        id: rule_id(tenant.as_deref(), &matchers, rule.keep),
                        tenant: tenant.clone(),
                        selector: selector.clone(),
                        matchers,
                        keep: rule.keep,
                    };
                    retention.rules.push(rule);
                }
            }
        }
        for rule in &retention.rules {
            retention.refuse_longer_than_tenant(rule)?;
        }
        Ok(retention)
    }

    fn refuse_longer_than_tenant(&self, rule: &SeriesRule) -> Result<(), UpkeepError> {
        let tenants: Vec<Option<&str>> = match &rule.tenant {
            Some(tenant) => vec![Some(tenant)],
            None => std::iter::once(None)
                .chain(self.tenants.keys().map(|tenant| Some(tenant.as_str())))
                .collect(),
        };
        for tenant in tenants {
            let limit = tenant.map_or(self.keep, |tenant| self.tenant_keep(tenant));
            if let Some(limit) = limit.filter(|limit| *limit < rule.keep) {
                let (selector, keep, limit) = (&rule.selector, duration::format(rule.keep), duration::format(limit));
                let whose = tenant.map_or_else(|| "of all".to_owned(), |tenant| format!("of tenant `{tenant}`"));
                return Err(UpkeepError::Invalid(format!(
                    "`retention.rules`: `{selector}` is to be kept for {keep}, but all data {whose} goes after {limit}; a rule with \
                     `match` can only shorten"
                )));
            }
        }
        Ok(())
    }

    /// Whether nothing ever expires.
    #[must_use]
    pub fn keeps_everything(&self) -> bool {
        self.keep.is_none() && self.tenants.is_empty() && self.rules.is_empty()
    }

    /// How long data of a tenant is kept; none = for ever. Never less than the minimum age.
    #[must_use]
    pub fn keep_of(&self, tenant: &str) -> Option<Duration> {
        self.tenant_keep(tenant).map(|keep| keep.max(self.minimum_age))
    }

    fn tenant_keep(&self, tenant: &str) -> Option<Duration> {
        self.tenants.get(tenant).copied().or(self.keep)
    }

    /// The rules for some series of a tenant, each with the time after which its rows go; never less than the minimum age.
    pub fn rules_of<'a>(&'a self, tenant: &'a str) -> impl Iterator<Item = (&'a SeriesRule, Duration)> + 'a {
        let is_theirs = move |rule: &&SeriesRule| rule.tenant.as_deref().is_none_or(|of| of == tenant);
        self.rules
            .iter()
            .filter(is_theirs)
            .map(|rule| (rule, rule.keep.max(self.minimum_age)))
    }

    /// Nothing younger is ever removed.
    #[must_use]
    pub fn minimum_age(&self) -> Duration {
        self.minimum_age
    }

    /// All rules for some series.
    #[must_use]
    pub fn rules(&self) -> &[SeriesRule] {
        &self.rules
    }

    /// The settings of a collection that fit.
    #[must_use]
    pub fn collect_settings(&self) -> CollectSettings {
        CollectSettings {
            undelete_window: self.undelete_window,
            ..CollectSettings::default()
        }
    }
}

/// 16 hexadecimal digits of the XXH3-64 of the rule's canonical text. Persisted in part entries: it must never change.
fn rule_id(tenant: Option<&str>, matchers: &[Matcher], keep: Duration) -> String {
    let mut texts: Vec<MatcherText> = matchers.iter().map(MatcherText::from).collect();
    texts.sort_by(|a, b| (&a.name, &a.op, &a.value).cmp(&(&b.name, &b.op, &b.value)));
    let mut text = format!("{}\0{}", tenant.unwrap_or_default(), keep.as_millis());
    for matcher in texts {
        text.push_str(&format!("\0{}\0{}\0{}", matcher.name, matcher.op, matcher.value));
    }
    format!("{:016x}", xxh3_64(text.as_bytes()))
}

fn invalid(text: &str) -> UpkeepError {
    UpkeepError::Invalid(text.to_owned())
}
