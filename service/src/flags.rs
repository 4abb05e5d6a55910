//! The groups of flags that the binaries share, and what becomes of flag, configuration file and default together.
//!
//! A binary flattens the groups it needs into its own command line and calls `resolve` on each with what the file
//! says. The order is always flag, then file, then default. Names follow Prometheus: `--storage.path`.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser};

use crate::config::{ConfigError, FileConfig, ObjstoreConfig, read_text};
use crate::logs::{LogFormat, LogLevel};
use crate::server::{DEFAULT_MAX_CONNECTIONS, DEFAULT_READ_TIMEOUT, WebSettings};
use crate::{duration, version};

/// Where local data lies when nothing is said.
pub const DEFAULT_STORAGE_PATH: &str = "./data";

/// How often the head becomes a part when nothing is said.
pub const DEFAULT_FLUSH_INTERVAL: Duration = Duration::from_secs(300);

/// Reads the command line into `C`, with `--version` as [`version::text`]. Ends the process on `--help`, `--version`
/// and on mistakes, as clap does, but with code 1 for mistakes: 2 means something else here.
#[must_use]
pub fn parse<C: Parser>() -> C {
    let command = version::with_version(<C as CommandFactory>::command());
    let parsed = command
        .try_get_matches()
        .and_then(|matches| C::from_arg_matches(&matches));
    parsed.unwrap_or_else(|error| {
        // Nobody can be told when the terminal is gone.
        let _ = error.print();
        std::process::exit(i32::from(error.use_stderr()))
    })
}

/// `--config.file`.
#[derive(Debug, Clone, Default, Args)]
pub struct ConfigFileFlag {
    /// Configuration file (YAML); flags win over what it says.
    #[arg(id = "config.file", long = "config.file", value_name = "FILE")]
    pub config_file: Option<PathBuf>,
}

impl ConfigFileFlag {
    /// Reads the file; without the flag, an empty configuration.
    ///
    /// # Errors
    /// When the file cannot be read or is not a configuration.
    pub fn load(&self) -> Result<FileConfig, ConfigError> {
        self.config_file
            .as_deref()
            .map_or_else(|| Ok(FileConfig::default()), FileConfig::read)
    }
}

/// `--log.level` and `--log.format`.
#[derive(Debug, Clone, Default, Args)]
pub struct LogFlags {
    /// Least severe level that is logged [default: info].
    #[arg(id = "log.level", long = "log.level", value_name = "LEVEL", value_enum)]
    pub level: Option<LogLevel>,
    /// How log lines are written [default: logfmt].
    #[arg(id = "log.format", long = "log.format", value_name = "FORMAT", value_enum)]
    pub format: Option<LogFormat>,
}

impl LogFlags {
    /// Level and format to log with.
    #[must_use]
    pub fn resolve(&self, file: &FileConfig) -> (LogLevel, LogFormat) {
        (
            self.level.or(file.log.level).unwrap_or_default(),
            self.format.or(file.log.format).unwrap_or_default(),
        )
    }
}

/// `--storage.path`.
#[derive(Debug, Clone, Default, Args)]
pub struct StorageFlags {
    /// Directory for local data; made when missing [default: ./data].
    #[arg(id = "storage.path", long = "storage.path", value_name = "DIR")]
    pub path: Option<PathBuf>,
}

impl StorageFlags {
    /// The directory for local data.
    #[must_use]
    pub fn resolve(&self, file: &FileConfig) -> PathBuf {
        self.path
            .clone()
            .or_else(|| file.storage.path.clone())
            .unwrap_or_else(|| DEFAULT_STORAGE_PATH.into())
    }
}

/// `--objstore.config-file` and `--objstore.config`.
#[derive(Debug, Clone, Default, Args)]
pub struct ObjstoreFlags {
    /// File with the object store's configuration in Thanos' form [default: the directory `archive` in --storage.path].
    #[arg(
        id = "objstore.config-file",
        long = "objstore.config-file",
        value_name = "FILE",
        conflicts_with = "objstore.config"
    )]
    pub config_file: Option<PathBuf>,
    /// The object store's configuration itself, in Thanos' form.
    #[arg(id = "objstore.config", long = "objstore.config", value_name = "YAML")]
    pub config: Option<String>,
}

