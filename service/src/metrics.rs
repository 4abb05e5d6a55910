//! What `/metrics` answers: the registry, and its text in the format that the scraper asks for.
//!
//! Everything of ours starts with `emberkeep_`; the process's own metrics have the names that all clients share.
//! Counters are registered *without* `_total`: the encoding adds it. Never a label with an unbounded set of values.

use std::fmt::{Debug, Write};

use prometheus_client::encoding::text;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::{process, version};

/// Prefix of every metric of ours.
const PREFIX: &str = "emberkeep";

/// The formats of an exposition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposition {
    /// `application/openmetrics-text`, version 1.0.0.
    OpenMetrics,
    /// Prometheus' text format 0.0.4, which every scraper and every person can read.
    Text,
}

impl Exposition {
    /// The format for an `Accept` header: OpenMetrics where it is asked for by name, the text format for all others.
    #[must_use]
    pub fn for_accept(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    /// The `Content-Type` of the answer.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// All metrics of a process.
pub struct Metrics {
    registry: Registry,
}

impl Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// The metrics that every process has: `emberkeep_build_info` and `process_*`. `component` is the name of the
    /// program: `emberkeep`, `receiver`, `compactor` or `reader`.
    #[must_use]
    pub fn new(component: &str) -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
        };
        metrics.registry.register_collector(Box::new(process::ProcessCollector));
        // A gauge, not OpenMetrics' info: the text format has no such type.
        let build_info = Family::<Vec<(&'static str, String)>, Gauge>::default();
        build_info
            .get_or_create(&vec![
                ("component", component.to_owned()),
                ("version", version::VERSION.to_owned()),
                ("revision", version::REVISION.to_owned()),
            ])
            .set(1);
        metrics
            .registry()
            .register("build_info", "Always 1; the labels say what was built", build_info);
        metrics
    }

    /// Where a component registers its metrics, named without the prefix `emberkeep_`.
    pub fn registry(&mut self) -> &mut Registry {
        self.registry.sub_registry_with_prefix(PREFIX)
    }

    /// The text of one scrape.
    #[must_use]
    pub fn expose(&self, exposition: Exposition) -> String {
        let mut out = String::new();
        text::encode(&mut out, &self.registry).expect("writing to a string does not fail");
        match exposition {
            Exposition::OpenMetrics => out,
            Exposition::Text => to_text_format(&out),
        }
    }
}

/// From OpenMetrics to the text format 0.0.4. The samples are the same; there, `HELP` and `TYPE` name a counter with
/// `_total` and an info with `_info`, and units and the end marker do not exist.
fn to_text_format(open_metrics: &str) -> String {
    let mut out = String::with_capacity(open_metrics.len());
    let mut held_help: Option<(&str, &str)> = None;
    for line in open_metrics.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            // How the family is named depends on its type, which the next line gives.
            held_help = help.split_once(' ');
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                other => ("", other),
            };
            if let Some((_, help)) = held_help.take() {
                let _ = writeln!(out, "# HELP {name}{suffix} {help}");
            }
            let _ = writeln!(out, "# TYPE {name}{suffix} {kind}");
        } else if !line.starts_with("# ") {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::registry::Unit;

    use super::*;

    fn example() -> Metrics {
        let mut metrics = Metrics::new("receiver");
        let requests: Counter = Counter::default();
        requests.inc_by(3);
        metrics.registry().register("requests", "Requests \"seen\"", requests);
        metrics
            .registry()
            .register_with_unit("wal", "Size of the log", Unit::Bytes, Gauge::<i64>::default());
        metrics
    }

    #[test]
    fn open_metrics() {
        let out = example().expose(Exposition::OpenMetrics);
        assert!(
            out.contains("# TYPE emberkeep_requests counter\nemberkeep_requests_total 3\n"),
            "{out}"
        );
        assert!(out.contains("# UNIT emberkeep_wal_bytes bytes\n"), "{out}");
        assert!(out.ends_with("# EOF\n"), "{out}");
    }

    #[test]
    fn text_format_names_counters_in_full_and_has_no_other_comments() {
        let out = example().expose(Exposition::Text);
        assert!(out.contains("# HELP emberkeep_requests_total Requests \"seen\".\n# TYPE emberkeep_requests_total counter\nemberkeep_requests_total 3\n"), "{out}");
        assert!(
            out.contains("# TYPE emberkeep_wal_bytes gauge\nemberkeep_wal_bytes 0\n"),
            "{out}"
        );
        let comments = out.lines().filter(|line| line.starts_with('#'));
        for comment in comments {
            assert!(
                comment.starts_with("# HELP ") || comment.starts_with("# TYPE "),
                "{comment}"
            );
        }
        let version = version::VERSION;
        assert!(
            out.contains(&format!(
                "emberkeep_build_info{{component=\"receiver\",version=\"{version}\",revision=\"{}\"}} 1\n",
                version::REVISION
            )),
            "{out}"
        );
    }

    #[test]
    fn the_process_is_measured() {
        let out = Metrics::new("receiver").expose(Exposition::Text);
        let value = |name: &str| -> f64 {
            let line = out
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .unwrap_or_else(|| panic!("no {name} in {out}"));
            line.trim().parse().expect("a number")
        };
        assert!(value("process_resident_memory_bytes ") > 100_000.0);
        assert!(value("process_open_fds ") >= 3.0);
        assert!(value("process_cpu_seconds_total ") >= 0.0);
        // 2026-01-01 in seconds.
        assert!(value("process_start_time_seconds ") > 1_767_225_600.0);
    }

    #[test]
    fn the_scraper_chooses() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
        assert_eq!(Exposition::for_accept(prometheus), Exposition::OpenMetrics);
        assert_eq!(Exposition::for_accept("text/html,*/*"), Exposition::Text);
        assert_eq!(Exposition::for_accept(""), Exposition::Text);
    }
}
