//! What a running Prometheus says of itself: version, retention, external labels, the beginning of its head, remote read.
//!
//! Only its status pages are asked, all of them there since 2.15.

use std::collections::BTreeMap;
use std::time::Duration;

use emberkeep_service::duration;
use emberkeep_service::problem::chain;
use emberkeep_tsdb::PrometheusVersion;
use reqwest::{Client, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::ReaderError;

/// Longest that one answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Most bytes of one answer; a configuration of thousands of jobs has less.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// One server.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ServerFacts {
    /// Its version.
    pub(super) version: PrometheusVersion,
    /// What it keeps.
    pub(super) retention: Retention,
    /// Labels that it adds to what it sends.
    pub(super) external_labels: Vec<(String, String)>,
    /// Oldest sample in its memory, milliseconds since 1970; none when there is none.
    pub(super) head_min_time: Option<i64>,
    /// It reads from remote storage, but not where it has samples of its own.
    pub(super) hides_remote: bool,
}

/// What a server keeps. Without any bound it keeps everything.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Retention {
    /// Milliseconds.
    pub(super) time_ms: Option<i64>,
    /// Bytes.
    pub(super) bytes: Option<u64>,
    /// Percent of its disk.
    pub(super) percent: Option<f64>,
}

#[derive(Deserialize)]
struct Answer<T> {
    data: T,
}

