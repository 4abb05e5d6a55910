//! What the source says of itself before a pass: how far back it reaches, what it sent, lost, and leaves out on purpose.

use std::collections::BTreeMap;
use std::time::Duration;

use emberkeep_model::Labels;
use emberkeep_service::duration;
use emberkeep_source::{OwnMetrics, RelabelRules, Relabelled, RemoteWrite, Source, SourceError, SourceSettings};

use super::HealError;

/// Counters of rows that a sender gave up.
const LOST: [&str; 4] = [
    "prometheus_remote_storage_samples_dropped_total",
    "prometheus_remote_storage_samples_failed_total",
    "prometheus_remote_storage_histograms_dropped_total",
    "prometheus_remote_storage_histograms_failed_total",
];

/// What a Prometheus keeps when nothing is said.
const DEFAULT_RETENTION: Duration = Duration::from_secs(15 * 86_400);

/// The reason of drops that `write_relabel_configs` ask for.
const INTENDED_REASON: &str = "dropped_series";

/// What the source says. Times are milliseconds since 1970.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// The oldest time that it holds.
    pub(super) oldest_ms: Option<i64>,
    /// How long it keeps what it has.
    pub(super) retention_ms: Option<i64>,
    /// When its process was started.
    pub(super) started_ms: Option<i64>,
    /// Up to when it has sent everything that it will send.
    pub(super) sent_until_ms: Option<i64>,
    /// Rows that it gave up, by metric and labels.
    pub(super) lost: BTreeMap<String, f64>,
    /// What its sender adds to every series.
    pub(super) external: BTreeMap<String, String>,
    /// What its sender leaves out.
    pub(super) rules: RelabelRules,
    /// What it does not say.
    pub(super) notes: Vec<String>,
}

impl Said {
    /// Asks. `sender` is the name or URL of the `remote_write` that sends to this archive, `rules` the text of its rules when the
    /// configuration is not to be asked for them.
    pub(super) async fn ask(source: &Source, sender: Option<&str>, rules: Option<&str>) -> Result<Self, HealError> {
        let mut notes = Vec::new();
        let metrics = optional(source.metrics().await, "/metrics", &mut notes)?;
        let settings = optional(source.settings().await, "/api/v1/status/config", &mut notes)?;
        let flags = optional(source.flags().await, "/api/v1/status/flags", &mut notes)?;
        let section = section(&settings, sender, rules)?;
        if section.is_none() && rules.is_none() {
            notes.push(
                "the source has no `remote_write`: everything that it holds is taken to belong into the archive"
                    .to_owned(),
            );
        }
        let rules = match rules {
            Some(text) => RelabelRules::parse(text),
            None => RelabelRules::of(section.map_or(&[][..], |section| &section.relabel_configs)),
        };
        Ok(Self {
            oldest_ms: metrics.oldest_ms(),
            retention_ms: milliseconds(metrics.sum("prometheus_tsdb_retention_limit_seconds"))
                .or_else(|| retention_of(&flags)),
            started_ms: milliseconds(metrics.sum("process_start_time_seconds")),
            sent_until_ms: sent_until(&metrics, section),
            lost: lost(&metrics, section),
            external: settings.external_labels.clone(),
            rules: rules.map_err(HealError::Input)?,
            notes,
        })
    }

    /// Labels by which series of this sender are known in the archive: external ones that its rules leave.
    pub(super) fn labels_in_archive(&self) -> Vec<(String, String)> {
        let pairs = self
            .external
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let Ok(up) = Labels::from_pairs(pairs.chain([(Labels::METRIC_NAME, "up")])) else {
            return Vec::new();
        };
        let sent = match self.rules.apply(&up) {
            Relabelled::Sent(sent) => sent,
            Relabelled::LeftOut(_) => up,
        };
        let external = self.external.iter();
        let left = external.filter(|(name, value)| sent.value_of(name) == value.as_str());
        left.map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}

/// What flags say of a Prometheus that has no metric for it. With neither time nor size it keeps 15 days.
fn retention_of(flags: &BTreeMap<String, String>) -> Option<i64> {
    let time = flags.get("storage.tsdb.retention.time")?;
    let time = match duration::parse_nonzero(time) {
        Ok(time) => time,
        Err(_) => {
            let is_by_size = flags
                .get("storage.tsdb.retention.size")
                .is_some_and(|size| size != "0B");
            (!is_by_size).then_some(DEFAULT_RETENTION)?
        }
    };
    i64::try_from(time.as_millis()).ok()
}

/// A page that other servers with a remote read may not have. Missing rights are no answer: all else would be taken for a source that
/// knows nothing.
fn optional<T: Default>(answer: Result<T, SourceError>, page: &str, notes: &mut Vec<String>) -> Result<T, SourceError> {
    match answer {
        Err(SourceError::Refused { status, .. }) if !matches!(status, 401 | 403) => {
            notes.push(format!(
                "the source answers {status} to `{page}`, what it would say there is not known"
            ));
            Ok(T::default())
        }
        answer => answer,
    }
}

/// The `remote_write` that sends to this archive.
fn section<'a>(
    settings: &'a SourceSettings,
    sender: Option<&str>,
    rules: Option<&str>,
) -> Result<Option<&'a RemoteWrite>, HealError> {
    let sections = settings.remote_writes.as_slice();
    match (sender, sections) {
        (Some(wanted), _) => {
            let is_it = |section: &&RemoteWrite| section.url == wanted || section.name.as_deref() == Some(wanted);
            let found = sections.iter().find(is_it);
            let missing = || HealError::Input(format!("the source has no `remote_write` named `{wanted}`"));
            Ok(Some(found.ok_or_else(missing)?))
        }
        (None, [one]) => Ok(Some(one)),
        (None, []) => Ok(None),
        (None, _) if rules.is_some() => Ok(None),
        (None, several) => Err(HealError::Input(format!(
            "the source has {} `remote_write` sections, and what one of them leaves out must not be brought: name the one that sends \
             here with `--remote-write`, or give its rules with `--dropped-by`",
            several.len()
        ))),
    }
}

