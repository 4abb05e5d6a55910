//! What the configuration file says about drills: restores on trial, on a schedule.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::upkeep::optional_size;
use crate::duration;

/// `drill:` of the file.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrillConfig {
    /// Time between two drills; absent = none by itself.
    #[serde(default, deserialize_with = "duration::deserialize_optional_nonzero")]
    pub interval: Option<Duration>,
    /// Most bytes of blocks, as `--max-bytes` of `compactor drill`.
    #[serde(default, deserialize_with = "optional_size")]
    pub max_bytes: Option<u64>,
    /// Longest time of a drill, as `--max-duration`.
    #[serde(default, deserialize_with = "duration::deserialize_optional_nonzero")]
    pub max_duration: Option<Duration>,
    /// Prometheus to start on the blocks, as `--prometheus`.
    pub prometheus: Option<PathBuf>,
    /// Program with the reader's commands, as `--reader`.
    pub reader: Option<PathBuf>,
    /// The live Prometheus, as `--source`.
    pub source: Option<DrillSourceConfig>,
}

/// `drill.source` of the file.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrillSourceConfig {
    /// Base URL, without user and password.
    pub url: String,
    /// File with a token for `Authorization: Bearer`.
    pub bearer_token_file: Option<PathBuf>,
    /// User for basic authentication.
    pub username: Option<String>,
    /// File with the password for basic authentication.
    pub password_file: Option<PathBuf>,
    /// PEM file of the authorities that are trusted instead of those of the system.
    pub tls_ca: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::config::FileConfig;

    #[test]
    fn everything_can_be_said_and_nothing_need_be() {
        assert_eq!(
            FileConfig::parse("drill: {}\n", "x").unwrap().drill,
            DrillConfig::default()
        );
        let text = "drill:\n  interval: 1d\n  max_bytes: 2GB\n  max_duration: 30m\n  prometheus: /p\n  reader: /r\n  source:\n    url: http://a:9090\n    username: u\n    password_file: /f\n";
        let drill = FileConfig::parse(text, "x").unwrap().drill;
        assert_eq!(drill.interval, Some(Duration::from_secs(86_400)));
        assert_eq!(
            (drill.max_bytes, drill.max_duration),
            (Some(2 << 30), Some(Duration::from_secs(1800)))
        );
        let source = drill.source.unwrap();
        assert_eq!(
            (source.url.as_str(), source.password_file),
            ("http://a:9090", Some("/f".into()))
        );
        for wrong in ["interval: 0s", "max_duration: 0s", "source: {}", "password: x"] {
            assert!(
                FileConfig::parse(&format!("drill: {{{wrong}}}\n"), "x").is_err(),
                "{wrong}"
            );
        }
    }
}
