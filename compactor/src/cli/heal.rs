//! `compactor heal`, and the loop that the section `heal:` of the configuration asks for.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use emberkeep_archive::{Catalog, ObjectStore};
use emberkeep_model::{Labels, MatchOp, Matcher, TenantId, TimeRange, parse_selector};
use emberkeep_service::clock::SystemClock;
use emberkeep_service::config::{FileConfig, HealSourceConfig};
use emberkeep_service::lock::DirectoryLock;
use emberkeep_service::metrics::Metrics;
use emberkeep_service::problem::Outcome;
use emberkeep_service::shutdown::Shutdown;
use emberkeep_service::{duration, time_expr};
use emberkeep_source::{Source, SourceFlags};
use indicatif::ProgressBar;
use xxhash_rust::xxh3::xxh3_64;

use super::keeping::{ArchiveFlags, FormFlag};
use crate::heal::{HealMetrics, HealSettings, Healer, Rounds, Scope, SourceMetrics, spawn};
use crate::retention::Retention;

/// Samples that are read each second when nothing else is said.
const SAMPLES_PER_SECOND: u64 = 500_000;

/// Pause of the loop between two passes.
const INTERVAL: Duration = Duration::from_secs(600);

/// What is younger is left to the sender and the next flush.
const SETTLE: Duration = Duration::from_secs(900);

/// Time that the loop asks for at once.
const SLICE: Duration = Duration::from_secs(7200);

/// `compactor heal`.
#[derive(Debug, Args)]
pub struct HealArgs {
    #[command(flatten)]
    archive: ArchiveFlags,
    /// Base URL of the Prometheus that has what is missing, as `http://prometheus:9090`.
    #[arg(long = "source", value_name = "URL")]
    url: String,
    #[command(flatten)]
    source: SourceFlags,
    /// Whose rows they become [default: anonymous].
    #[arg(long, value_name = "TENANT")]
    tenant: Option<TenantId>,
    /// Which series [default: all].
    #[arg(long = "match", value_name = "SELECTOR")]
    selector: Option<String>,
    /// First moment that is compared: RFC 3339, unix seconds or `-2h` [default: the oldest that the source holds].
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<String>,
    /// First moment after what is compared, in the same forms [default: now, less --settle].
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: Option<String>,
    /// Younger time is left to the sender and the next flush.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, default_value = "15m")]
    settle: Duration,
    /// Compare only time for which there is a reason to suspect a hole.
    #[arg(long)]
    suspects_only: bool,
    /// Name or URL of the source's `remote_write` that sends to this archive [default: the only one].
    #[arg(long, value_name = "NAME")]
    remote_write: Option<String>,
    /// File with the `write_relabel_configs` of the sender, in place of what the source's configuration says.
    #[arg(long, value_name = "FILE")]
    dropped_by: Option<PathBuf>,
    /// Time that is asked for at once.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_nonzero, default_value = "2h")]
    slice: Duration,
    /// Read no more samples each second.
    #[arg(long, value_name = "N", default_value_t = SAMPLES_PER_SECOND)]
    samples_per_second: u64,
    #[command(flatten)]
    form: FormFlag,
}

/// Heals once. What the source does not hold any more ends it with code 2, after all that it holds.
///
/// # Errors
/// A source or a store that fails, and what must not be guessed.
pub(super) async fn run(args: HealArgs) -> anyhow::Result<Outcome> {
    let kept = args.archive.open()?;
    let directory = kept.storage_path.join("compactor").join("heal-once");
    let _lock = DirectoryLock::acquire(&directory)?;
    let time = |text: &Option<String>, flag: &'static str, default: i64| match text {
        Some(text) => time_expr::parse(text, kept.now_ms).context(flag),
        None => Ok(default),
    };
    let range = TimeRange {
        start: time(&args.from, "--from", i64::MIN)?,
        end: time(&args.to, "--to", i64::MAX)?,
    };
    anyhow::ensure!(!range.is_empty(), "the range is empty: `--to` must be after `--from`");
    let rules = args.dropped_by.as_ref().map(|path| {
        let text = std::fs::read_to_string(path);
        text.with_context(|| format!("`{}`", path.display()))
    });
    let settings = HealSettings {
        tenant: args.tenant.clone().unwrap_or_default(),
        matchers: matchers(args.selector.as_deref()).context("--match")?,
        sender: args.remote_write.clone(),
        rules: rules.transpose()?,
        slice: args.slice,
        samples_per_second: Some(args.samples_per_second),
        settle: args.settle,
        retention: kept.retention()?,
        quota_bytes: kept.file.quota.bytes,
        state: PathBuf::new(),
        scratch: PathBuf::new(),
    };
    let source = Source::new(args.source.config(&args.url)?)?;
    let settings = placed(settings, &source, &directory);
    let healer = Healer::new(kept.catalog, source, settings, Arc::new(SystemClock));
    let scope = match args.suspects_only {
        true => Scope::Suspects(range),
        false => Scope::Whole(range),
    };
    let bar = super::seed::progress(0);
    let report = heal(&healer, scope, &bar).await?;
    args.form.print(&report, |out| report.write_text(out))?;
    Ok(report.outcome())
}

