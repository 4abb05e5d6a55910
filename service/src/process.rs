//! Metrics of the process itself: those that every Prometheus client has, under their names, and its connections.
//!
//! Linux only; elsewhere absent. Read from `/proc` at each scrape. What cannot be read is left out: a metric never fails a scrape.

use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::server::counted;

/// The kernel gives times to user space in hundredths of a second on every architecture that Rust supports.
const TICKS_PER_SECOND: f64 = 100.0;

/// Collects the `process_*` metrics.
#[derive(Debug)]
pub(crate) struct ProcessCollector;

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut gauge = |name, help, value: Option<f64>| match value {
            Some(value) => write_metric(&mut encoder, name, help, &ConstGauge::new(value)),
            None => Ok(()),
        };
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        gauge(
            "process_resident_memory_bytes",
            "Resident memory size in bytes",
            kilobytes_of(&status, "VmRSS:"),
        )?;
        gauge(
            "process_virtual_memory_bytes",
            "Virtual memory size in bytes",
            kilobytes_of(&status, "VmSize:"),
        )?;
        let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
        gauge(
            "process_max_fds",
            "Maximum number of open file descriptors",
            max_fds_of(&limits),
        )?;
        // Counting them opens one more.
        let open_fds = fs::read_dir("/proc/self/fd")
            .map(|entries| entries.count().saturating_sub(1) as f64)
            .ok();
        gauge("process_open_fds", "Number of open file descriptors", open_fds)?;
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let booted = fs::read_to_string("/proc/stat")
            .ok()
            .and_then(|text| boot_time_of(&text));
        let started = booted
            .zip(stat_ticks(&stat, 22))
            .map(|(boot, ticks)| boot + ticks / TICKS_PER_SECOND);
        gauge(
            "process_start_time_seconds",
            "Start time of the process since unix epoch in seconds",
            started,
        )?;
        if let Some(connections) = counted() {
            let mut gauge = |name, help, value| write_metric(&mut encoder, name, help, &ConstGauge::new(value));
            gauge(
                "emberkeep_http_connections",
                "Open connections of the HTTP server",
                connections.open,
            )?;
            gauge(
                "emberkeep_http_connections_limit",
                "Bound of http_connections",
                connections.limit,
            )?;
            let made_room = ConstCounter::new(connections.made_room);
            write_metric(
                &mut encoder,
                "emberkeep_http_connections_closed_for_others",
                "Silent connections closed at the bound to make room for others",
                &made_room,
            )?;
        }
        if let Some((user, system)) = stat_ticks(&stat, 14).zip(stat_ticks(&stat, 15)) {
            let seconds = ConstCounter::new((user + system) / TICKS_PER_SECOND);
            write_metric(
                &mut encoder,
                "process_cpu_seconds",
                "Total user and system CPU time spent in seconds",
                &seconds,
            )?;
        }
        Ok(())
    }
}

fn write_metric(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    metric: &impl EncodeMetric,
) -> std::fmt::Result {
    metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
}

/// `VmRSS:     1234 kB` of `/proc/self/status`, in bytes.
fn kilobytes_of(status: &str, key: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    let kilobytes: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1_024.0)
}

/// The soft limit of `Max open files  1024  4096  files` in `/proc/self/limits`.
fn max_fds_of(limits: &str) -> Option<f64> {
    limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

fn boot_time_of(stat: &str) -> Option<f64> {
    stat.lines()
        .find_map(|line| line.strip_prefix("btime "))?
        .trim()
        .parse()
        .ok()
}

/// Field `number` (from 1, as in proc(5)) of `/proc/self/stat`. The second field is the program's name in parentheses
/// and may itself contain blanks and parentheses, so counting starts after the last of them.
fn stat_ticks(stat: &str, number: usize) -> Option<f64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_a_hostile_program_name() {
        let stat = "4242 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 4 0 777 1000 200";
        assert_eq!(stat_ticks(stat, 14), Some(150.0));
        assert_eq!(stat_ticks(stat, 15), Some(50.0));
        assert_eq!(stat_ticks(stat, 22), Some(777.0));
        assert_eq!(stat_ticks(stat, 99), None);
        assert_eq!(stat_ticks("", 14), None);
    }

    #[test]
    fn units_are_bytes_and_counts() {
        assert_eq!(
            kilobytes_of("VmSize:\t  10 kB\nVmRSS:\t   2 kB\n", "VmRSS:"),
            Some(2_048.0)
        );
        assert_eq!(kilobytes_of("", "VmRSS:"), None);
        assert_eq!(
            max_fds_of(
                "Limit  Soft Limit\nMax open files            1024                 4096                 files\n"
            ),
            Some(1_024.0)
        );
        assert_eq!(
            max_fds_of("Max open files            unlimited            unlimited            files\n"),
            None
        );
        assert_eq!(boot_time_of("cpu 1 2\nbtime 1795168800\n"), Some(1_795_168_800.0));
    }
}
