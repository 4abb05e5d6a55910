//! What goes, what stays, and what is refused: whole parts, rules for some series, locks, and the guard.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::time::Duration;

use emberkeep_archive::{Removal, Ulid};
use emberkeep_model::{TenantId, TimeRange};
use emberkeep_service::config::FileConfig;
use proptest::prelude::*;

use super::*;
use crate::fixture::{Archive, DAY_MS, NOW_MS, TODAY, times};
use crate::guard::{Consent, UpkeepError};
use crate::locks::{LockRequest, lock};
use crate::undo::{Target, undo};

fn retention(yaml: &str) -> Result<Retention, UpkeepError> {
    Retention::from_config(&FileConfig::parse(yaml, "x").unwrap().retention)
}

/// With a guard that lets everything pass.
fn unguarded(rest: &str) -> Retention {
    retention(&format!("retention: {{most_at_once_percent: 100, {rest}}}")).unwrap()
}

async fn expire_now(archive: &Archive, retention: &Retention) -> Expired {
    expire(
        &archive.catalog,
        retention,
        &RetentionMetrics::default(),
        Consent::Missing,
        NOW_MS,
    )
    .await
    .unwrap()
}

/// A part of a day long ago that was committed that day.
async fn old_day(archive: &Archive, tenant: &str, age: i32) -> Ulid {
    let day = TODAY - age;
    let committed_at = i64::from(day + 1) * DAY_MS;
    archive
        .merged(
            tenant,
            day,
            &[("a", times(day, 50)), ("debug", times(day, 50))],
            &[],
            committed_at,
        )
        .await
}

#[test]
fn rules_that_cannot_mean_what_they_say_are_refused() {
    for (yaml, reason) in [
        ("keep: 0s", "more than 0"),
        ("undelete_window: 5m", "1h or more"),
        ("most_at_once_percent: 0", "from 1 to 100"),
        ("rules: [{keep: 1d}]", "neither `tenant` nor `match`"),
        ("rules: [{tenant: a, keep: 0}]", "rule 1: `keep` must be more than 0"),
        ("rules: [{tenant: a/b, keep: 1d}]", "tenant id"),
        (
            "rules: [{tenant: a, keep: 1d}, {tenant: a, keep: 2d}]",
            "rule 2: there is another rule",
        ),
        ("rules: [{match: '{', keep: 1d}]", "selector"),
        ("keep: 10d\n  rules: [{match: up, keep: 20d}]", "can only shorten"),
        (
            "rules: [{tenant: a, keep: 10d}, {match: up, keep: 20d}]",
            "of tenant `a` goes after 10d",
        ),
    ] {
        let refused = retention(&format!("retention:\n  {yaml}\n")).unwrap_err().to_string();
        assert!(refused.contains(reason), "{yaml}: {refused}");
    }
    assert!(retention("{}").unwrap().keeps_everything());
}

#[test]
fn a_rule_has_the_same_id_for_ever() {
    let id = |yaml: &str| retention(yaml).unwrap().rules()[0].id.clone();
    let first = id("retention: {rules: [{tenant: a, match: '{job=\"x\", b!~\"y\"}', keep: 30d}]}");
    assert_eq!(
        first,
        id("retention: {rules: [{tenant: a, match: '{b!~\"y\",job=\"x\"}', keep: 720h}]}")
    );
    // Entries of parts have it.
    assert_eq!(first, "453aa8252e56f81c");
    for other in [
        "tenant: b, match: '{job=\"x\", b!~\"y\"}', keep: 30d",
        "match: '{job=\"x\", b!~\"y\"}', keep: 30d",
    ] {
        assert_ne!(first, id(&format!("retention: {{rules: [{{{other}}}]}}")));
    }
}