impl ObjstoreFlags {
    /// The object store's configuration as text; `None` when nothing is said.
    ///
    /// # Errors
    /// When the file of `--objstore.config-file` cannot be read.
    pub fn resolve(&self, file: &FileConfig) -> Result<Option<ObjstoreConfig>, ConfigError> {
        if let Some(yaml) = &self.config {
            return Ok(Some(ObjstoreConfig {
                yaml: yaml.clone(),
                place: "--objstore.config".to_owned(),
            }));
        }
        if let Some(path) = &self.config_file {
            let yaml = read_text(path, "--objstore.config-file")?;
            return Ok(Some(ObjstoreConfig {
                yaml,
                place: path.display().to_string(),
            }));
        }
        Ok(file.objstore.clone())
    }
}

/// `--web.listen-address`, `--web.max-connections` and `--web.read-timeout`.
#[derive(Debug, Clone, Default, Args)]
pub struct WebFlags {
    /// Address to listen on, `host:port` or `:port` [default: 127.0.0.1:9201; compactor 9202, reader 9203].
    #[arg(id = "web.listen-address", long = "web.listen-address", value_name = "ADDRESS")]
    pub listen_address: Option<String>,
    /// Most connections at a time; for one more the longest silent one is closed, or it waits when all are at work [default: 2048].
    #[arg(id = "web.max-connections", long = "web.max-connections", value_name = "N", value_parser = at_least_one)]
    pub max_connections: Option<NonZeroUsize>,
    /// How long a connection may take for the whole head of a request, idle time before it included [default: 6m].
    #[arg(id = "web.read-timeout", long = "web.read-timeout", value_name = "DURATION", value_parser = duration::parse_nonzero)]
    pub read_timeout: Option<Duration>,
}

fn at_least_one(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "not a whole number from 1 on".to_owned())
}

impl WebFlags {
    /// Where and how to listen; `default` is the address of the binary.
    #[must_use]
    pub fn resolve(&self, file: &FileConfig, default: &str) -> WebSettings {
        let address = self.listen_address.as_deref().or(file.web.listen_address.as_deref());
        let max_connections = self.max_connections.or(file.web.max_connections);
        let read_timeout = self.read_timeout.or(file.web.read_timeout);
        WebSettings {
            address: address.unwrap_or(default).to_owned(),
            max_connections: max_connections.map_or(DEFAULT_MAX_CONNECTIONS, NonZeroUsize::get),
            read_timeout: read_timeout.unwrap_or(DEFAULT_READ_TIMEOUT),
        }
    }
}

/// `--flush.interval`.
#[derive(Debug, Clone, Default, Args)]
pub struct FlushFlags {
    /// Longest time that samples wait before they go to the object store [default: 5m].
    #[arg(id = "flush.interval", long = "flush.interval", value_name = "DURATION", value_parser = duration::parse)]
    pub interval: Option<Duration>,
}

