//! `compactor retention`: what goes, and when; and the confirmation that the loop asks for when it is much.

use std::io::Write;

use clap::Args;
use emberkeep_archive::names;
use emberkeep_service::problem::Outcome;
use serde::Serialize;

use super::keeping::{ArchiveFlags, FormFlag, bytes, moment, say};
use crate::guard::{Consent, is_too_much};
use crate::quota::{self, QuotaMetrics};
use crate::retention::{
    DueRule, ExpiringPart, Retention, RetentionMetrics, RuleEstimate, WaitsFor, due_rules, estimate_rules, expirations,
    expire,
};

/// How far the dry run looks ahead.
const AHEAD_MS: i64 = 30 * 86_400_000;

/// `compactor retention`.
#[derive(Debug, Args)]
pub struct RetentionArgs {
    #[command(flatten)]
    archive: ArchiveFlags,
    /// Print what would go now and within the next 30 days, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Remove it even when it is much at once.
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
    #[command(flatten)]
    form: FormFlag,
}

/// What the dry run tells.
#[derive(Debug, Serialize)]
struct Forecast {
    /// Bytes of all live parts.
    archive_bytes: u64,
    /// Bytes that go now.
    due_bytes: u64,
    /// Whether that needs a confirmation.
    needs_confirmation: bool,
    /// Whole parts, the next ones first.
    parts: Vec<ExpiringPart>,
    /// Rules for some series that parts are rewritten for.
    rules: Vec<RuleForecast>,
    /// Parts that the quota would remove now.
    quota: Vec<QuotaPart>,
}

#[derive(Debug, Serialize)]
struct RuleForecast {
    rule: String,
    tenant: String,
    selector: String,
    /// Rows before this moment go, milliseconds since 1970.
    before: i64,
    parts: u64,
    /// Bytes of the parts that are rewritten.
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct QuotaPart {
    part: String,
    newest: i64,
    bytes: u64,
}

/// Prints what would go, or removes it.
///
/// # Errors
/// Rules that cannot be used, a store that fails, and the guard.
pub(super) async fn run(args: RetentionArgs) -> anyhow::Result<Outcome> {
    let kept = args.archive.open()?;
    let retention = kept.retention()?;
    let live = kept.catalog.live().await?;
    if args.dry_run {
        let parts = expirations(&live, &retention, kept.now_ms.saturating_add(AHEAD_MS));
        let due = parts
            .iter()
            .filter(|part| part.is_due(kept.now_ms))
            .map(|part| part.bytes);
        let rules = due_rules(&live, &retention, kept.now_ms);
        let estimate = match estimate_rules(&kept.catalog, &live, &rules, &retention, Consent::Given).await {
            Ok(estimate) => estimate,
            Err(error) => return Err(error.into()),
        };
        let due_bytes = due.fold(0, u64::saturating_add);
        let percent = retention.most_at_once_percent;
        let forecast = Forecast {
            archive_bytes: live.bytes(),
            due_bytes,
            needs_confirmation: is_too_much(due_bytes, live.bytes(), percent)
                || is_too_much(estimate.bytes, estimate.of, percent),
            rules: rules.iter().map(|rule| rule_forecast(rule, &retention)).collect(),
            quota: kept.file.quota.bytes.map_or_else(Vec::new, |quota| {
                let excess = quota::forecast(&live, quota, &retention, kept.now_ms).excess;
                let parts = quota::candidates(&live, excess, &retention, kept.now_ms);
                parts.iter().map(|part| quota_part(part)).collect()
            }),
            parts,
        };
        args.form
            .print(&forecast, |out| forecast.write(&retention, &estimate, kept.now_ms, out))?;
        return Ok(Outcome::Done);
    }
    let consent = Consent::from(args.yes);
    let expired = expire(
        &kept.catalog,
        &retention,
        &RetentionMetrics::default(),
        consent,
        kept.now_ms,
    )
    .await?;
    let mut lines = vec![match expired.root {
        Some(root) => format!(
            "removed {} parts with {} in root {root}; `compactor rollback --to-root {}` brings them back until {}",
            expired.parts,
            bytes(expired.bytes),
            root - 1,
            moment(kept.now_ms.saturating_add(millis(retention.undelete_window)))
        ),
        None => "nothing is older than its retention".to_owned(),
    }];
    if let Some(quota) = kept.file.quota.bytes {
        let metrics = QuotaMetrics::default();
        let freed = quota::enforce(&kept.catalog, quota, &retention, &metrics, consent, kept.now_ms).await?;
        lines.push(format!(
            "the quota removed {} parts with {}",
            freed.parts,
            bytes(freed.bytes)
        ));
        if freed.short > 0 {
            lines.push(format!("{} over the quota are locked or too young", bytes(freed.short)));
        }
    }
    if args.yes && !due_rules(&kept.catalog.live().await?, &retention, kept.now_ms).is_empty() {
        let pass = kept.upkeep()?.merge_all(consent).await?;
        lines.push(format!(
            "{} merges wrote parts without the rows that rules delete, {} failed",
            pass.merged, pass.failed
        ));
    }
    say(&lines)?;
    Ok(Outcome::Done)
}

fn millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn rule_forecast(rule: &DueRule, retention: &Retention) -> RuleForecast {
    let written = retention.rules().iter().find(|written| written.id == rule.id);
    RuleForecast {
        rule: rule.id.clone(),
        tenant: rule.mask.tenant.clone(),
        selector: written.map(|written| written.selector.clone()).unwrap_or_default(),
        before: rule.mask.to,
        parts: rule.parts.len() as u64,
        bytes: rule.bytes,
    }
}

fn quota_part(part: &emberkeep_archive::PartEntry) -> QuotaPart {
    QuotaPart {
        part: part.ulid.to_string(),
        newest: part.max_time,
        bytes: part.bytes(),
    }
}

impl Forecast {
    fn write(
        &self,
        retention: &Retention,
        estimate: &RuleEstimate,
        now_ms: i64,
        out: &mut dyn Write,
    ) -> std::io::Result<()> {
        if retention.keeps_everything() {
            writeln!(out, "no retention is configured: everything is kept")?;
        }
        for part in &self.parts {
            let day = i32::try_from(part.day).map_or_else(|_| part.day.to_string(), names::date);
            let when = match &part.kept_by {
                Some(WaitsFor::Lock(lock)) => format!("kept by lock {lock}"),
                None if part.is_due(now_ms) => "now".to_owned(),
                None => moment(part.at),
            };
            let (tenants, size) = (part.tenants.join(","), bytes(part.bytes));
            writeln!(
                out,
                "{day}  {tenants}  level {}  {}  {size}  {when}",
                part.level, part.part
            )?;
        }
        for rule in &self.rules {
            let RuleForecast {
                tenant,
                selector,
                parts,
                ..
            } = rule;
            let (before, size) = (moment(rule.before), bytes(rule.bytes));
            writeln!(
                out,
                "{tenant}  {selector} before {before}: {parts} parts with {size} are rewritten"
            )?;
        }
        for part in &self.quota {
            writeln!(out, "{}  {}  over the quota", part.part, bytes(part.bytes))?;
        }
        let (due, all) = (bytes(self.due_bytes), bytes(self.archive_bytes));
        writeln!(
            out,
            "{due} of {all} go now as whole parts, and about {} of parts that are rewritten",
            bytes(estimate.bytes)
        )?;
        if self.needs_confirmation {
            let percent = retention.most_at_once_percent;
            writeln!(
                out,
                "that is more than {percent} % at once: it waits for `compactor retention --yes`"
            )?;
        }
        Ok(())
    }
}
