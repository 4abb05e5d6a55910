//! The configuration file: the same settings as the flags, in YAML with `snake_case` names. A flag wins over it.
//!
//! Unknown fields are refused with file, line and the line itself, so that a misspelt setting cannot be silently
//! without effect. The object store's part is kept as the text it is, for the crate that knows its meaning; it may hold
//! secrets, so it is never shown.

use std::fmt::{self, Debug};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_saphyr::{Spanned, UserMessageFormatter};
use thiserror::Error;

use crate::duration;
use crate::logs::{LogFormat, LogLevel};

mod drill;
mod encryption;
mod heal;
mod upkeep;

pub use drill::{DrillConfig, DrillSourceConfig};
pub use encryption::{EncryptionConfig, KeyConfig};
pub use heal::{HealConfig, HealSourceConfig};
pub use upkeep::{QuotaConfig, RetentionConfig, RetentionRuleConfig, ScrubConfig, TablesConfig};

/// What a configuration file says. Every setting is optional: what is absent is decided by flag or default.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct FileConfig {
    /// Local storage.
    pub storage: StorageConfig,
    /// The object store, as text in Thanos' form.
    pub objstore: Option<ObjstoreConfig>,
    /// The HTTP server.
    pub web: WebConfig,
    /// How often the head becomes a part.
    pub flush: FlushConfig,
    /// Logging.
    pub log: LogConfig,
    /// What goes after which time.
    pub retention: RetentionConfig,
    /// How much there may be.
    pub quota: QuotaConfig,
    /// What is read again to find damage.
    pub scrub: ScrubConfig,
    /// What is restored on trial.
    pub drill: DrillConfig,
    /// Publication as open tables.
    pub tables: TablesConfig,
    /// Keys to encrypt with, and to read what is encrypted.
    pub encryption: EncryptionConfig,
    /// Sources from which holes are filled.
    pub heal: HealConfig,
}

/// `storage:` of the file.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageConfig {
    /// Directory of the log and of what is staged, as `--storage.path`; relative to the working directory.
    pub path: Option<PathBuf>,
}

/// `web:` of the file.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebConfig {
    /// `host:port` to listen on, as `--web.listen-address`.
    pub listen_address: Option<String>,
    /// As `--web.max-connections`.
    pub max_connections: Option<NonZeroUsize>,
    /// As `--web.read-timeout`.
    #[serde(default, deserialize_with = "duration::deserialize_optional_nonzero")]
    pub read_timeout: Option<Duration>,
}

/// `flush:` of the file.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlushConfig {
    /// Longest time that samples wait before they go to the object store, as `--flush.interval`.
    #[serde(default, deserialize_with = "duration::deserialize_optional")]
    pub interval: Option<Duration>,
}

/// `log:` of the file.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// As `--log.level`.
    pub level: Option<LogLevel>,
    /// As `--log.format`.
    pub format: Option<LogFormat>,
}

/// Configuration of the object store: YAML in Thanos' form, not yet looked into.
#[derive(Clone, PartialEq, Eq)]
pub struct ObjstoreConfig {
    /// The YAML text. May hold secrets.
    pub yaml: String,
    /// Where it was given, for messages: a file or a flag.
    pub place: String,
}

impl Debug for ObjstoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjstoreConfig")
            .field("yaml", &"<secret>")
            .field("place", &self.place)
            .finish()
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read `{}`, given by `{flag}`", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The flag that named it.
        flag: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// The text is not YAML, or not a configuration of ours.
    #[error("`{place}`{}: {reason}{}", line_text(*.line), excerpt_text(.excerpt))]
    Invalid {
        /// The file.
        place: String,
        /// Line from 1, when it is known.
        line: Option<u64>,
        /// What is wrong.
        reason: String,
        /// The line itself; empty when it is unknown or could hold a secret.
        excerpt: String,
    },
}

fn line_text(line: Option<u64>) -> String {
    line.map_or_else(String::new, |line| format!(" line {line}"))
}

fn excerpt_text(excerpt: &str) -> String {
    if excerpt.is_empty() {
        String::new()
    } else {
        format!(" in `{excerpt}`")
    }
}

/// The file as serde sees it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    storage: StorageConfig,
    objstore: Option<Spanned<IgnoredAny>>,
    #[serde(default)]
    web: WebConfig,
    #[serde(default)]
    flush: FlushConfig,
    #[serde(default)]
    log: LogConfig,
    #[serde(default)]
    retention: RetentionConfig,
    #[serde(default)]
    quota: QuotaConfig,
    #[serde(default)]
    scrub: ScrubConfig,
    #[serde(default)]
    drill: DrillConfig,
    #[serde(default)]
    tables: TablesConfig,
    #[serde(default)]
    encryption: EncryptionConfig,
    #[serde(default)]
    heal: HealConfig,
}

