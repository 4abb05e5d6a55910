//! Logs to standard error: one line for each event, logfmt or JSON, with the names that Prometheus 3 uses.
//!
//! `time=2026-11-20T10:00:00.000Z level=INFO source=receiver/src/flush.rs:10 msg="flushed" parts=2`. A value can never
//! break its line or forge a field: what is not plain is quoted, control characters are escaped. Other people's crates
//! are heard from WARN upwards only, so that `--log.level=debug` shows our debugging and not that of the TLS library.

mod line;

use std::sync::Arc;

use clap::ValueEnum;
use serde::Deserialize;
use thiserror::Error;
use tracing::Subscriber;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;

use crate::clock::{Clock, SystemClock};
use line::{EventLine, FieldText};

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// `key=value` pairs.
    #[default]
    Logfmt,
    /// One JSON object for each line, with the same keys.
    Json,
}

/// The least severe level that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// For finding out why.
    Debug,
    /// What an operator wants in the record of a normal day.
    #[default]
    Info,
    /// Something is off, and handled.
    Warn,
    /// Something failed.
    Error,
}

impl LogLevel {
    fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// The process already logs some other way.
#[derive(Debug, Error)]
#[error("logging was already set up in this process")]
pub struct AlreadyInitialised;

/// Starts logging for the whole process, to standard error.
///
/// # Errors
/// When the process has a log subscriber already.
pub fn init(level: LogLevel, format: LogFormat) -> Result<(), AlreadyInitialised> {
    let subscriber = subscriber(level, format, Arc::new(SystemClock), std::io::stderr);
    tracing::subscriber::set_global_default(subscriber).map_err(|_| AlreadyInitialised)
}

/// The subscriber that [`init`] installs, writing to `writer` with the time of `clock`.
pub fn subscriber<W>(
    level: LogLevel,
    format: LogFormat,
    clock: Arc<dyn Clock>,
    writer: W,
) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer()
        .event_format(EventLine::new(format, clock))
        .fmt_fields(FieldText::new(format))
        .with_ansi(false)
        .with_writer(writer);
    tracing_subscriber::registry().with(filter(level)).with(lines)
}

fn filter(level: LogLevel) -> EnvFilter {
    // A target is matched by its beginning: `emberkeep` covers the binary and all our libraries. The other three are
    // the separate binaries, whose own events carry their names.
    let ours = level.as_str();
    let others = if level == LogLevel::Error { "error" } else { "warn" };
    // It logs every error that it returns, also that of a table which is looked for before it is made. What is one is told by us.
    let returned = if level == LogLevel::Debug { "error" } else { "off" };
    EnvFilter::new(format!(
        "{others},delta_kernel={returned},emberkeep={ours},receiver={ours},compactor={ours},reader={ours}"
    ))
}

#[cfg(test)]
mod tests;
