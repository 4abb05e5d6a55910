//! Flags that name moments: `--as-of`, `--from`, `--to`.

use anyhow::Context;
use clap::Args;
use emberkeep_model::TimeRange;
use emberkeep_service::clock::{Clock, SystemClock};
use emberkeep_service::time_expr;

/// `--as-of`
#[derive(Debug, Clone, Default, Args)]
pub struct AsOfFlag {
    /// Answer as the archive was at this moment, from the root that was live then: RFC 3339, unix seconds, or relative (`-2h`). What
    /// was not committed then, and the heads, have no part in it.
    #[arg(id = "as-of", long = "as-of", value_name = "TIME", allow_hyphen_values = true)]
    pub as_of: Option<String>,
}

impl AsOfFlag {
    /// The moment, milliseconds since 1970.
    pub(crate) fn resolve(&self) -> anyhow::Result<Option<i64>> {
        let now_ms = SystemClock.now_ms();
        self.as_of
            .as_deref()
            .map(|text| moment("--as-of", text, now_ms))
            .transpose()
    }
}

impl AsOfFlag {
    /// What an export is answered from, by which one that goes on is recognised: the moment, or else the heads.
    pub(crate) fn given(&self, heads: Vec<String>) -> Vec<String> {
        match &self.as_of {
            Some(text) => vec![format!("as-of:{text}")],
            None => heads,
        }
    }
}

/// `--from`, `--to`
#[derive(Debug, Clone, Default, Args)]
pub struct RangeFlags {
    /// First moment: RFC 3339, unix seconds, or relative (`-30d`) [default: the beginning].
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub from: Option<String>,
    /// First moment after the range [default: the end].
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub to: Option<String>,
}

impl RangeFlags {
    /// The range; an end that is not given is open.
    pub(crate) fn resolve(&self) -> anyhow::Result<TimeRange> {
        let now_ms = SystemClock.now_ms();
        let time = |flag: &str, text: Option<&str>, open: i64| text.map_or(Ok(open), |text| moment(flag, text, now_ms));
        let range = TimeRange {
            start: time("--from", self.from.as_deref(), i64::MIN)?,
            end: time("--to", self.to.as_deref(), i64::MAX)?,
        };
        anyhow::ensure!(
            !range.is_empty(),
            "--from `{}` is not before --to `{}`",
            self.from.as_deref().unwrap_or("the beginning"),
            self.to.as_deref().unwrap_or("the end")
        );
        Ok(range)
    }
}

fn moment(flag: &str, text: &str, now_ms: i64) -> anyhow::Result<i64> {
    time_expr::parse(text, now_ms).with_context(|| flag.to_owned())
}