/// Whether a series of the source's metrics is about the sender. Both sides write the URL without its password.
fn is_of(labels: &BTreeMap<String, String>, section: Option<&RemoteWrite>) -> bool {
    let Some(section) = section else {
        return true;
    };
    match (&section.name, labels.get("remote_name")) {
        (Some(name), Some(of)) => name == of,
        _ => labels.get("url").is_none_or(|url| *url == section.url),
    }
}

/// What the slowest sender has sent; none when any of them does not say it.
fn sent_until(metrics: &OwnMetrics, section: Option<&RemoteWrite>) -> Option<i64> {
    let sent = metrics.of("prometheus_remote_storage_queue_highest_sent_timestamp_seconds");
    let of_sender = sent.filter(|(labels, _)| is_of(labels, section));
    let slowest = of_sender.map(|(_, value)| value).reduce(f64::min);
    milliseconds(slowest)
}

fn lost(metrics: &OwnMetrics, section: Option<&RemoteWrite>) -> BTreeMap<String, f64> {
    let mut lost = BTreeMap::new();
    for metric in LOST {
        for (labels, value) in metrics.of(metric) {
            let is_intended = labels.get("reason").is_some_and(|reason| reason == INTENDED_REASON);
            if is_of(labels, section) && !is_intended && value.is_finite() {
                let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
                lost.insert(format!("{metric}{{{}}}", labels.join(",")), value);
            }
        }
    }
    lost
}

/// Seconds as milliseconds, where 0 stands for unknown.
fn milliseconds(seconds: Option<f64>) -> Option<i64> {
    let ms = seconds? * 1000.0;
    (1.0..1e15).contains(&ms).then_some(ms as i64)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const METRICS: &str = "\
# TYPE prometheus_remote_storage_samples_dropped_total counter
prometheus_remote_storage_samples_dropped_total{reason=\"dropped_series\",remote_name=\"a\",url=\"http://a\"} 900
prometheus_remote_storage_samples_dropped_total{reason=\"too_old\",remote_name=\"a\",url=\"http://a\"} 3
# TYPE prometheus_remote_storage_samples_failed_total counter
prometheus_remote_storage_samples_failed_total{remote_name=\"a\",url=\"http://a\"} 0
prometheus_remote_storage_samples_failed_total{remote_name=\"b\",url=\"http://b\"} 7
# TYPE prometheus_remote_storage_queue_highest_sent_timestamp_seconds gauge
prometheus_remote_storage_queue_highest_sent_timestamp_seconds{remote_name=\"a\",url=\"http://a\"} 1.7e+09
prometheus_remote_storage_queue_highest_sent_timestamp_seconds{remote_name=\"b\",url=\"http://b\"} 0
";

    #[test]
    fn what_a_sender_lost_is_told_from_what_it_left_out_and_from_other_senders() {
        let metrics = OwnMetrics::parse(METRICS).unwrap();
        let settings = SourceSettings::parse("remote_write:\n- {url: http://a, name: a}\n- {url: http://b}\n").unwrap();
        let (a, b) = (&settings.remote_writes[0], &settings.remote_writes[1]);
        let values = |section| lost(&metrics, section).into_values().collect::<Vec<f64>>();
        assert_eq!(values(Some(a)), [3.0, 0.0]);
        assert_eq!(values(Some(b)), [7.0]);
        assert_eq!(values(None), [3.0, 0.0, 7.0]);
        assert_eq!(sent_until(&metrics, Some(a)), Some(1_700_000_000_000));
        // Nothing was sent since it was started: nothing is known.
        assert_eq!(sent_until(&metrics, Some(b)), None);
        assert_eq!(sent_until(&metrics, None), None);
    }

    #[test]
    fn retention_is_read_from_flags_where_no_metric_says_it() {
        let of = |time: &str, size: &str| {
            let flags = [
                ("storage.tsdb.retention.time", time),
                ("storage.tsdb.retention.size", size),
            ];
            retention_of(&flags.map(|(name, value)| (name.to_owned(), value.to_owned())).into())
        };
        assert_eq!(of("30d", "0B"), Some(30 * 86_400_000));
        assert_eq!(of("0s", "0B"), Some(15 * 86_400_000));
        assert_eq!(of("0s", "50GB"), None);
        assert_eq!(retention_of(&BTreeMap::new()), None);
    }

    #[test]
    fn one_of_several_senders_must_be_named() {
        let settings = SourceSettings::parse("remote_write:\n- {url: http://a, name: a}\n- {url: http://b}\n").unwrap();
        assert!(section(&settings, None, None).is_err());
        assert_eq!(section(&settings, None, Some("- action: drop")).unwrap(), None);
        assert_eq!(
            section(&settings, Some("http://b"), None).unwrap().unwrap().url,
            "http://b"
        );
        assert_eq!(section(&settings, Some("a"), None).unwrap().unwrap().url, "http://a");
        assert!(section(&settings, Some("c"), None).is_err());
    }
}
