//! The flags that bound reading, with the defaults of [`ReaderSettings`].

use std::time::Duration;

use clap::Args;
use emberkeep_service::{duration, size};

use super::AnswerFlags;
use crate::ReaderSettings;

/// The bounds of reading; also for the process that runs everything. A query that passes one fails with a text that names it,
/// never with a shorter answer.
#[derive(Debug, Clone, Default, Args)]
pub struct LimitFlags {
    /// Samples that one query of a sampled (not streamed) answer may select [default: 50000000].
    #[arg(id = "read.sample-limit", long = "read.sample-limit", value_name = "N")]
    pub sample_limit: Option<u64>,
    /// Series that one query of a remote read may select, or one request of the API may look at [default: 5000000].
    #[arg(id = "read.series-limit", long = "read.series-limit", value_name = "N")]
    pub series_limit: Option<usize>,
    /// Parts that one query of a remote read, or one request of the API, may open; each takes about half a megabyte of memory [default: 4096].
    #[arg(id = "read.part-limit", long = "read.part-limit", value_name = "N")]
    pub part_limit: Option<usize>,
    /// Size of a sampled answer, which is in memory whole, compressed, before it is sent [default: 1GB].
    #[arg(id = "read.sampled-size-limit", long = "read.sampled-size-limit", value_name = "SIZE", value_parser = size::parse)]
    pub sampled_size: Option<u64>,
    /// Size of a streamed answer [default: 64GB].
    #[arg(id = "read.streamed-size-limit", long = "read.streamed-size-limit", value_name = "SIZE", value_parser = size::parse)]
    pub streamed_size: Option<u64>,
    /// Memory for what is remembered of parts between queries, beside what a query takes: where their rows lie, and which pages of their
    /// series tables have which label values; 0 remembers nothing [default: 128MB].
    #[arg(id = "read.cache-memory", long = "read.cache-memory", value_name = "SIZE", value_parser = size::parse)]
    pub cache: Option<u64>,
    /// Remote reads and requests of the API, together, that are answered at the same time; others wait [default: 10].
    #[arg(id = "read.concurrency", long = "read.concurrency", value_name = "N")]
    pub concurrency: Option<usize>,
    /// Time that one remote read or request of the API may take, waiting and sending included [default: 5m].
    #[arg(id = "read.timeout", long = "read.timeout", value_name = "DURATION", value_parser = duration::parse)]
    pub timeout: Option<Duration>,
    /// How is answered.
    #[command(flatten)]
    pub answers: AnswerFlags,
}

impl LimitFlags {
    /// The settings that the flags mean.
    #[must_use]
    pub fn settings(&self) -> ReaderSettings {
        let default = ReaderSettings::default();
        ReaderSettings {
            sample_limit: self.sample_limit.unwrap_or(default.sample_limit),
            series_limit: self.series_limit.unwrap_or(default.series_limit),
            part_limit: self.part_limit.unwrap_or(default.part_limit),
            sampled_bytes_max: self.sampled_size.unwrap_or(default.sampled_bytes_max),
            streamed_bytes_max: self.streamed_size.unwrap_or(default.streamed_bytes_max),
            kept_bytes: self
                .cache
                .map_or(default.kept_bytes, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
            concurrency: self.concurrency.unwrap_or(default.concurrency),
            timeout: self.timeout.unwrap_or(default.timeout),
            replica_labels: self.answers.replica_labels(),
            look: self.answers.look(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{Command, FromArgMatches};

    use super::*;

    #[test]
    fn the_help_names_the_true_defaults() {
        let mut command = LimitFlags::augment_args(Command::new("test"));
        let help = command.render_long_help().to_string();
        let ReaderSettings {
            sample_limit,
            series_limit,
            part_limit,
            sampled_bytes_max,
            streamed_bytes_max,
            kept_bytes,
            concurrency,
            timeout,
            ..
        } = ReaderSettings::default();
        let gigabytes = |bytes: u64| format!("{}GB", bytes >> 30);
        for default in [
            sample_limit.to_string(),
            series_limit.to_string(),
            part_limit.to_string(),
            gigabytes(sampled_bytes_max),
            gigabytes(streamed_bytes_max),
            format!("{}MB", kept_bytes >> 20),
            concurrency.to_string(),
            duration::format(timeout),
        ] {
            assert!(help.contains(&format!("[default: {default}]")), "{default} in {help}");
        }
        // These bound requests of the API, too, and whoever tunes them must know.
        for flag in [
            "read.series-limit",
            "read.part-limit",
            "read.concurrency",
            "read.timeout",
        ] {
            let found = command.get_arguments().find(|argument| argument.get_id() == flag);
            let text = found.and_then(|argument| argument.get_help()).expect("it has a help");
            assert!(text.to_string().contains("of the API"), "{flag}: {text}");
        }
        let given = command.get_matches_from(["test", "--read.timeout=90s", "--read.sampled-size-limit=2MB"]);
        let settings = LimitFlags::from_arg_matches(&given).expect("valid").settings();
        assert_eq!((settings.timeout.as_secs(), settings.sampled_bytes_max), (90, 2 << 20));
    }
}
