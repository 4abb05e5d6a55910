//! What the configuration file says about the upkeep of an archive: retention, quota, scrub.
//!
//! Only the form is read here: texts, durations, sizes. What a rule means, and whether the rules make sense together, is for the
//! compactor, which alone applies them. Absent settings must never be given a meaning that deletes.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::{duration, size};

/// `retention:` of the file.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionConfig {
    /// How long every tenant's data is kept; absent = for ever.
    #[serde(default, deserialize_with = "duration::deserialize_optional")]
    pub keep: Option<Duration>,
    /// Nothing younger is ever expired, whatever the rules say.
    #[serde(default, deserialize_with = "duration::deserialize_optional")]
    pub minimum_age: Option<Duration>,
    /// How long a removal can be undone.
    #[serde(default, deserialize_with = "duration::deserialize_optional")]
    pub undelete_window: Option<Duration>,
    /// Most of the archive's bytes that may go at once without a confirmation, in percent.
    pub most_at_once_percent: Option<u8>,
    /// What is kept for another time than `keep`.
    #[serde(default)]
    pub rules: Vec<RetentionRuleConfig>,
}

/// One of `retention.rules`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionRuleConfig {
    /// Whose data; absent = everybody's.
    pub tenant: Option<String>,
    /// Which series, as a selector; absent = all.
    #[serde(rename = "match")]
    pub selector: Option<String>,
    /// How long.
    #[serde(deserialize_with = "duration_of")]
    pub keep: Duration,
}

/// `quota:` of the file.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuotaConfig {
    /// Most bytes that live and condemned files together may take; absent = no quota.
    #[serde(default, deserialize_with = "optional_size")]
    pub bytes: Option<u64>,
}

/// `tables:` of the file.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TablesConfig {
    /// Whether merged parts are published as Delta tables; absent = they are, unless they are encrypted.
    pub publish: Option<bool>,
}

/// `scrub:` of the file.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScrubConfig {
    /// Bytes that are read again per day, as `--scrub.bytes-per-day`; absent = no scrub.
    #[serde(default, deserialize_with = "optional_size")]
    pub bytes_per_day: Option<u64>,
}

fn duration_of<'de, D: Deserializer<'de>>(source: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(source)?;
    duration::parse(&text).map_err(serde::de::Error::custom)
}

pub(super) fn optional_size<'de, D: Deserializer<'de>>(source: D) -> Result<Option<u64>, D::Error> {
    let text = String::deserialize(source)?;
    size::parse(&text).map(Some).map_err(serde::de::Error::custom)
}
