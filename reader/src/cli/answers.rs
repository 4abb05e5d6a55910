//! The flags that say how is answered: replicas, heads that are down, and how old a look at the catalog may be.

use std::time::Duration;

use clap::Args;
use emberkeep_service::duration;

use crate::{LookSettings, MissingHeads, ReplicaLabels};

/// How is answered; also for the process that runs everything.
#[derive(Debug, Clone, Default, Args)]
pub struct AnswerFlags {
    /// Label in which the Prometheus servers of an HA pair differ; repeatable. Their series are merged into one without it when they are
    /// read, unless the request has `dedup=false`. What is archived stays as it is.
    #[arg(id = "dedup.replica-label", long = "dedup.replica-label", value_name = "NAME", value_parser = replica_label)]
    pub replica_labels: Vec<String>,
    /// Answer without the heads that cannot be asked, with a warning. Without it such a query fails with 503.
    #[arg(id = "read.partial-answers", long = "read.partial-answers")]
    pub partial_answers: bool,
    /// A look at the catalog that is younger is used again: fewer requests to the store, but what receivers without `--head-url`
    /// commit is seen that much later [default: 0s, every query looks].
    #[arg(id = "catalog.refresh-interval", long = "catalog.refresh-interval", value_name = "DURATION", value_parser = duration::parse)]
    pub refresh_interval: Option<Duration>,
    /// When the catalog cannot be read, the last look at it is used while it is younger; after that queries fail [default: 1m].
    #[arg(id = "catalog.max-staleness", long = "catalog.max-staleness", value_name = "DURATION", value_parser = duration::parse)]
    pub max_staleness: Option<Duration>,
}

impl AnswerFlags {
    /// The labels in which replicas differ.
    #[must_use]
    pub fn replica_labels(&self) -> ReplicaLabels {
        ReplicaLabels::new(self.replica_labels.iter().cloned()).expect("each name was checked when it was parsed")
    }

    /// How heads and catalog are looked at.
    #[must_use]
    pub fn look(&self) -> LookSettings {
        let default = LookSettings::default();
        LookSettings {
            refresh_interval: self.refresh_interval.unwrap_or(default.refresh_interval),
            max_staleness: self.max_staleness.unwrap_or(default.max_staleness),
            missing_heads: if self.partial_answers {
                MissingHeads::LeaveOut
            } else {
                MissingHeads::Fail
            },
            ..LookSettings::default()
        }
    }
}

/// A label that can be a replica label.
fn replica_label(name: &str) -> Result<String, String> {
    match ReplicaLabels::new([name.to_owned()]) {
        Ok(_) => Ok(name.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use clap::{Command, FromArgMatches};

    use super::*;

    #[test]
    fn flags_and_defaults_become_settings() {
        let flags = |arguments: &[&str]| {
            let command = AnswerFlags::augment_args(Command::new("test"));
            let given = command.try_get_matches_from([&["test"], arguments].concat());
            given.map(|given| AnswerFlags::from_arg_matches(&given).expect("valid"))
        };
        let none = flags(&[]).expect("no flags are needed");
        assert!(none.replica_labels().is_empty());
        assert_eq!(none.look().missing_heads, MissingHeads::Fail);
        assert_eq!(
            (
                none.look().refresh_interval.as_secs(),
                none.look().max_staleness.as_secs()
            ),
            (0, 60)
        );
        let all = flags(&[
            "--dedup.replica-label=replica",
            "--dedup.replica-label=zone",
            "--read.partial-answers",
            "--catalog.max-staleness=10m",
        ]);
        let all = all.expect("valid");
        assert!(all.replica_labels().has("zone") && all.replica_labels().has("replica"));
        assert_eq!(all.look().missing_heads, MissingHeads::LeaveOut);
        assert_eq!(all.look().max_staleness.as_secs(), 600);
        assert!(flags(&["--dedup.replica-label=__name__"]).is_err());
    }
}
