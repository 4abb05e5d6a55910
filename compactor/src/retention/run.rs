//! Doing what retention wants: whole parts through one root, and the share of rewrites that the guard asks for.

use std::collections::BTreeSet;
use std::sync::Arc;

use emberkeep_archive::{Catalog, Change, Live, PartEntry, Removal, Root, apply, fresh_nonce};

use super::{DueRule, Retention, RetentionMetrics, expirations};
use crate::deletion::share_of_part;
use crate::guard::{Consent, Removing, UpkeepError};

/// Parts that are looked into to estimate what a rule takes.
const SAMPLED_PARTS: usize = 8;

/// What a run of retention removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expired {
    /// Number of parts.
    pub parts: u64,
    /// Bytes of their files.
    pub bytes: u64,
    /// The root that removed them; none when there was nothing to remove.
    pub root: Option<u64>,
}

/// How retention is called in messages of the guard.
pub(super) const fn removing(retention: &Retention) -> Removing<'static> {
    Removing {
        what: "retention",
        look: "compactor retention --dry-run",
        confirm: "compactor retention --yes",
        percent: retention.most_at_once_percent,
    }
}

/// Removes the parts that are due, all at once. They can be brought back during the undelete window.
///
/// # Errors
/// [`UpkeepError::TooMuch`] when it is more than the guard lets pass without a confirmation: nothing is removed; otherwise as
/// [`apply`].
pub async fn expire(
    catalog: &Catalog,
    retention: &Retention,
    metrics: &RetentionMetrics,
    consent: Consent,
    now_ms: i64,
) -> Result<Expired, UpkeepError> {
    if retention.keeps_everything() {
        metrics.refused_bytes.set(0);
        return Ok(Expired::default());
    }
    let mut expired = Expired::default();
    let nonce = fresh_nonce();
    let root = apply(catalog, &nonce, now_ms, |live| {
        let (change, removed) = change(live, retention, consent, now_ms)?;
        expired = removed;
        Ok::<_, UpkeepError>((!change.is_empty()).then_some(change))
    });
    let root: Option<Root> = match root.await {
        Ok(root) => root,
        Err(error) => {
            if let UpkeepError::TooMuch { bytes, .. } = &error {
                metrics.refused_bytes.set(i64::try_from(*bytes).unwrap_or(i64::MAX));
            }
            return Err(error);
        }
    };
    metrics.refused_bytes.set(0);
    let Some(root) = root else {
        return Ok(Expired::default());
    };
    metrics.parts.inc_by(expired.parts);
    metrics.bytes.inc_by(expired.bytes);
    expired.root = Some(root.n);
    Ok(expired)
}

fn change(live: &Live, retention: &Retention, consent: Consent, now_ms: i64) -> Result<(Change, Expired), UpkeepError> {
    let (mut change, mut expired) = (Change::default(), Expired::default());
    let due: BTreeSet<String> = expirations(live, retention, now_ms)
        .into_iter()
        .filter(|part| part.is_due(now_ms))
        .map(|part| part.part)
        .collect();
    for part in live.parts().filter(|part| due.contains(&part.ulid.to_string())) {
        change.removing(Removal::Expired, part.ulid);
        expired.parts += 1;
        expired.bytes = expired.bytes.saturating_add(part.bytes());
    }
    removing(retention).check(live, expired.bytes, consent)?;
    Ok((change, expired))
}

/// What rules for some series would take, as far as a look into some of their parts tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RuleEstimate {
    /// Bytes that would go.
    pub bytes: u64,
    /// Bytes of all live parts.
    pub of: u64,
}

/// Estimates what the due rules take, and refuses when that is more than the guard lets pass without a confirmation. The series tables of
/// up to 8 parts of each rule are read, the largest first.
///
/// # Errors
/// [`UpkeepError::TooMuch`]; [`UpkeepError::Archive`] when a part cannot be read.
pub async fn estimate_rules(
    catalog: &Catalog,
    live: &Live,
    rules: &[DueRule],
    retention: &Retention,
    consent: Consent,
) -> Result<RuleEstimate, UpkeepError> {
    let parts = live.by_ulid();
    let mut bytes = 0_f64;
    for rule in rules {
        let mut of_rule: Vec<&Arc<PartEntry>> = rule.parts.iter().filter_map(|ulid| parts.get(ulid)).collect();
        of_rule.sort_by_key(|part| (std::cmp::Reverse(part.bytes()), part.ulid));
        let all: u64 = of_rule.iter().map(|part| part.bytes()).sum();
        let (mut seen, mut gone) = (0_f64, 0_f64);
        for part in of_rule.into_iter().take(SAMPLED_PARTS) {
            let share = share_of_part(catalog, part, &rule.mask).await?;
            seen += part.bytes() as f64;
            gone += part.bytes() as f64 * share.fraction();
        }
        if seen > 0.0 {
            bytes += all as f64 * gone / seen;
        }
    }
    let estimate = RuleEstimate {
        bytes: bytes as u64,
        of: live.bytes(),
    };
    removing(retention).check(live, estimate.bytes, consent)?;
    Ok(estimate)
}
