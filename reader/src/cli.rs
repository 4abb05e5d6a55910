//! The command line of the reader, also as `emberkeep reader ...`.
//!
//! Flags are turned into settings and components here, and nowhere else; the commands themselves know no flags.

mod answers;
mod coverage;
mod diff;
mod export;
mod form;
mod limits;
mod moments;
mod replay;
mod verify;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};
use emberkeep_archive::sql::SqlEngine;
use emberkeep_archive::{ObjectStore, StoreConfig};
use emberkeep_service::config::FileConfig;
use emberkeep_service::flags::{ConfigFileFlag, LogFlags, ObjstoreFlags, StorageFlags, WebFlags};
use emberkeep_service::logs;
use emberkeep_service::problem::Outcome;

pub use self::answers::AnswerFlags;
pub use self::coverage::CoverageFlags;
pub use self::diff::DiffFlags;
pub use self::export::{ExportFlags, FormatFlag, OrderFlag, TargetFlags, WantedFlags, WorkFlags};
pub use self::form::{Form, FormFlag};
pub use self::limits::LimitFlags;
pub use self::moments::{AsOfFlag, RangeFlags};
pub use self::replay::ReplayFlags;
pub use self::verify::VerifyFlags;
use crate::{HeadRoster, Sources, key_config, serve, sql_view};

/// Answers Prometheus' remote read from the archive, and rebuilds TSDB blocks from it.
#[derive(Debug, Parser)]
#[command(name = "reader", args_conflicts_with_subcommands = true)]
pub struct ReaderCli {
    /// What to do; without a command, serve.
    #[command(subcommand)]
    pub command: Option<ReaderCommand>,
    /// The flags of `serve`.
    #[command(flatten)]
    pub serve: ServeFlags,
}

/// What the reader can do.
#[derive(Debug, Subcommand)]
pub enum ReaderCommand {
    /// Answer remote read and the metadata API over HTTP (the default).
    Serve(ServeFlags),
    /// Write a time range as TSDB blocks that a stock Prometheus starts on.
    #[command(name = "export-tsdb")]
    ExportTsdb(ExportFlags),
    /// Prove that the archive, or what was exported from it, is what it should be.
    Verify(Box<VerifyFlags>),
    /// Show of which time each source is held, its target was down, or something is missing.
    Coverage(Box<CoverageFlags>),
    /// Send a time range to a remote-write endpoint.
    Replay(ReplayFlags),
    /// Compare the archive with a Prometheus that runs, sample by sample.
    Diff(Box<DiffFlags>),
    /// Print SQL that shows the archive to another engine.
    View(ViewFlags),
}

/// Where the archive is, and how to log.
#[derive(Debug, Clone, Default, Args)]
pub struct ArchiveFlags {
    /// `--config.file`
    #[command(flatten)]
    pub config: ConfigFileFlag,
    /// `--log.*`
    #[command(flatten)]
    pub log: LogFlags,
    /// `--storage.path`
    #[command(flatten)]
    pub storage: StorageFlags,
    /// `--objstore.*`
    #[command(flatten)]
    pub objstore: ObjstoreFlags,
}

/// The receivers whose heads are read.
#[derive(Debug, Clone, Default, Args)]
pub struct HeadFlags {
    /// Base URL of a receiver whose unflushed head is included; repeatable. A receiver that is down fails the query. With
    /// `dns+http://name:port` all addresses of the name are receivers.
    #[arg(id = "head-url", long = "head-url", value_name = "URL")]
    pub urls: Vec<String>,
    /// File with a URL of that kind in each line, read for every query. Behind a URL may stand `holds-from=TIME`.
    #[arg(id = "head-file", long = "head-file", value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// What the heads hold is not older, as `-6h`: one that is down does not fail queries of earlier time. Only true where senders
    /// never send older samples.
    #[arg(
        id = "head.holds-from",
        long = "head.holds-from",
        value_name = "TIME",
        allow_hyphen_values = true
    )]
    pub holds_from: Option<String>,
}

/// Flags of `serve`.
#[derive(Debug, Clone, Default, Args)]
pub struct ServeFlags {
    /// Where the archive is.
    #[command(flatten)]
    pub archive: ArchiveFlags,
    /// `--web.listen-address`
    #[command(flatten)]
    pub web: WebFlags,
    /// `--head-url`
    #[command(flatten)]
    pub heads: HeadFlags,
    /// `--as-of`
    #[command(flatten)]
    pub as_of: AsOfFlag,
    /// The bounds.
    #[command(flatten)]
    pub limits: LimitFlags,
}

/// Flags of `view`.
#[derive(Debug, Clone, Args)]
pub struct ViewFlags {
    /// Where the archive is.
    #[command(flatten)]
    pub archive: ArchiveFlags,
    /// The engine whose SQL is written.
    #[arg(long, value_enum, default_value_t = Engine::Duckdb)]
    pub engine: Engine,
}