#[tokio::test]
async fn each_tenant_has_its_own_limit() {
    let archive = Archive::new();
    let (old, older) = (old_day(&archive, "a", 40).await, old_day(&archive, "b", 41).await);
    let young = old_day(&archive, "a", 5).await;
    let retention = unguarded("keep: 30d, rules: [{tenant: b, keep: 50d}]");
    let expired = expire_now(&archive, &retention).await;
    assert_eq!(expired.parts, 1);
    assert_eq!(
        archive.live().await,
        BTreeSet::from([older, young]).into_iter().collect::<Vec<_>>()
    );
    assert_eq!(
        expire_now(&archive, &retention).await,
        Expired::default(),
        "once is enough"
    );
    // It comes back until it is deleted.
    let undone = undo(&archive.catalog, Target::Root(expired.root.unwrap() - 1), NOW_MS)
        .await
        .unwrap();
    assert_eq!(undone.reasons.keys().collect::<Vec<_>>(), [&Removal::Expired]);
    assert!(undone.would_go_again() && archive.live().await.contains(&old));
}

#[tokio::test]
async fn what_arrived_late_is_not_eaten_on_arrival() {
    let archive = Archive::new();
    let day = TODAY - 400;
    let seeded = archive
        .merged("a", day, &[("a", times(day, 5))], &[], NOW_MS - 2 * DAY_MS)
        .await;
    assert_eq!(expire_now(&archive, &unguarded("keep: 30d")).await.parts, 0);
    assert_eq!(archive.live().await, [seeded]);
    assert_eq!(expire_now(&archive, &unguarded("keep: 1d")).await.parts, 1);
}

#[tokio::test]
async fn a_flush_goes_when_all_its_tenants_let_it_go() {
    let archive = Archive::new();
    let (day, at) = (TODAY - 40, NOW_MS - 39 * DAY_MS);
    let both = archive
        .flush(&[("a", "x", times(day, 5)), ("b", "x", times(day, 5))], at)
        .await;
    let one = archive.flush(&[("a", "x", times(day, 5))], at).await;
    assert_eq!(
        expire_now(&archive, &unguarded("keep: 30d, rules: [{tenant: b, keep: 100d}]"))
            .await
            .parts,
        1
    );
    assert_eq!(archive.live().await, [both]);
    assert_ne!(both, one);
    assert_eq!(
        expire_now(&archive, &unguarded("rules: [{tenant: a, keep: 1d}]"))
            .await
            .parts,
        0,
        "b is for ever"
    );
    assert_eq!(expire_now(&archive, &unguarded("keep: 30d")).await.parts, 1);
}

#[tokio::test]
async fn nothing_below_the_minimum_age_goes() {
    let archive = Archive::new();
    let part = old_day(&archive, "a", 3).await;
    let young = unguarded("keep: 1h, minimum_age: 5d, rules: [{match: up, keep: 1h}]");
    assert_eq!(expire_now(&archive, &young).await.parts, 0);
    assert_eq!(due_rules(&archive.catalog.live().await.unwrap(), &young, NOW_MS), []);
    assert_eq!(archive.live().await, [part]);
    assert_eq!(expire_now(&archive, &unguarded("keep: 1h")).await.parts, 1);
}

#[tokio::test]
async fn more_than_a_tenth_waits_for_a_person() {
    let archive = Archive::new();
    for age in 1..=20 {
        old_day(&archive, "a", age).await;
    }
    let metrics = RetentionMetrics::default();
    let mild = retention("retention: {keep: 19d}").unwrap();
    let expired = expire(&archive.catalog, &mild, &metrics, Consent::Missing, NOW_MS)
        .await
        .unwrap();
    assert_eq!(expired.parts, 1);
    let harsh = retention("retention: {keep: 10d}").unwrap();
    let refused = expire(&archive.catalog, &harsh, &metrics, Consent::Missing, NOW_MS)
        .await
        .unwrap_err();
    assert!(
        refused.is_guard() && refused.to_string().contains("compactor retention --yes"),
        "{refused}"
    );
    assert!(metrics.refused_bytes.get() > 0);
    assert_eq!(
        archive.live().await.len() as u64,
        20 - expired.parts,
        "nothing of it was done"
    );
    let expired = expire(&archive.catalog, &harsh, &metrics, Consent::Given, NOW_MS)
        .await
        .unwrap();
    assert!(expired.parts >= 8 && metrics.refused_bytes.get() == 0);
}