impl FileConfig {
    /// Reads the file that `--config.file` names.
    ///
    /// # Errors
    /// When it cannot be read, is not YAML, has unknown fields or values that are none.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        Self::parse(&read_text(path, "--config.file")?, &path.display().to_string())
    }

    /// Reads a configuration from its text; `place` is what messages call it.
    ///
    /// # Errors
    /// As [`FileConfig::read`].
    pub fn parse(text: &str, place: &str) -> Result<Self, ConfigError> {
        // A file of comments only sets nothing.
        let is_comment = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
        if text.lines().all(is_comment) {
            return Ok(Self::default());
        }
        let document: Document = serde_saphyr::from_str(text).map_err(|error| invalid(text, place, &error))?;
        let objstore = match document.objstore {
            Some(value) => Some(ObjstoreConfig {
                yaml: objstore_yaml(text, place, &value)?,
                place: place.to_owned(),
            }),
            None => None,
        };
        Ok(Self {
            storage: document.storage,
            objstore,
            web: document.web,
            flush: document.flush,
            log: document.log,
            retention: document.retention,
            quota: document.quota,
            scrub: document.scrub,
            drill: document.drill,
            tables: document.tables,
            encryption: document.encryption,
            heal: document.heal,
        })
    }
}

/// Reads a file that `flag` names.
pub(crate) fn read_text(path: &Path, flag: &'static str) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        flag,
        source,
    })
}

fn invalid(text: &str, place: &str, error: &serde_saphyr::Error) -> ConfigError {
    let error = error.without_snippet();
    let line = error
        .location()
        .map(|location| location.line())
        .filter(|line| *line > 0);
    let full = error.render_with_formatter(&UserMessageFormatter);
    // The parser ends its text with the place, which is said before.
    let reason = full.split(" at line ").next().unwrap_or_default().trim_end_matches(',');
    ConfigError::Invalid {
        place: place.to_owned(),
        line,
        reason: reason.to_owned(),
        excerpt: excerpt(text, line),
    }
}

fn excerpt(text: &str, line: Option<u64>) -> String {
    let Some(index) = line.and_then(|line| usize::try_from(line).ok()?.checked_sub(1)) else {
        return String::new();
    };
    if objstore_lines(text).contains(&index) {
        return String::new();
    }
    text.lines().nth(index).unwrap_or_default().trim().to_owned()
}

/// Lines (from 0) of the block `objstore:`: from its key to the next line that starts in the first column.
fn objstore_lines(text: &str) -> std::ops::Range<usize> {
    let mut lines = text.lines();
    let Some(first) = lines.position(|line| line.starts_with("objstore:")) else {
        return 0..0;
    };
    let is_inside = |line: &&str| line.is_empty() || line.starts_with([' ', '\t', '#']);
    first..first + 1 + lines.take_while(is_inside).count()
}

/// Cuts the YAML text under `objstore:` out of the file. Text and not a parsed value, because only the schema of the
/// object store tells whether `0123` is a number or a key; blank lines stand for what comes before, so that line
/// numbers of later messages are those of the file.
fn objstore_yaml(text: &str, place: &str, value: &Spanned<IgnoredAny>) -> Result<String, ConfigError> {
    let lines = objstore_lines(text);
    let at = value.referenced.line();
    let refused = || ConfigError::Invalid {
        place: place.to_owned(),
        line: Some(at).filter(|line| *line > 0),
        reason: "`objstore` must be a block of its own at the start of a line".to_owned(),
        excerpt: String::new(),
    };
    if value.referenced != value.defined || !usize::try_from(at).is_ok_and(|line| lines.contains(&line.wrapping_sub(1)))
    {
        return Err(refused());
    }
    let mut yaml = "\n".repeat(lines.start);
    for (index, line) in text.lines().enumerate().take(lines.end).skip(lines.start) {
        // The key itself gives way to blanks, so that columns stay as well.
        let line = if index == lines.start {
            line.replacen("objstore:", "         ", 1)
        } else {
            line.to_owned()
        };
        yaml.push_str(line.trim_end());
        yaml.push('\n');
    }
    // What was cut must be whole by itself; an anchor from elsewhere, for one, is not.
    serde_saphyr::from_str::<IgnoredAny>(&yaml).map_err(|_| refused())?;
    Ok(yaml)
}

#[cfg(test)]
mod tests;