/// Engines that views are written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// DuckDB: all kinds of data.
    Duckdb,
    /// Spark SQL: series and samples.
    Spark,
    /// Polars, as Python: series and samples.
    Polars,
    /// ClickHouse: series and samples.
    Clickhouse,
}

impl From<Engine> for SqlEngine {
    fn from(engine: Engine) -> Self {
        match engine {
            Engine::Duckdb => Self::DuckDb,
            Engine::Spark => Self::Spark,
            Engine::Polars => Self::Polars,
            Engine::Clickhouse => Self::ClickHouse,
        }
    }
}

/// Runs a command to its end.
///
/// # Errors
/// What went wrong, for people.
pub async fn run(cli: ReaderCli) -> anyhow::Result<Outcome> {
    match cli.command.unwrap_or(ReaderCommand::Serve(cli.serve)) {
        ReaderCommand::Serve(flags) => serve::run(&flags).await,
        ReaderCommand::ExportTsdb(flags) => export::run(flags).await,
        ReaderCommand::Verify(flags) => verify::run(*flags).await,
        ReaderCommand::Coverage(flags) => coverage::run(*flags).await,
        ReaderCommand::Replay(flags) => replay::run(flags).await,
        ReaderCommand::Diff(flags) => diff::run(*flags).await,
        ReaderCommand::View(flags) => view(&flags).await,
    }
}

impl ArchiveFlags {
    /// Reads the configuration file and begins to log.
    pub(crate) fn prepare(&self) -> anyhow::Result<FileConfig> {
        let file = self.config.load()?;
        let (level, format) = self.log.resolve(&file);
        logs::init(level, format)?;
        Ok(file)
    }

    /// The archive's store: what is configured, or the directory beside local data.
    pub(crate) fn store_config(&self, file: &FileConfig) -> anyhow::Result<StoreConfig> {
        let config = match self.objstore.resolve(file)? {
            Some(config) => StoreConfig::parse(&config.yaml).with_context(|| format!("`{}`", config.place))?,
            None => StoreConfig::directory(self.storage.resolve(file).join("archive")),
        };
        Ok(config.with_keys(key_config::read(&file.encryption)?))
    }

    pub(crate) fn open(&self, file: &FileConfig) -> anyhow::Result<Arc<dyn ObjectStore>> {
        Ok(self.store_config(file)?.open()?)
    }
}

impl HeadFlags {
    pub(crate) fn roster(&self) -> anyhow::Result<HeadRoster> {
        Ok(HeadRoster::new(&self.urls, self.file.clone(), self.holds_from.clone())?)
    }

    /// The heads as they were given, by which an export that goes on is recognised.
    fn given(&self) -> Vec<String> {
        let file = self.file.iter().map(|path| format!("file:{}", path.display()));
        self.urls.iter().cloned().chain(file).collect()
    }
}

async fn view(flags: &ViewFlags) -> anyhow::Result<Outcome> {
    let file = flags.archive.prepare()?;
    let config = flags.archive.store_config(&file)?;
    let sources = Sources::new(flags.archive.open(&file)?, Vec::new());
    sources.must_hold_something().await?;
    sql_view::write(flags.engine.into(), &config, &sources, &mut io::stdout()).await?;
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serving_needs_no_command_and_no_flags() {
        let cli = ReaderCli::try_parse_from(["reader"]).expect("no flags are needed");
        assert!(cli.command.is_none());
        assert_eq!(cli.serve.limits.settings().concurrency, 10);
        let cli = ReaderCli::try_parse_from(["reader", "--head-url=http://a:1", "--head-url", "http://b:1"]);
        assert_eq!(cli.expect("repeatable").serve.heads.urls.len(), 2);
    }

    #[test]
    fn an_export_takes_relative_times_and_several_selectors() {
        let cli = ReaderCli::try_parse_from([
            "reader",
            "export-tsdb",
            "--from",
            "-30d",
            "--to=-3h",
            "--match",
            "up",
            "--match={a=\"b\"}",
            "--output",
            "x",
        ]);
        let Some(ReaderCommand::ExportTsdb(flags)) = cli.expect("valid").command else {
            panic!("another command")
        };
        assert_eq!(
            (
                flags.wanted.from.as_str(),
                flags.wanted.to.as_deref(),
                flags.wanted.matches.len()
            ),
            ("-30d", Some("-3h"), 2)
        );
        assert!(!flags.target.start_timestamps);
        assert_eq!(flags.wanted.tenant, emberkeep_model::TenantId::default());
        for wrong in [
            &["export-tsdb", "--from=0"][..],
            &["export-tsdb", "--output=x"],
            &["export-tsdb", "--from=0", "--output=x", "--into=y"],
            &["export-tsdb", "--from=0", "--output=x", "--ignore=everything"],
            &["view", "--engine=oracle"],
        ] {
            assert!(
                ReaderCli::try_parse_from([&["reader"], wrong].concat()).is_err(),
                "{wrong:?}"
            );
        }
    }
}
