//! What reading costs: streamed and selective remote read, export, verification, seeding and diff, of the programs as they are.
//!
//! `make` writes an archive of the synthetic workload through the library, in the form that flushes and merges leave; `run` starts the
//! programs on it and takes their time and memory from the system. Processor seconds are the figure that other load on the machine
//! changes least. The archive is never changed: what is made of it goes into a directory of its own.

mod archive;
mod bucket;
mod figures;
mod measure;
mod programs;
mod selective;
mod streamed;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand, ValueEnum};

#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write an archive.
    Make(Make),
    /// Copy an archive into the bucket of an object store.
    Copy(Bucket),
    /// Measure with an archive that `make` wrote.
    Run(Run),
}

/// What an archive holds.
#[derive(Debug, Args)]
struct Make {
    /// The storage path to write; it must not exist.
    #[arg(long)]
    storage: PathBuf,
    /// Number of series.
    #[arg(long, default_value_t = 10_000)]
    series: usize,
    /// Series that share an instance.
    #[arg(long, default_value_t = 100)]
    per_instance: usize,
    /// Hours of merged data, from the start of a UTC day.
    #[arg(long, default_value_t = 8)]
    hours: u32,
    /// Seconds between two samples of merged data, a multiple of 15.
    #[arg(long, default_value_t = 15)]
    interval: u64,
    /// What upkeep has made of it.
    #[arg(long, value_enum, default_value_t = Form::Day)]
    form: Form,
    /// Flushes of five minutes, one sample each 15 s, that follow the merged data.
    #[arg(long, default_value_t = 0)]
    flushes: u32,
}

/// From where to where.
#[derive(Debug, Args)]
struct Bucket {
    /// The storage path that `make` wrote.
    #[arg(long)]
    storage: PathBuf,
    /// The store, as `--objstore.config-file` of the programs; the bucket is there and empty.
    #[arg(long)]
    objstore: PathBuf,
}

/// How merged data lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// One part for each day, level 2.
    Day,
    /// One part for each two hours, level 1.
    Windows,
    /// One part for each five minutes, level 0: nothing was merged.
    Flushes,
}

/// What is measured.
#[derive(Debug, Args)]
struct Run {
    /// The storage path that `make` wrote.
    #[arg(long)]
    storage: PathBuf,
    /// The store with a copy of it, which is read instead [default: the storage path].
    #[arg(long)]
    objstore: Option<PathBuf>,
    /// The program `emberkeep`.
    #[arg(long)]
    program: PathBuf,
    /// A Prometheus that answers the same streamed read from blocks exported of the archive.
    #[arg(long)]
    prometheus: Option<PathBuf>,
    /// Directory for what is made; it is removed at the end [default: a temporary one].
    #[arg(long)]
    scratch: Option<PathBuf>,
    /// What to measure [default: all].
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<What>,
    /// Repetitions of a read.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    repeats: u32,
    /// Hours before the end of the data that a selective read looks back.
    #[arg(long, default_value_t = 24)]
    look_back: u32,
    /// The instance of a selective read.
    #[arg(long, default_value = "10.0.0.7:9100")]
    instance: String,
}

/// A figure, or several of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// All series through streamed remote read.
    Streamed,
    /// The series of one instance through streamed remote read.
    Selective,
    /// Export to blocks, with and without reading them back.
    Export,
    /// Verification of the rows of the archive.
    Verify,
    /// Seeding of another archive from the exported blocks.
    Seed,
    /// Comparison of the archive with a server that answers from a copy of it.
    Diff,
}

impl Run {
    /// The flag that says where the archive is read, and its value.
    fn place(&self) -> Result<[&str; 2]> {
        let (flag, path) = match &self.objstore {
            Some(config) => ("--objstore.config-file", config),
            None => ("--storage.path", &self.storage),
        };
        Ok([flag, path.to_str().context("a path is no text")?])
    }

    fn wants(&self, what: What) -> bool {
        self.only.is_empty() || self.only.contains(&what)
    }
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Make(make) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(archive::make(&make))
        }
        Command::Copy(copy) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(bucket::copy(&copy))
        }
        Command::Run(run) => measure::all(&run),
    }
}
