//! What a merge costs and what it makes smaller: flushes of the requests of a file, merged to two hours and then to days.
//!
//! The file is one that `rwgen encode` wrote, so that the data is that of the comparison with other systems (docs/benchmarks.md). Without
//! one the data is the synthetic workload of the criterion benches: many series with few samples in each flush.

mod requests;

use std::fs::File;
use std::io::BufWriter;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Parser;
use emberkeep_archive::{
    ArchiveError, DirectoryStore, ObjectStore, PartEntry, PartSettings, PartWriter, RunSlice, Ulid, names,
};
use emberkeep_benches::Workload;
use emberkeep_benches::parts::{part_info, run, sorted};
use emberkeep_compactor::merge::{self, MergeJob, MergeOutcome, Window};
use emberkeep_disk::{FileSystem, RealFs};
use emberkeep_model::{Labels, Run, TenantId, TimeRange};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

#[derive(Debug, Parser)]
struct Arguments {
    /// A file of `rwgen encode`, protocol 1; without one, the synthetic workload of the criterion benches.
    requests: Option<PathBuf>,
    /// Series of the synthetic workload.
    #[arg(long, default_value_t = 100_000)]
    series: usize,
    /// Scrapes of the synthetic workload, 15 s apart.
    #[arg(long, default_value_t = 480)]
    scrapes: u64,
    /// Minutes of a flush.
    #[arg(long, default_value_t = 5)]
    flush: i64,
    /// ZSTD level of parts of two hours.
    #[arg(long)]
    level: Option<i32>,
    /// ZSTD level of parts of days.
    #[arg(long, default_value_t = 3)]
    day_level: i32,
    /// Rows of a page of samples of merged parts.
    #[arg(long)]
    page_rows: Option<usize>,
    /// Rows of a row group of samples of merged parts.
    #[arg(long)]
    group_rows: Option<usize>,
    /// MiB that a merge may take.
    #[arg(long, default_value_t = 256)]
    memory: usize,
    /// Where the archive is left; a temporary directory otherwise.
    #[arg(long)]
    keep: Option<PathBuf>,
}

/// Where parts lie, and how they are merged.
struct Archive {
    directory: PathBuf,
    store: Arc<dyn ObjectStore>,
    fs: Arc<dyn FileSystem>,
    settings: PartSettings,
    day_level: i32,
    memory_bytes: usize,
}

impl Archive {
    /// One flush: the samples of a stretch of time.
    fn flush(&self, series: &[(Labels, Run)], time: Range<i64>, number: u64) -> Result<PartEntry> {
        let ulid = Ulid(u128::from(number));
        let path = |kind| names::level0("bench", number, ulid, kind);
        let create = |kind| {
            let file = self.directory.join(path(kind).as_ref());
            let made = file.parent().map_or(Ok(()), std::fs::create_dir_all);
            made.and_then(|()| File::create(file))
                .map(BufWriter::new)
                .map_err(ArchiveError::Write)
        };
        let mut writer = PartWriter::create(create, part_info("bench".to_owned(), ulid), PartSettings::default())?;
        for (labels, run) in series {
            let at = |time: i64| run.timestamps.partition_point(|&of| of < time);
            let rows = at(time.start)..at(time.end);
            if !rows.is_empty() {
                let slice = RunSlice {
                    timestamps: &run.timestamps[rows.clone()],
                    values: &run.values[rows],
                    start_timestamps: &[],
                };
                writer.push_slice(&TenantId::default(), labels, slice, &[])?;
            }
        }
        let (summary, files) = writer.finish()?;
        for (_, file) in files {
            file.into_inner().context("write")?;
        }
        Ok(PartEntry::level0(ulid, "bench", &summary, path))
    }

    async fn merge(&self, inputs: &[PartEntry], length: i64, level: u32) -> Result<(MergeOutcome, f64)> {
        let first = inputs.iter().map(|entry| entry.min_time).min().context("no inputs")?;
        let last = inputs.iter().map(|entry| entry.max_time).max().context("no inputs")?;
        let windows = (first.div_euclid(length)..=last.div_euclid(length)).map(|number| Window {
            tenant: TenantId::default(),
            level,
            range: TimeRange {
                start: number * length,
                end: (number + 1) * length,
            },
        });
        let job = MergeJob {
            inputs: inputs.to_vec(),
            windows: windows.collect(),
            masks: Vec::new(),
            masks_through: 0,
            merge: None,
            target_bytes: 512 << 20,
            settings: PartSettings {
                zstd_level: match level {
                    0 | 1 => self.settings.zstd_level,
                    _ => self.day_level,
                },
                ..self.settings.clone()
            },
            memory_bytes: self.memory_bytes,
        };
        let before = cpu_seconds()?;
        let scratch = self.directory.join("scratch");
        let outcome = merge::run(&self.store, &self.fs, &scratch, &job, 1_800_000_000_000).await?;
        Ok((outcome, cpu_seconds()? - before))
    }

