//! `syncprobe`: how long syncs take that are shaped like the server's group commit, without a server.
//!
//! Groups of a given size are written one after the other into preallocated segments, each followed by an `fdatasync`, at a
//! given rate; beside it a thread keeps the core busy for a given share of the time, as the server's own work does. Pin it to
//! the server's core. It must not do less than a server does for an acknowledgement: then its times would be no measure.
//!
//! Two shapes: plain, through the page cache into reserved space, as any log can be written; and `--direct`, past the page
//! cache over zeros that were written before, as our log is where the file system can. The second is the harder measure.

use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use emberkeep_disk::{DIRECT_BLOCK_BYTES, DirectBuffer, File, FileSystem, RealFs};

/// Longest period of the busy thread: as short as what a server does between two waits.
const PERIOD: Duration = Duration::from_millis(1);
/// Zeros of one write.
const ZEROS_BYTES: usize = 64 << 10;

/// Writes and syncs groups, and prints how long that took.
#[derive(Debug, Parser)]
struct Flags {
    /// Directory for the segments, which are removed again.
    #[arg(long)]
    directory: PathBuf,
    /// Bytes of a group.
    #[arg(long)]
    group_bytes: usize,
    /// Groups per second.
    #[arg(long)]
    rate: f64,
    /// Share of the core that is computed on beside, from 0 to 1.
    #[arg(long, default_value_t = 0.0)]
    duty: f64,
    /// How long.
    #[arg(long, default_value_t = 8.0)]
    seconds: f64,
    /// Size of a segment, as the server preallocates it.
    #[arg(long, default_value_t = 64 << 20)]
    segment_bytes: u64,
    /// Whole blocks past the page cache, over zeros.
    #[arg(long)]
    direct: bool,
}

/// One segment after the other; the next one is made while nothing is timed. With `--direct` one is enough: what is written
/// over is as good as zeros.
struct Segments<'a> {
    flags: &'a Flags,
    /// With its padding.
    group_bytes: u64,
    file: Box<dyn File>,
    path: PathBuf,
    at: u64,
    count: u32,
}

fn main() -> Result<()> {
    let flags = Flags::parse();
    ensure!(flags.rate > 0.0 && flags.rate.is_finite(), "`--rate` begins above 0");
    ensure!((0.0..=1.0).contains(&flags.duty), "`--duty` is from 0 to 1");
    ensure!(
        (1..=flags.segment_bytes).contains(&(flags.group_bytes as u64)),
        "`--group-bytes` is from 1 to the size of a segment"
    );
    ensure!(
        flags.segment_bytes.is_multiple_of(DIRECT_BLOCK_BYTES as u64),
        "`--segment-bytes` is a multiple of {DIRECT_BLOCK_BYTES}"
    );
    let is_over = AtomicBool::new(false);
    let (mut times, late, seconds) = std::thread::scope(|scope| {
        scope.spawn(|| keep_busy(flags.duty, &is_over));
        let measured = measure(&flags);
        is_over.store(true, Ordering::Relaxed);
        measured
    })?;
    times.sort_unstable();
    writeln!(
        std::io::stdout(),
        "syncs={} seconds={seconds:.3} syncs_per_second={:.1} p50_ms={:.3} p99_ms={:.3} p999_ms={:.3} max_ms={:.3} late={late}",
        times.len(),
        times.len() as f64 / seconds,
        quantile(&times, 0.5),
        quantile(&times, 0.99),
        quantile(&times, 0.999),
        quantile(&times, 1.0),
    )?;
    Ok(())
}

