//! What the configuration file says about healing: from which Prometheus servers holes are filled, and how gently.
//!
//! Only the form is read here; secrets are named by their files and never stand in it.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::duration;

/// `heal:` of the file. Without sources nothing is healed.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealConfig {
    /// Pause between two passes over a source; absent = 10 minutes.
    #[serde(default, deserialize_with = "duration::deserialize_optional_nonzero")]
    pub interval: Option<Duration>,
    /// Younger time is left to the sender and the next flush; absent = 15 minutes.
    #[serde(default, deserialize_with = "duration::deserialize_optional")]
    pub settle: Option<Duration>,
    /// Most samples that are read of a source each second; absent = 500,000.
    pub samples_per_second: Option<u64>,
    /// Where what is missing comes from.
    #[serde(default)]
    pub sources: Vec<HealSourceConfig>,
}

/// One of `heal.sources`.
#[derive(Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealSourceConfig {
    /// Base URL of the Prometheus.
    pub url: String,
    /// Whose rows they become; absent = `anonymous`.
    pub tenant: Option<String>,
    /// Which series, as a selector; absent = all.
    #[serde(rename = "match")]
    pub selector: Option<String>,
    /// Name or URL of the source's `remote_write` that sends here; absent = the only one it has.
    pub remote_write: Option<String>,
    /// File with a token for `Authorization: Bearer`.
    pub bearer_token_file: Option<PathBuf>,
    /// User for basic authentication.
    pub username: Option<String>,
    /// File with the password of that user.
    pub password_file: Option<PathBuf>,
    /// Headers sent with every request.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// PEM file of the authorities that are trusted instead of those of the system.
    pub tls_ca: Option<PathBuf>,
}

/// URL and headers may hold secrets.
impl Debug for HealSourceConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.url.rsplit_once('@').map_or(self.url.as_str(), |(_, host)| host);
        f.debug_struct("HealSourceConfig")
            .field("url", &host)
            .field("tenant", &self.tenant)
            .field("headers", &self.headers.keys())
            .finish_non_exhaustive()
    }
}
