//! Bytes per sample of parts, for the tables of `docs/decisions/0011-sizes-of-parts.md`.
//!
//! Three kinds of data: what a real Prometheus sent every 5 seconds (`../shared/corpus`), the same every 15 seconds, and busy counters.

mod replay;

use std::io::sink;
use std::ops::Range;
use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use emberkeep_archive::{PartSettings, PartWriter, RunSlice, Ulid};
use emberkeep_benches::{Workload, parts};
use emberkeep_model::{Labels, Run, TenantId};

use replay::{Recorded, STEP_MS, load};

/// Rows of a page, where doubles as they are stand beside decimals.
const PAGE_ROWS: usize = 16 << 10;

#[derive(Debug, Parser)]
struct Arguments {
    /// A recorded stream of remote write 1.0.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/corpus/prometheus-rw1.bin"))]
    corpus: PathBuf,
    /// ZSTD levels to try.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 3, 6, 9, 19])]
    levels: Vec<i32>,
    /// Instances of which each has a series of each kind: of a part of five minutes, and of a part of eight hours.
    #[arg(long, value_delimiter = ',', default_values_t = [100, 4])]
    instances: Vec<usize>,
}

/// A source of series.
enum Source {
    Replay { series: Vec<Recorded>, every: u64 },
    Busy(Workload),
}

impl Source {
    /// The series of so many instances in label order.
    fn sorted(&self, instances: usize) -> Result<Vec<(Labels, [usize; 2])>> {
        let Self::Replay { series, .. } = self else {
            let Self::Busy(workload) = self else {
                unreachable!("there are two kinds")
            };
            let wanted = parts::sorted(&Workload::new(1, 100 * instances, workload.end_ms(0)))?;
            // The first half of each eight metrics are counters.
            let counters = wanted.into_iter().filter(|(_, number)| number % 100 % 8 < 4);
            return Ok(counters.map(|(labels, number)| (labels, [number, 0])).collect());
        };
        let mut all = Vec::new();
        for instance in 0..instances {
            let address = format!("10.1.{}.{}:9100", instance / 250, instance % 250);
            for (number, recorded) in series.iter().enumerate() {
                let own = |(name, value)| {
                    if name == "instance" {
                        (name, address.as_str())
                    } else {
                        (name, value)
                    }
                };
                let pairs = recorded
                    .labels
                    .iter()
                    .map(|(name, value)| own((name.as_str(), value.as_str())));
                all.push((Labels::from_pairs(pairs)?, [number, instance]));
            }
        }
        all.sort();
        Ok(all)
    }

    /// Samples of a series in a stretch of time, counted in milliseconds.
    fn run(&self, [number, instance]: [usize; 2], time: &Range<i64>) -> Run {
        match self {
            Self::Busy(workload) => {
                let step = |ms: i64| u64::try_from(ms / emberkeep_benches::workload::INTERVAL_MS).unwrap_or(0);
                parts::run(workload, number, step(time.start)..step(time.end))
            }
            Self::Replay { series, every } => {
                let step = |ms: i64| u64::try_from(ms / STEP_MS).unwrap_or(0);
                let mut run = series[number].replay(number, instance, step(time.start)..step(time.end));
                let mut step = 0..;
                run = run
                    .iter()
                    .filter(|_| step.next().is_some_and(|step| step % every == 0))
                    .collect();
                run
            }
        }
    }
}

/// Writes one part into nothing and prints what it takes.
fn measure(source: &Source, instances: usize, time: &Range<i64>, settings: PartSettings, name: &str) -> Result<()> {
    let series = source.sorted(instances)?;
    let mut writer = PartWriter::create(|_| Ok(sink()), parts::part_info("sizes".to_owned(), Ulid(1)), settings)?;
    let tenant = TenantId::default();
    for (labels, of) in &series {
        let run = source.run(*of, time);
        writer.push_slice(&tenant, labels, RunSlice::from(&run), &[])?;
    }
    let rows = writer.rows() as f64;
    let (summary, _) = writer.finish()?;
    let files: Vec<f64> = summary.files.iter().map(|file| file.bytes as f64 / rows).collect();
    let (all, series) = (files.iter().sum::<f64>(), series.len());
    println(&format!("{name} | {series} | {rows} | {all:.3} | {:.3}", files[0]))
}

/// Values alone as doubles, PLAIN and BYTE_STREAM_SPLIT.
fn doubles(source: &Source, instances: usize, time: &Range<i64>, level: i32) -> Result<()> {
    let (mut page, mut rows, mut bytes) = (Vec::new(), 0, [0, 0]);
    let mut end_page = |page: &mut Vec<f64>| -> Result<()> {
        let plain: Vec<u8> = page.iter().flat_map(|value| value.to_le_bytes()).collect();
        let split: Vec<u8> = (0..8)
            .flat_map(|byte| plain.iter().skip(byte).step_by(8).copied())
            .collect();
        bytes[0] += zstd::bulk::compress(&plain, level)?.len();
        bytes[1] += zstd::bulk::compress(&split, level)?.len();
        rows += page.len();
        page.clear();
        Ok(())
    };
    for (_, of) in source.sorted(instances)? {
        page.extend(source.run(of, time).values);
        if page.len() >= PAGE_ROWS {
            end_page(&mut page)?;
        }
    }
    end_page(&mut page)?;
    let [plain, split] = bytes.map(|bytes| bytes as f64 / rows as f64);
    println(&format!(
        "values as doubles, ZSTD {level} | | | PLAIN {plain:.3} | BYTE_STREAM_SPLIT {split:.3}"
    ))
}

fn println(line: &str) -> Result<()> {
    use std::io::Write;
    Ok(writeln!(std::io::stdout(), "| {line} |")?)
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let [of_minutes, of_hours] = arguments.instances[..] else {
        anyhow::bail!("two numbers of instances are needed");
    };
    let corpus = |every| {
        anyhow::Ok(Source::Replay {
            series: load(&arguments.corpus)?,
            every,
        })
    };
    let busy = Source::Busy(Workload::new(1, 100 * of_minutes.max(of_hours), 1_700_000_000_000));
    for (data, source) in [("5 s", corpus(1)?), ("15 s", corpus(3)?), ("busy", busy)] {
        println(&format!("{data} | series | samples | B/sample | of them samples"))?;
        println("--- | --- | --- | --- | ---")?;
        let (minutes, hours) = (3_000_000..3_300_000, 0..8 * 3_600_000);
        for (name, instances, time) in [("5 min", of_minutes, minutes), ("8 h", of_hours, hours)] {
            let with = |zstd_level, sample_page_rows, sample_group_rows| PartSettings {
                zstd_level,
                sample_page_rows,
                sample_group_rows,
                ..PartSettings::default()
            };
            let group = PartSettings::default().sample_group_rows;
            for &level in &arguments.levels {
                let name = format!("{name}, ZSTD {level}");
                measure(&source, instances, &time, with(level, PAGE_ROWS, group), &name)?;
            }
            for (rows, group) in [(4 << 10, group), (64 << 10, group), (PAGE_ROWS, group / 4)] {
                let name = format!("{name}, ZSTD 3, pages of {rows}, row groups of {group}");
                measure(&source, instances, &time, with(3, rows, group), &name)?;
            }
            doubles(&source, instances, &time, 3)?;
        }
    }
    Ok(())
}
