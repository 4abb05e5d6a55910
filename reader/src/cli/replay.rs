//! The flags of `replay`, and how they become a replay.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use emberkeep_model::{TenantId, TimeRange};
use emberkeep_service::clock::{Clock, SystemClock};
use emberkeep_service::problem::Outcome;
use emberkeep_service::{duration, time_expr};

use super::{ArchiveFlags, HeadFlags};
use crate::export::{progress, stripped};
use crate::replay::Replay;
use crate::{Query, Selection, Sources};

/// Flags of `replay`.
#[derive(Debug, Clone, Args)]
pub struct ReplayFlags {
    /// Where the archive is.
    #[command(flatten)]
    pub archive: ArchiveFlags,
    /// `--head-url`
    #[command(flatten)]
    pub heads: HeadFlags,
    /// URL of a remote-write endpoint, as `http://mimir/api/v1/push`.
    #[arg(long, value_name = "URL")]
    pub to: String,
    /// `X-Scope-OrgID` of the requests.
    #[arg(long = "to-tenant", value_name = "TENANT")]
    pub to_tenant: Option<String>,
    /// Whose data.
    #[arg(long, default_value = TenantId::ANONYMOUS)]
    pub tenant: TenantId,
    /// First moment: RFC 3339, unix seconds, or relative (`-30d`).
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub from: String,
    /// First moment after the range [default: now].
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub until: Option<String>,
    /// Selector of the series, as `up{job="x"}`; repeatable, a series of any of them is taken [default: all series].
    #[arg(long = "match", value_name = "SELECTOR")]
    pub matches: Vec<String>,
    /// Label that is taken off every series, or off those where it has this value; repeatable.
    #[arg(long = "strip-label", value_name = "NAME[=VALUE]")]
    pub strip: Vec<String>,
    /// File that remembers how far the replay came; removed at its end.
    #[arg(long, value_name = "FILE", default_value = "emberkeep-replay.json")]
    pub state: PathBuf,
    /// Samples sent in a second at most [default: no bound].
    #[arg(long, value_name = "N")]
    pub rate: Option<u64>,
    /// Connections; a series is always sent over the same one.
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub shards: usize,
    /// Time that is sent at once. Receivers that take no samples older than an hour need less than that.
    #[arg(long, value_name = "DURATION", default_value = "30m", value_parser = duration::parse_nonzero)]
    pub slice: Duration,
}

pub(super) async fn run(flags: ReplayFlags) -> anyhow::Result<Outcome> {
    let file = flags.archive.prepare()?;
    ensure!((1..=1_024).contains(&flags.shards), "--shards: from 1 to 1024");
    let now_ms = SystemClock.now_ms();
    let time = |flag: &str, text: &str| time_expr::parse(text, now_ms).with_context(|| flag.to_owned());
    let start = time("--from", &flags.from)?;
    let end = flags
        .until
        .as_deref()
        .map_or(Ok(now_ms), |until| time("--until", until))?;
    ensure!(start < end, "--from is not before --until");
    let mut arguments = vec![
        format!("--to={}", flags.to),
        format!("--tenant={}", flags.tenant),
        format!("--from={}", flags.from),
    ];
    arguments.extend(flags.until.iter().map(|until| format!("--until={until}")));
    arguments.extend(flags.matches.iter().map(|selector| format!("--match={selector}")));
    arguments.extend(flags.strip.iter().map(|label| format!("--strip-label={label}")));
    let replay = Replay {
        query: Query {
            tenant: flags.tenant,
            range: TimeRange { start, end },
            selection: Selection::parse(&flags.matches).context("--match")?,
        },
        to: flags.to,
        tenant: flags.to_tenant,
        stripped: stripped(&flags.strip)?,
        arguments,
        state: flags.state,
        rate: flags.rate,
        shards: flags.shards,
        slice_ms: i64::try_from(flags.slice.as_millis()).context("--slice")?,
    };
    let sources = Sources::new(flags.archive.open(&file)?, flags.heads.roster()?);
    sources.must_hold_something().await?;
    replay.run(&sources, &mut io::stderr(), &progress()).await?;
    Ok(Outcome::Done)
}