#[tokio::test]
async fn a_lock_keeps_what_it_touches() {
    let archive = Archive::new();
    let (locked, free) = (old_day(&archive, "a", 40).await, old_day(&archive, "a", 41).await);
    let start = i64::from(TODAY - 40) * DAY_MS;
    let request = LockRequest {
        tenant: Some(TenantId::parse("a").unwrap()),
        range: TimeRange {
            start,
            end: start + DAY_MS,
        },
        reason: "audit".to_owned(),
        who: "ops".to_owned(),
    };
    let id = lock(&archive.catalog, &request, NOW_MS).await.unwrap().lock.id;
    let retention = unguarded("keep: 30d, rules: [{match: up, keep: 20d}]");
    let live = archive.catalog.live().await.unwrap();
    let told = expirations(&live, &retention, NOW_MS);
    let kept: Vec<_> = told.iter().filter_map(|part| part.kept_by.clone()).collect();
    assert_eq!((told.len(), kept), (2, vec![WaitsFor::Lock(id)]));
    assert_eq!(due_rules(&live, &retention, NOW_MS), []);
    assert_eq!(expire_now(&archive, &retention).await.parts, 1);
    assert_eq!(archive.live().await, [locked]);
    assert_ne!(free, locked);
}

#[tokio::test]
async fn a_rule_for_some_series_is_due_for_whole_old_days_once() {
    let archive = Archive::new();
    let (old, young) = (old_day(&archive, "a", 40).await, old_day(&archive, "a", 30).await);
    let other = old_day(&archive, "b", 40).await;
    let flushed = archive
        .flush(&[("a", "debug", times(TODAY - 40, 5))], NOW_MS - 39 * DAY_MS)
        .await;
    let retention = retention("retention: {rules: [{tenant: a, match: '{job=\"debug\"}', keep: 30d}]}").unwrap();
    let live = archive.catalog.live().await.unwrap();
    // The day that ended 29 and a half days ago is not due as a whole.
    let [due] = &due_rules(&live, &retention, NOW_MS)[..] else {
        panic!("one rule and tenant")
    };
    assert_eq!(due.parts, BTreeSet::from([old]));
    assert_eq!((due.mask.tenant.as_str(), due.mask.to), ("a", NOW_MS - 30 * DAY_MS));
    assert_eq!(due.mask.matchers[0].value, "debug");
    assert_eq!(due.id, retention.rules()[0].id);
    assert!(![young, other, flushed].contains(&old));
    // Half of the rows of one of four parts.
    let rules = std::slice::from_ref(due);
    let refused = estimate_rules(&archive.catalog, &live, rules, &retention, Consent::Missing).await;
    assert!(refused.unwrap_err().is_guard());
    let estimate = estimate_rules(&archive.catalog, &live, rules, &retention, Consent::Given)
        .await
        .unwrap();
    assert_eq!(
        (estimate.of, estimate.bytes),
        (live.bytes(), live.by_ulid()[&old].bytes() / 2)
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// What goes are exactly the parts of which everything is older than every limit.
    #[test]
    fn a_part_goes_if_and_only_if_all_of_it_is_old(
        ages in proptest::collection::vec((0..60_i64, 0..60_i64, 0..3_usize), 1..6),
        keeps in [1..50_u64, 1..50_u64, 1..50_u64],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let archive = Archive::new();
            let tenants = ["a", "b", "c"];
            let mut expected = Vec::new();
            for (sample_age, commit_age, tenant) in ages {
                let newest = NOW_MS - sample_age * DAY_MS;
                let committed = NOW_MS - commit_age * DAY_MS;
                let rows = [(tenants[tenant], "x", vec![newest - 5, newest])];
                let part = archive.flush(&rows, committed).await;
                let limit = i64::try_from(keeps[tenant]).unwrap();
                if sample_age < limit || commit_age < limit {
                    expected.push(part);
                }
            }
            let days = |i: usize| Duration::from_secs(keeps[i] * 86_400);
            let rules = (0..3).map(|i| format!("{{tenant: {}, keep: {}s}}", tenants[i], days(i).as_secs()));
            let rules = rules.collect::<Vec<_>>().join(",");
            expire_now(&archive, &unguarded(&format!("rules: [{rules}]"))).await;
            expected.sort();
            assert_eq!(archive.live().await, expected);
        });
    }
}
