//! What an operator can choose about drills, and how their children are told which archive it is.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use emberkeep_service::config::{DrillConfig, DrillSourceConfig};
use emberkeep_service::flags::{ConfigFileFlag, ObjstoreFlags, StorageFlags};

use super::DrillError;

/// Bytes of blocks when nothing is said.
const DEFAULT_MAX_BYTES: u64 = 1 << 30;

/// Time of a whole drill when nothing is said.
const DEFAULT_MAX_DURATION: Duration = Duration::from_secs(3600);

/// Validated settings of drills.
#[derive(Debug, Clone)]
pub struct DrillSettings {
    /// Time between two drills; none = only when somebody asks for one.
    pub interval: Option<Duration>,
    /// Most bytes that the blocks may have.
    pub max_bytes: u64,
    /// Longest time that a drill may take.
    pub max_duration: Duration,
    /// A Prometheus that is started on the blocks.
    pub prometheus: Option<PathBuf>,
    /// A live Prometheus that is compared while it holds the window.
    pub source: Option<LiveSource>,
    /// The program with the reader's commands; none = the one that belongs to this process.
    pub reader: Option<PathBuf>,
    /// Where it works. One drill at a time in one directory.
    pub scratch: PathBuf,
    /// Flags that name the archive, see [`archive_arguments`].
    pub archive: Vec<OsString>,
}

/// The Prometheus whose data is archived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveSource {
    /// Base URL.
    pub url: String,
    /// Flags of `reader diff` for talking to it: `--source.*`.
    pub arguments: Vec<OsString>,
}

impl DrillSettings {
    /// The settings when nothing is said.
    #[must_use]
    pub fn new(scratch: PathBuf, archive: Vec<OsString>) -> Self {
        Self {
            interval: None,
            max_bytes: DEFAULT_MAX_BYTES,
            max_duration: DEFAULT_MAX_DURATION,
            prometheus: None,
            source: None,
            reader: None,
            scratch,
            archive,
        }
    }

    /// What the configuration file says.
    ///
    /// # Errors
    /// [`DrillError::Invalid`] for a URL with a password in it.
    pub fn from_config(config: &DrillConfig, scratch: PathBuf, archive: Vec<OsString>) -> Result<Self, DrillError> {
        let defaults = Self::new(scratch, archive);
        Ok(Self {
            interval: config.interval,
            max_bytes: config.max_bytes.unwrap_or(defaults.max_bytes),
            max_duration: config.max_duration.unwrap_or(defaults.max_duration),
            prometheus: config.prometheus.clone(),
            source: config.source.as_ref().map(live_source).transpose()?,
            reader: config.reader.clone(),
            ..defaults
        })
    }
}

fn live_source(config: &DrillSourceConfig) -> Result<LiveSource, DrillError> {
    // Arguments of a child can be read by everybody on the machine.
    if config.url.contains('@') {
        return Err(DrillError::Invalid(
            "`drill.source.url` must not hold a user or password: give `username` and `password_file`".to_owned(),
        ));
    }
    let mut arguments = Vec::new();
    let mut path = |flag: &str, value: &Option<PathBuf>| {
        if let Some(value) = value {
            arguments.extend([flag.into(), value.as_os_str().to_owned()]);
        }
    };
    path("--source.bearer-token-file", &config.bearer_token_file);
    path("--source.basic-auth.password-file", &config.password_file);
    path("--source.tls-ca", &config.tls_ca);
    if let Some(username) = &config.username {
        arguments.extend(["--source.basic-auth.username".into(), username.into()]);
    }
    Ok(LiveSource {
        url: config.url.clone(),
        arguments,
    })
}

/// The flags by which a child opens the archive that this process has open.
#[must_use]
pub fn archive_arguments(config: &ConfigFileFlag, storage: &StorageFlags, objstore: &ObjstoreFlags) -> Vec<OsString> {
    let mut arguments = Vec::new();
    let mut path = |flag: &str, value: &Option<PathBuf>| {
        if let Some(value) = value {
            arguments.push(joined(flag, value));
        }
    };
    path("--config.file=", &config.config_file);
    path("--storage.path=", &storage.path);
    path("--objstore.config-file=", &objstore.config_file);
    if let Some(yaml) = &objstore.config {
        arguments.push(format!("--objstore.config={yaml}").into());
    }
    arguments
}

fn joined(flag: &str, value: &Path) -> OsString {
    let mut argument = OsString::from(flag);
    argument.push(value);
    argument
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn no_secret_goes_to_the_command_line_of_a_child() {
        let config = |url: &str| DrillConfig {
            source: Some(DrillSourceConfig {
                url: url.to_owned(),
                username: Some("me".to_owned()),
                password_file: Some("/password".into()),
                ..DrillSourceConfig::default()
            }),
            ..DrillConfig::default()
        };
        let settings = |url| DrillSettings::from_config(&config(url), "scratch".into(), Vec::new());
        let error = settings("http://me:geheim@a").unwrap_err().to_string();
        assert!(error.contains("password_file") && !error.contains("geheim"), "{error}");
        let source = settings("http://a").unwrap().source.unwrap();
        let words = [
            "--source.basic-auth.password-file",
            "/password",
            "--source.basic-auth.username",
            "me",
        ];
        assert_eq!(source.arguments, words.map(OsString::from));
    }
}