impl FlushFlags {
    /// The interval.
    #[must_use]
    pub fn resolve(&self, file: &FileConfig) -> Duration {
        self.interval.or(file.flush.interval).unwrap_or(DEFAULT_FLUSH_INTERVAL)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[derive(Debug, Parser)]
    struct All {
        #[command(flatten)]
        config_file: ConfigFileFlag,
        #[command(flatten)]
        log: LogFlags,
        #[command(flatten)]
        storage: StorageFlags,
        #[command(flatten)]
        objstore: ObjstoreFlags,
        #[command(flatten)]
        web: WebFlags,
        #[command(flatten)]
        flush: FlushFlags,
    }

    fn flags(arguments: &[&str]) -> All {
        All::try_parse_from([&["all"], arguments].concat()).unwrap()
    }

    const FILE: &str = "\
storage: {path: from-file}
objstore: {type: S3}
web: {listen_address: 'file:1', max_connections: 7, read_timeout: 8m}
flush: {interval: 7m}
log: {level: warn, format: json}
";

    fn resolved(all: &All, file: &FileConfig) -> (LogLevel, LogFormat, PathBuf, Option<String>, WebSettings, Duration) {
        let (level, format) = all.log.resolve(file);
        let objstore = all
            .objstore
            .resolve(file)
            .unwrap()
            .map(|config| config.yaml.trim().to_owned());
        (
            level,
            format,
            all.storage.resolve(file),
            objstore,
            all.web.resolve(file, "default:1"),
            all.flush.resolve(file),
        )
    }

    #[test]
    fn defaults_then_file_then_flags() {
        let nothing = flags(&[]);
        let none = nothing.config_file.load().unwrap();
        assert_eq!(
            resolved(&nothing, &none),
            (
                LogLevel::Info,
                LogFormat::Logfmt,
                "./data".into(),
                None,
                WebSettings::from("default:1"),
                Duration::from_secs(300)
            )
        );
        let file = FileConfig::parse(FILE, "x").unwrap();
        let of_file = (
            LogLevel::Warn,
            LogFormat::Json,
            "from-file".into(),
            Some("{type: S3}".to_owned()),
            WebSettings {
                address: "file:1".to_owned(),
                max_connections: 7,
                read_timeout: Duration::from_secs(480),
            },
            Duration::from_secs(420),
        );
        assert_eq!(resolved(&nothing, &file), of_file);
        let all = flags(&[
            "--log.level=debug",
            "--log.format=logfmt",
            "--storage.path",
            "from-flag",
            "--objstore.config",
            "type: GCS",
            "--web.listen-address=:9",
            "--web.max-connections=3",
            "--web.read-timeout=1s",
            "--flush.interval=90s",
        ]);
        assert_eq!(
            resolved(&all, &file),
            (
                LogLevel::Debug,
                LogFormat::Logfmt,
                "from-flag".into(),
                Some("type: GCS".to_owned()),
                WebSettings {
                    address: ":9".to_owned(),
                    max_connections: 3,
                    read_timeout: Duration::from_secs(1),
                },
                Duration::from_secs(90)
            )
        );
    }

    #[test]
    fn files_are_read_through_their_flags() {
        let scratch = tempfile::tempdir().unwrap();
        let config = scratch.path().join("emberkeep.yml");
        let bucket = scratch.path().join("bucket.yml");
        std::fs::write(&config, FILE).unwrap();
        std::fs::write(&bucket, "type: AZURE\n").unwrap();
        let all = flags(&[
            "--config.file",
            config.to_str().unwrap(),
            "--objstore.config-file",
            bucket.to_str().unwrap(),
        ]);
        let file = all.config_file.load().unwrap();
        assert_eq!(file.web.listen_address.as_deref(), Some("file:1"));
        let objstore = all.objstore.resolve(&file).unwrap().unwrap();
        assert_eq!(
            (objstore.yaml.as_str(), objstore.place.as_str()),
            ("type: AZURE\n", bucket.to_str().unwrap())
        );
    }

    #[test]
    fn mistakes_are_refused() {
        let error = FileConfig::parse("web: {read_timeout: 0s}\n", "x").unwrap_err();
        assert!(
            format!("{error:?}").contains("`0s` must be longer than nothing"),
            "{error:?}"
        );
        for arguments in [
            &["--flush.interval=90"][..],
            &["--log.level=loud"],
            &["--storage.paht=x"],
            &["--web.max-connections=0"],
            // It would cut off every connection at once.
            &["--web.read-timeout=0"],
            &["--objstore.config=a", "--objstore.config-file=b"],
        ] {
            All::try_parse_from([&["all"], arguments].concat()).unwrap_err();
        }
    }
}