#[derive(Deserialize)]
struct BuildInfo {
    version: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RuntimeInfo {
    #[serde(default)]
    storage_retention: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TsdbStatus {
    head_stats: HeadStats,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HeadStats {
    #[serde(default)]
    num_series: u64,
    min_time: i64,
}

#[derive(Deserialize)]
struct Configuration {
    yaml: String,
}

/// The few fields of a configuration that matter here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PrometheusConfig {
    global: Global,
    remote_read: Vec<RemoteRead>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Global {
    external_labels: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RemoteRead {
    read_recent: bool,
}

impl ServerFacts {
    /// Asks the server at a base URL.
    ///
    /// # Errors
    /// When it does not answer, or not as a Prometheus does.
    pub(super) async fn ask(base: &str) -> Result<Self, ReaderError> {
        let asked = Asked::new(base)?;
        let build: BuildInfo = asked.get("buildinfo").await?;
        let version = version(&build.version)
            .ok_or_else(|| ReaderError::Bad(format!("--target `{base}` says it is version `{}`", build.version)))?;
        let runtime: RuntimeInfo = asked.get("runtimeinfo").await?;
        let retention = Retention::parse(&runtime.storage_retention).ok_or_else(|| {
            let said = &runtime.storage_retention;
            ReaderError::Bad(format!(
                "--target `{base}` says it keeps `{said}`, which is not understood"
            ))
        })?;
        let status: TsdbStatus = asked.get("tsdb").await?;
        let configuration: Configuration = asked.get("config").await?;
        let config: PrometheusConfig = serde_saphyr::from_str(&configuration.yaml)
            .map_err(|error| ReaderError::Bad(format!("--target `{base}`: its configuration: {error}")))?;
        Ok(Self {
            version,
            retention,
            external_labels: config.global.external_labels.into_iter().collect(),
            head_min_time: (status.head_stats.num_series > 0).then_some(status.head_stats.min_time),
            hides_remote: config.remote_read.iter().any(|remote| !remote.read_recent),
        })
    }
}

/// A server's status pages.
struct Asked {
    client: Client,
    base: Url,
}

impl Asked {
    fn new(base: &str) -> Result<Self, ReaderError> {
        let bad = |why: String| ReaderError::Bad(format!("--target `{base}`: {why}"));
        let url = Url::parse(base).map_err(|error| bad(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(bad("it must begin with http:// or https://".to_owned()));
        }
        // Another component may have chosen the provider already, and then it is the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().timeout(TIMEOUT).build();
        Ok(Self {
            client: client.map_err(|error| bad(chain(&error)))?,
            base: url,
        })
    }

    async fn get<T: DeserializeOwned>(&self, page: &str) -> Result<T, ReaderError> {
        let mut url = self.base.clone();
        url.set_path(&format!("{}/api/v1/status/{page}", url.path().trim_end_matches('/')));
        let failed = |why: String| ReaderError::Unavailable(format!("--target: `{url}`: {why}"));
        let mut response = self
            .client
            .get(url.clone())
            .send()
            .await
            .map_err(|error| failed(chain(&error)))?;
        if !response.status().is_success() {
            return Err(failed(format!("answered {}", response.status())));
        }
        let mut body = Vec::new();
        while let Some(bytes) = response.chunk().await.map_err(|error| failed(chain(&error)))? {
            if body.len() + bytes.len() > ANSWER_BYTES_MAX {
                return Err(failed("the answer is too long".to_owned()));
            }
            body.extend_from_slice(&bytes);
        }
        let answer: Answer<T> = serde_json::from_slice(&body)
            .map_err(|error| failed(format!("it does not answer as Prometheus does: {error}")))?;
        Ok(answer.data)
    }
}

/// `3.14.0-rc.0` as a version.
fn version(text: &str) -> Option<PrometheusVersion> {
    let mut numbers = text.trim_start_matches('v').split(['.', '-', '+']);
    let mut next = || numbers.next()?.parse().ok();
    Some(PrometheusVersion(next()?, next()?))
}

impl Retention {
    /// `15d`, `512MiB`, `15d or 1GiB512MiB`, `80%`: as a server writes it. Nothing is no bound.
    fn parse(text: &str) -> Option<Self> {
        let mut retention = Self::default();
        for bound in text.split(" or ").map(str::trim).filter(|bound| !bound.is_empty()) {
            if let Some(percent) = bound.strip_suffix('%') {
                retention.percent = Some(percent.parse().ok()?);
            } else if let Ok(time) = duration::parse(bound) {
                retention.time_ms = Some(i64::try_from(time.as_millis()).ok()?).filter(|&ms| ms > 0);
            } else {
                retention.bytes = Some(bytes(bound)?);
            }
        }
        Some(retention)
    }
}

/// `1GiB512MiB`.
fn bytes(text: &str) -> Option<u64> {
    let units = [
        ("EiB", 60),
        ("PiB", 50),
        ("TiB", 40),
        ("GiB", 30),
        ("MiB", 20),
        ("KiB", 10),
        ("B", 0),
    ];
    let (mut sum, mut rest) = (0_u64, text);
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, unit) = rest.split_at(end);
        let (name, shift) = units.iter().find(|(name, _)| unit.starts_with(name))?;
        let number: f64 = number.parse().ok()?;
        sum = sum.checked_add((number * (1_u64 << shift) as f64) as u64)?;
        rest = &unit[name.len()..];
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_servers_say_of_their_retention_is_understood() {
        let of = |text: &str| Retention::parse(text).map(|found| (found.time_ms, found.bytes, found.percent));
        let day = 86_400_000;
        assert_eq!(of("15d"), Some((Some(15 * day), None, None)));
        assert_eq!(of("2w or 1GiB512MiB"), Some((Some(14 * day), Some(1536 << 20), None)));
        assert_eq!(of("512MiB or 80%"), Some((None, Some(512 << 20), Some(80.0))));
        assert_eq!(of(""), Some((None, None, None)));
        assert_eq!(of("for ever"), None);
    }

    #[test]
    fn versions_are_two_numbers() {
        assert_eq!(version("3.14.0"), Some(PrometheusVersion(3, 14)));
        assert_eq!(version("2.42.0-rc.0"), Some(PrometheusVersion(2, 42)));
        assert_eq!(version("main"), None);
    }

    #[test]
    fn a_configuration_is_read_for_what_matters() {
        let yaml = "global:\n  scrape_interval: 1s\n  external_labels:\n    cluster: a\nremote_read:\n- url: http://x\n  read_recent: true\n";
        let config: PrometheusConfig = serde_saphyr::from_str(yaml).expect("it is valid");
        assert_eq!(config.global.external_labels["cluster"], "a");
        assert!(config.remote_read[0].read_recent);
    }
}