/// Times of all groups, how many began late because the one before was not done, and the whole time in seconds.
///
/// A time is from the beginning of the write to the end of the sync. What is late is not caught up with: as in a group
/// commit, what has waited goes together.
fn measure(flags: &Flags) -> Result<(Vec<Duration>, u64, f64)> {
    // Bytes that no device can compress away.
    let mut state = 1_u64;
    let group: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    })
    .take(flags.group_bytes)
    .collect();
    let mut buffer = DirectBuffer::new(group.len().div_ceil(DIRECT_BLOCK_BYTES));
    buffer.fill(&group);
    let group = buffer.padded(if flags.direct { DIRECT_BLOCK_BYTES } else { 1 });
    let interval = Duration::from_secs_f64(1.0 / flags.rate);
    let mut segments = Segments::begin(flags, group.len() as u64)?;
    let (mut times, mut late) = (Vec::new(), 0);
    let begun = Instant::now();
    let mut due = begun;
    while begun.elapsed().as_secs_f64() < flags.seconds {
        let offset = segments.room()?;
        match due.checked_duration_since(Instant::now()) {
            Some(wait) => std::thread::sleep(wait),
            None => late += 1,
        }
        let from = Instant::now();
        segments.file.write_all_at(group, offset)?;
        segments.file.sync_data()?;
        times.push(from.elapsed());
        due = (due + interval).max(from);
    }
    if times.is_empty() {
        bail!("`--seconds` is too short for one sync");
    }
    Ok((times, late, begun.elapsed().as_secs_f64()))
}

impl<'a> Segments<'a> {
    fn begin(flags: &'a Flags, group_bytes: u64) -> Result<Self> {
        let (file, path) = Self::segment(flags, 0)?;
        Ok(Self {
            flags,
            group_bytes,
            file,
            path,
            at: 0,
            count: 1,
        })
    }

    /// Where the next group goes.
    fn room(&mut self) -> Result<u64> {
        if self.at + self.group_bytes > self.flags.segment_bytes && self.flags.direct {
            self.at = 0;
        } else if self.at + self.group_bytes > self.flags.segment_bytes {
            let (file, path) = Self::segment(self.flags, self.count)?;
            self.file = file;
            RealFs.remove_file(&self.path)?;
            (self.path, self.at, self.count) = (path, 0, self.count + 1);
        }
        let offset = self.at;
        self.at += self.group_bytes;
        Ok(offset)
    }

    fn segment(flags: &Flags, number: u32) -> Result<(Box<dyn File>, PathBuf)> {
        let path = flags
            .directory
            .join(format!("syncprobe-{}-{number}", std::process::id()));
        let file = RealFs
            .create_new(&path)
            .with_context(|| format!("cannot make `{}`", path.display()))?;
        file.allocate(flags.segment_bytes)?;
        let file = if flags.direct { RealFs.open_direct(&path)? } else { file };
        if flags.direct {
            let mut buffer = DirectBuffer::new(ZEROS_BYTES / DIRECT_BLOCK_BYTES);
            buffer.fill(&[0; ZEROS_BYTES]);
            let zeros = buffer.padded(DIRECT_BLOCK_BYTES);
            for offset in (0..flags.segment_bytes).step_by(ZEROS_BYTES) {
                let count =
                    usize::try_from(flags.segment_bytes - offset).map_or(ZEROS_BYTES, |left| left.min(ZEROS_BYTES));
                file.write_all_at(&zeros[..count], offset)?;
            }
        }
        file.sync_all()?;
        RealFs.sync_dir(&flags.directory)?;
        Ok((file, path))
    }
}

impl Drop for Segments<'_> {
    fn drop(&mut self) {
        // A segment that stays is the caller's to remove, with the directory.
        let _ = RealFs.remove_file(&self.path);
    }
}

/// Computes for a share of each period.
fn keep_busy(duty: f64, is_over: &AtomicBool) {
    if duty <= 0.0 {
        return;
    }
    let mut number = 1_u64;
    while !is_over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        while begun.elapsed() < PERIOD.mul_f64(duty) {
            for _ in 0..100 {
                number = std::hint::black_box(number.wrapping_mul(31).wrapping_add(7));
            }
        }
        std::thread::sleep(PERIOD.mul_f64(1.0 - duty));
    }
}

/// Milliseconds, of sorted times.
fn quantile(times: &[Duration], quantile: f64) -> f64 {
    let at = ((times.len() - 1) as f64 * quantile).round() as usize;
    times[at].as_secs_f64() * 1000.0
}
