//! How a source is reached.
//!
//! Plain data: nothing is opened here. Secrets are never shown, neither by `Debug` nor in an error.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Where a Prometheus is and how to talk to it.
#[derive(Debug, Clone)]
pub struct SourceConfig {
    /// Base URL, as `http://prometheus:9090`, with the path prefix if it has one.
    pub url: String,
    /// Who asks.
    pub auth: Auth,
    /// Headers sent with every request, for proxies and for servers with tenants.
    pub headers: Vec<(String, String)>,
    /// PEM file of the authorities that are trusted instead of those of the system.
    pub ca_file: Option<PathBuf>,
    /// Longest silence of the server while it answers; the whole answer may take longer.
    pub timeout: Duration,
    /// Largest answer that is held whole: a frame with a series, or all samples of a server that does not stream. Bytes.
    pub answer_bytes_max: usize,
}

impl SourceConfig {
    /// The server at a base URL, with everything else as it usually is.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            auth: Auth::None,
            headers: Vec::new(),
            ca_file: None,
            timeout: Duration::from_secs(60),
            answer_bytes_max: 256 << 20,
        }
    }
}

/// What is sent as `Authorization`.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Auth {
    /// Nothing.
    #[default]
    None,
    /// `Bearer` with a token.
    Bearer(String),
    /// `Basic` with a name and a password.
    Basic {
        /// The user.
        username: String,
        /// The password.
        password: String,
    },
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Bearer(_) => "Bearer(..)",
            Self::Basic { .. } => "Basic(..)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let basic = Auth::Basic {
            username: "me".to_owned(),
            password: "geheim".to_owned(),
        };
        let shown = format!("{basic:?} {:?}", Auth::Bearer("geheim".to_owned()));
        assert!(!shown.contains("geheim"), "{shown}");
    }
}
