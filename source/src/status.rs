//! What a server says of itself: version, flags, head, names.

use std::collections::BTreeMap;

use emberkeep_model::TimeRange;
use serde::Deserialize;

use crate::{Source, SourceError};

/// `/api/v1/status/buildinfo`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct BuildInfo {
    /// As `3.14.0`.
    pub version: String,
    /// Commit it was built from.
    #[serde(default)]
    pub revision: String,
}

impl BuildInfo {
    /// Major and minor number, when the version has them.
    #[must_use]
    pub fn release(&self) -> Option<(u16, u16)> {
        let mut numbers = self.version.trim_start_matches('v').split('.');
        Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    }
}

/// `headStats` of `/api/v1/status/tsdb`. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeadStats {
    /// Series in the head.
    pub num_series: u64,
    /// Chunks in the head.
    pub chunk_count: u64,
    /// Oldest time of the head.
    pub min_time: i64,
    /// Newest time of the head.
    pub max_time: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TsdbStatus {
    head_stats: HeadStats,
}

impl Source {
    /// Its version.
    ///
    /// # Errors
    /// See [`SourceError`].
    pub async fn build_info(&self) -> Result<BuildInfo, SourceError> {
        self.data("/api/v1/status/buildinfo").await
    }

    /// Its flags, by name without dashes, as `storage.tsdb.retention.time`.
    ///
    /// # Errors
    /// See [`SourceError`].
    pub async fn flags(&self) -> Result<BTreeMap<String, String>, SourceError> {
        self.data("/api/v1/status/flags").await
    }

    /// Size and times of its head.
    ///
    /// # Errors
    /// See [`SourceError`].
    pub async fn tsdb_status(&self) -> Result<HeadStats, SourceError> {
        let status: TsdbStatus = self.data("/api/v1/status/tsdb").await?;
        Ok(status.head_stats)
    }

    /// The values of a label of series that may have samples in a range, sorted. Prometheus answers by whole blocks.
    ///
    /// # Errors
    /// See [`SourceError`].
    pub async fn label_values(&self, name: &str, range: TimeRange) -> Result<Vec<String>, SourceError> {
        let mut url = self.endpoint(&format!("/api/v1/label/{name}/values"));
        url.query_pairs_mut()
            .append_pair("start", &seconds(range.start))
            .append_pair("end", &seconds(range.end.saturating_sub(1)));
        self.data_at(&url).await
    }
}

/// Milliseconds as the API takes times, without a float between.
fn seconds(ms: i64) -> String {
    format!("{}.{:03}", ms.div_euclid(1000), ms.rem_euclid(1000))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn releases_are_read_from_versions() {
        let of = |version: &str| {
            let info: BuildInfo = serde_json::from_value(serde_json::json!({ "version": version })).unwrap();
            info.release()
        };
        assert_eq!(of("3.14.0"), Some((3, 14)));
        assert_eq!(of("v2.42.0-rc.1"), Some((2, 42)));
        assert_eq!(of("unknown"), None);
    }

    #[test]
    fn times_keep_their_milliseconds() {
        assert_eq!(seconds(1_700_000_000_001), "1700000000.001");
        assert_eq!(seconds(-1), "-1.999");
    }
}