async fn heal(healer: &Healer, scope: Scope, bar: &ProgressBar) -> anyhow::Result<crate::heal::HealReport> {
    let report = healer
        .pass(scope, &SourceMetrics::default(), |count| bar.inc(count))
        .await;
    bar.finish_and_clear();
    Ok(report?)
}

/// Where what is remembered of a source lies, and its files on the way; both by what makes it another one.
fn placed(settings: HealSettings, source: &Source, directory: &Path) -> HealSettings {
    let matchers = settings.matchers.iter();
    let matchers = matchers.map(|matcher| format!("{}{:?}{}", matcher.name(), matcher.op(), matcher.value()));
    let identity = [source.url().to_owned(), settings.tenant.to_string()]
        .into_iter()
        .chain(matchers);
    let id = format!("{:016x}", xxh3_64(identity.collect::<Vec<_>>().join("\0").as_bytes()));
    HealSettings {
        state: directory.join(format!("{id}.json")),
        scratch: directory.join("work").join(id),
        ..settings
    }
}

/// Series that satisfy a selector; without one all, also those without a name.
fn matchers(selector: Option<&str>) -> anyhow::Result<Arc<[Matcher]>> {
    Ok(match selector {
        Some(text) => parse_selector(text)?,
        None => [Matcher::new(Labels::METRIC_NAME, MatchOp::Regex, ".*")?].into(),
    })
}

/// The threads of the loop.
#[derive(Debug)]
pub struct HealThreads(Vec<JoinHandle<()>>);

impl HealThreads {
    /// Starts a loop for each source of the configuration, and shows its metrics; nothing without a source.
    ///
    /// # Errors
    /// A source that is configured wrongly, and threads that cannot be made.
    pub fn start(
        file: &FileConfig,
        store: &Arc<dyn ObjectStore>,
        scratch: &Path,
        metrics: &mut Metrics,
        shutdown: &Shutdown,
    ) -> anyhow::Result<Self> {
        if file.heal.sources.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let heal_metrics = HealMetrics::default();
        heal_metrics.register(metrics.registry());
        let rounds = file.heal.sources.iter().enumerate().map(|(i, of)| {
            let healer = healer(file, of, store, scratch);
            let healer = healer.with_context(|| format!("`heal.sources`, source {}", i + 1))?;
            Ok(Rounds {
                interval: file.heal.interval.unwrap_or(INTERVAL),
                metrics: heal_metrics.of(healer.url(), healer.tenant()),
                healer,
            })
        });
        let rounds = rounds.collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Self(
            spawn(rounds, shutdown).context("cannot start the threads of healing")?,
        ))
    }

    /// Waits until they have ended, which they do at their next await after the process was told to; whether all ended well.
    #[must_use]
    pub fn join(self) -> Ended {
        let panics = self.0.into_iter().map(JoinHandle::join).filter(Result::is_err).count();
        match panics {
            0 => Ended::Well,
            _ => Ended::Badly,
        }
    }
}

/// How threads ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// As they were told to.
    Well,
    /// Some with a panic.
    Badly,
}

fn healer(
    file: &FileConfig,
    of: &HealSourceConfig,
    store: &Arc<dyn ObjectStore>,
    scratch: &Path,
) -> anyhow::Result<Healer> {
    let flags = SourceFlags {
        bearer_token_file: of.bearer_token_file.clone(),
        username: of.username.clone(),
        password_file: of.password_file.clone(),
        headers: of
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect(),
        tls_ca: of.tls_ca.clone(),
    };
    let source = Source::new(flags.config(&of.url)?)?;
    let tenant = of.tenant.as_deref().map(TenantId::parse).transpose()?;
    let settings = HealSettings {
        tenant: tenant.unwrap_or_default(),
        matchers: matchers(of.selector.as_deref()).context("match")?,
        sender: of.remote_write.clone(),
        rules: None,
        slice: SLICE,
        samples_per_second: Some(file.heal.samples_per_second.unwrap_or(SAMPLES_PER_SECOND)),
        settle: file.heal.settle.unwrap_or(SETTLE),
        retention: Retention::from_config(&file.retention)?,
        quota_bytes: file.quota.bytes,
        state: PathBuf::new(),
        scratch: PathBuf::new(),
    };
    let settings = placed(settings, &source, &scratch.join("heal"));
    Ok(Healer::new(
        Catalog::new(Arc::clone(store)),
        source,
        settings,
        Arc::new(SystemClock),
    ))
}
