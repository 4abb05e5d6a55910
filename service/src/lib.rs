//! Scaffolding of a server: flags, configuration file, logs, metrics, shutdown, the lock of a data directory, the clock.
//!
//! Receiver, compactor, reader and the one binary that runs all three share it, so that they look alike to whoever
//! operates them. It knows nothing of samples, parts or the archive; a setting of the domain passes through as text.

pub mod clock;
pub mod config;
pub mod duration;
pub mod flags;
pub mod lock;
pub mod logs;
pub mod metrics;
mod open_files;
pub mod opening;
pub mod problem;
mod process;
pub mod server;
pub mod shutdown;
pub mod size;
pub mod time_expr;
pub mod version;

/// Longest time from SIGTERM to the end of the process. The server takes what it needs first (see [`server::GRACE`]);
/// the rest is for syncing and closing.
pub const SHUTDOWN_BUDGET: std::time::Duration = std::time::Duration::from_secs(10);