    /// Merges inputs by windows, and tells what it took.
    async fn step(&self, name: &str, inputs: Vec<Vec<PartEntry>>, length: i64, level: u32) -> Result<Vec<PartEntry>> {
        let (mut all, mut seconds, mut checking) = (MergeOutcome::default(), 0.0, 0.0);
        let scratch = self.directory.join("scratch");
        for inputs in inputs {
            let (outcome, took) = self.merge(&inputs, length, level).await?;
            seconds += took;
            let before = cpu_seconds()?;
            for entry in &outcome.added {
                merge::check_part(&self.store, &self.fs, &scratch, entry, 0).await?;
            }
            checking += cpu_seconds()? - before;
            all.rows_read += outcome.rows_read;
            all.rows_written += outcome.rows_written;
            all.bytes_read += outcome.bytes_read;
            all.bytes_written += outcome.bytes_written;
            all.added.extend(outcome.added);
        }
        let rows = all.rows_read as f64;
        let rate = |seconds: f64| rows / seconds / 1e6;
        println(&format!(
            "{name} | {} | {:.3} | {:.3} | {:.1} M/s | {:.1} M/s | {:.1} ns | {} MB",
            all.added.len(),
            all.bytes_read as f64 / rows,
            all.bytes_written as f64 / all.rows_written as f64,
            rate(seconds),
            rate(seconds - checking),
            seconds / rows * 1e9,
            peak_megabytes()?,
        ))?;
        Ok(all.added)
    }
}

/// Parts by the stretch of time in which they begin.
fn grouped(parts: Vec<PartEntry>, length: i64) -> Vec<Vec<PartEntry>> {
    let mut groups: Vec<Vec<PartEntry>> = Vec::new();
    for part in parts {
        let number = part.min_time.div_euclid(length);
        match groups.last_mut() {
            Some(group) if group[0].min_time.div_euclid(length) == number => group.push(part),
            _ => groups.push(vec![part]),
        }
    }
    groups
}

/// User and system time of this process.
fn cpu_seconds() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let behind_name = stat.rsplit_once(')').context("stat")?.1;
    let ticks = behind_name.split_whitespace().skip(11).take(2);
    let ticks = ticks
        .map(|ticks| ticks.parse::<f64>().context("stat"))
        .sum::<Result<f64>>()?;
    Ok(ticks / 100.0)
}

/// The most memory that this process had so far, requests included.
fn peak_megabytes() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .context("status")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse::<u64>()? >> 10)
}

fn println(line: &str) -> Result<()> {
    use std::io::Write;
    Ok(writeln!(std::io::stdout(), "| {line} |")?)
}

/// The start of a UTC day.
const START_MS: i64 = 1_699_920_000_000;

/// All series of the synthetic workload in label order, with their samples.
fn synthetic(arguments: &Arguments) -> Result<Vec<(Labels, Run)>> {
    let workload = Workload::new(1, arguments.series, START_MS);
    let series = sorted(&workload)?.into_iter();
    let filled = series.map(|(labels, number)| (labels, run(&workload, number, 0..arguments.scrapes)));
    Ok(filled.collect())
}

async fn measure(arguments: &Arguments, directory: &Path) -> Result<()> {
    let fs: Arc<dyn FileSystem> = Arc::new(RealFs);
    let mut settings = PartSettings::compacted();
    settings.zstd_level = arguments.level.unwrap_or(settings.zstd_level);
    settings.sample_page_rows = arguments.page_rows.unwrap_or(settings.sample_page_rows);
    settings.sample_group_rows = arguments.group_rows.unwrap_or(settings.sample_group_rows);
    let archive = Archive {
        directory: directory.to_owned(),
        store: Arc::new(DirectoryStore::open(Arc::clone(&fs), directory)?),
        fs,
        settings,
        day_level: arguments.day_level,
        memory_bytes: arguments.memory << 20,
    };
    let mut flushed = Vec::new();
    {
        let series = match &arguments.requests {
            Some(requests) => requests::load(requests)?,
            None => synthetic(arguments)?,
        };
        let times = || {
            series
                .iter()
                .flat_map(|(_, run)| [run.timestamps[0], run.timestamps[run.len() - 1]])
        };
        let (first, last) = (
            times().min().context("no samples")?,
            times().max().context("no samples")?,
        );
        let length = arguments.flush * 60_000;
        for (number, start) in (1..).zip((first.div_euclid(length) * length..=last).step_by(usize::try_from(length)?)) {
            flushed.push(archive.flush(&series, start..start + length, number)?);
        }
        println(&format!(
            "series: {}, samples: {}",
            series.len(),
            flushed.iter().map(PartEntry::samples).sum::<u64>()
        ))?;
    }
    println("step | parts | B/sample before | after | all | without reading back | CPU per sample | peak memory")?;
    println("--- | --- | --- | --- | --- | --- | --- | ---")?;
    let hours = archive
        .step("to 2 h", grouped(flushed, 2 * HOUR_MS), 2 * HOUR_MS, 1)
        .await?;
    archive.step("to a day", grouped(hours, DAY_MS), DAY_MS, 2).await?;
    Ok(())
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let temporary = tempfile::tempdir()?;
    let directory = arguments.keep.clone().unwrap_or_else(|| temporary.path().to_owned());
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(measure(&arguments, &directory))
}
