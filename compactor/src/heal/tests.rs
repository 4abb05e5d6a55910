//! What makes time suspect, what must stay out, and what is written: over real archives, without a server.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::HashSet;
use std::fs;

use emberkeep_archive::{CompiledMask, Mask, MatcherText};
use emberkeep_model::{Labels, Sample, SeriesRuns, TenantId, TimeRange};
use emberkeep_service::config::{RetentionConfig, RetentionRuleConfig};
use emberkeep_source::RelabelRules;

use super::bounds::Bounds;
use super::intended::{Counts, Intended};
use super::said::Said;
use super::up_gaps::UpGaps;
use super::*;
use crate::fixture::{Archive, DAY_MS, NOW_MS, TODAY};
use crate::retention::Retention;
use crate::seed::Sieve;

const MINUTE: i64 = 60_000;

fn said(started: i64, sent: Option<i64>, lost: &[(&str, f64)]) -> Said {
    Said {
        oldest_ms: Some(0),
        retention_ms: Some(15 * DAY_MS),
        started_ms: Some(started),
        sent_until_ms: sent,
        lost: lost.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
        ..Said::default()
    }
}

fn whys(suspects: &[Suspect]) -> Vec<(Why, i64, i64)> {
    suspects.iter().map(|of| (of.why, of.span.from, of.span.to)).collect()
}

#[test]
fn counters_that_rose_and_restarts_make_suspect_what_was_not_sent_by_then() {
    let mut state = HealState::default();
    let day = DAY_MS;
    // Asked for the first time, nothing was lost.
    assert_eq!(
        whys(&state.learn(&said(day, Some(2 * day), &[("a", 0.0)]), 2 * day + 5)),
        []
    );
    assert_eq!(
        whys(&state.learn(&said(day, Some(3 * day), &[("a", 0.0)]), 3 * day + 5)),
        []
    );
    let rose = state.learn(&said(day, Some(4 * day), &[("a", 7.0)]), 4 * day + 5);
    assert_eq!(whys(&rose), [(Why::SenderLost, 3 * day, 4 * day + 5)]);
    assert_eq!(
        whys(&state.learn(&said(day, Some(5 * day), &[("a", 7.0)]), 5 * day + 5)),
        []
    );
    let anew = state.learn(&said(5 * day + 9, None, &[("a", 0.0)]), 6 * day);
    assert_eq!(whys(&anew), [(Why::SenderRestarted, 5 * day, 6 * day)]);
    // It did not say what it had sent by then: two hours before the last look are enough.
    let again = state.learn(&said(5 * day + 9, None, &[("a", 2.0), ("b", 1.0)]), 7 * day);
    assert_eq!(whys(&again), [(Why::SenderLost, 6 * day - 7_200_000, 7 * day)]);
    state.waiting.insert(TimeRange {
        start: 8 * day,
        end: 9 * day,
    });
    assert_eq!(state.deadline(), Some(23 * day));

    let first = HealState::default().learn(&said(day, None, &[("a", 3.0)]), 2 * day);
    assert_eq!(whys(&first), [(Why::SenderLost, day - 7_200_000, 2 * day)]);
}

#[test]
fn the_state_is_kept_as_it_is_drawn() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deep/state.json");
    let mut state = HealState::load(&path, "http://p").unwrap();
    state.learn(&said(1000, Some(2000), &[("lost{a=\"b\"}", 2.5)]), 3000);
    state.waiting.insert(TimeRange { start: 10, end: 20 });
    state.checked.insert(TimeRange { start: 30, end: 40 });
    state.quarantined.insert("01K".to_owned());
    (state.round_began, state.covered_until, state.last_pass) = (Some(1), Some(2), Some(3));
    state.save(&path).unwrap();
    let golden = include_str!("../../testdata/heal/v1.json");
    assert_eq!(fs::read_to_string(&path).unwrap(), golden.trim_end());
    fs::write(&path, golden).unwrap();
    assert_eq!(HealState::load(&path, "http://p").unwrap(), state);

    let new = HealState::load(&path, "http://other").unwrap();
    assert_eq!((new.waiting, new.last_pass), (RangeSet::default(), None));
    fs::write(&path, "{\"version\":1,").unwrap();
    assert!(HealState::load(&path, "http://p").unwrap().checked.is_empty());
    fs::write(&path, golden.replace("\"version\":1", "\"version\":2")).unwrap();
    let newer = HealState::load(&path, "http://p").unwrap_err().to_string();
    assert!(newer.contains("version 2"), "{newer}");
}

#[test]
fn a_round_begins_when_the_one_before_is_over_and_a_week_old() {
    let mut state = HealState::default();
    let held = |end: i64| TimeRange {
        start: 0,
        end: end * DAY_MS,
    };
    state.covered_until = Some(5);
    for (day, compared, is_new) in [
        (20, 20, false),
        (26, 26, false),
        (27, 26, false),
        (28, 28, true),
        (29, 29, false),
        (35, 35, true),
    ] {
        state.checked.insert(held(compared));
        state.passed(held(day), day * DAY_MS);
        assert_eq!(state.checked.is_empty(), is_new, "day {day}");
        assert_eq!(state.last_pass, Some(day * DAY_MS));
        if is_new {
            assert_eq!((state.round_began, state.covered_until), (Some(day * DAY_MS), None));
        }
    }
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).unwrap()
}

fn runs(times: impl IntoIterator<Item = i64>) -> SeriesRuns {
    let mut runs = SeriesRuns::default();
    for timestamp in times {
        runs.samples.push(Sample {
            timestamp,
            value: 1.0,
            start_timestamp: 0,
        });
    }
    runs
}

fn mask(job: &str, from: i64, to: i64) -> CompiledMask {
    let matcher = MatcherText {
        name: "job".to_owned(),
        op: "=".to_owned(),
        value: job.to_owned(),
    };
    let mask = Mask {
        id: "m".to_owned(),
        number: 1,
        tenant: "anonymous".to_owned(),
        matchers: vec![matcher],
        from,
        to,
        reason: String::new(),
        who: String::new(),
        created_at: 0,
    };
    mask.compile().unwrap()
}

fn retention() -> Retention {
    let days = |days: u64| std::time::Duration::from_secs(days * 86_400);
    let config = RetentionConfig {
        keep: Some(days(10)),
        rules: vec![RetentionRuleConfig {
            tenant: None,
            selector: Some("{job=\"short\"}".to_owned()),
            keep: days(2),
        }],
        ..RetentionConfig::default()
    };
    Retention::from_config(&config).unwrap()
}

#[test]
fn what_is_left_out_deleted_or_expired_stays_out() {
    let rules = "- {source_labels: [job], regex: secret, action: drop}\n- {regex: noise, action: labeldrop}\n";
    let rules = RelabelRules::parse(rules).unwrap();
    let (tenant, retention) = (TenantId::default(), retention());
    let masks = [mask("masked", NOW_MS - 50 * MINUTE, NOW_MS - 40 * MINUTE)];
    let intended = Intended {
        tenant: &tenant,
        rules: &rules,
        masks: &masks,
        retention: &retention,
        now_ms: NOW_MS,
        counts: Counts::default(),
    };
    let hour: Vec<i64> = (0..60).map(|i| NOW_MS - (60 - i) * MINUTE).collect();
    let old: Vec<i64> = [11, 9, 3, 1].map(|days| NOW_MS - days * DAY_MS).to_vec();
    let pass = |job: &str, times: &[i64]| {
        let mut runs = runs(times.iter().copied());
        let passed = intended.pass(labels(&[("__name__", "x"), ("job", job), ("noise", "1")]), &mut runs);
        passed.map(|labels| (labels.to_string(), runs.samples.timestamps))
    };
    assert_eq!(pass("secret", &hour), None);
    assert_eq!(
        pass("a", &hour),
        Some(("{__name__=\"x\", job=\"a\"}".to_owned(), hour.clone()))
    );
    let (_, left) = pass("masked", &hour).unwrap();
    assert_eq!(left, [&hour[..10], &hour[20..]].concat());
    assert_eq!(pass("a", &old).unwrap().1, old[1..]);
    assert_eq!(pass("short", &old).unwrap().1, old[3..]);
    assert_eq!(intended.counts.take(), [60, 10, 1 + 3]);
    assert_eq!(intended.counts.take(), [0, 0, 0]);
}

#[tokio::test]
async fn holes_in_up_are_found_across_pieces_but_not_those_that_are_intended() {
    let archive = Archive::new();
    let day = i64::from(TODAY - 1) * DAY_MS;
    let at = |minutes: std::ops::Range<i64>| minutes.map(|i| day + i * MINUTE).collect::<Vec<i64>>();
    // `a` misses half an hour over the end of a piece of six hours, `b` an hour that is deleted, `c` nothing.
    let a = [at(0..340), at(370..800)].concat();
    let b = [at(0..500), at(560..800)].concat();
    let series = [
        ("anonymous", "a", a),
        ("anonymous", "b", b),
        ("anonymous", "c", at(0..800)),
    ];
    archive.flush(&series, NOW_MS).await;
    let view = archive.catalog.refresh().await.unwrap();
    let (tenant, rules, retention) = (TenantId::default(), RelabelRules::default(), Retention::default());
    let masks = [mask("b", day + 500 * MINUTE, day + 560 * MINUTE)];
    let intended = Intended {
        tenant: &tenant,
        rules: &rules,
        masks: &masks,
        retention: &retention,
        now_ms: NOW_MS,
        counts: Counts::default(),
    };
    let nothing = HashSet::new();
    let mut up = UpGaps {
        catalog: &archive.catalog,
        view: &view,
        quarantined: &nothing,
        matchers: &[],
        external: Vec::new(),
        intended: &intended,
    };
    let range = TimeRange {
        start: day,
        end: day + 800 * MINUTE,
    };
    let found = up.find(range).await.unwrap();
    let minutes = |set: &RangeSet| -> Vec<(i64, i64)> {
        set.iter()
            .map(|range| ((range.start - day) / MINUTE, (range.end - day) / MINUTE))
            .collect()
    };
    assert_eq!(minutes(&found), [(340, 370)]);
    up.external = vec![("replica".to_owned(), "other".to_owned())];
    assert!(
        up.find(range).await.unwrap().is_empty(),
        "another sender's series say nothing"
    );
    // A part that cannot be read is a hole.
    up.external.clear();
    let quarantined = view.parts.iter().map(|part| part.ulid.to_string()).collect();
    up.quarantined = &quarantined;
    let mut state = HealState::default();
    let told = state.learn_quarantined(&quarantined, &view, &tenant);
    assert_eq!(whys(&told), [(Why::Quarantined, day, day + 799 * MINUTE + 1)]);
    assert_eq!(state.learn_quarantined(&quarantined, &view, &tenant), []);
    archive.flush(&[("anonymous", "c", at(0..100))], NOW_MS).await;
    let view = archive.catalog.refresh().await.unwrap();
    up.view = &view;
    assert_eq!(minutes(&up.find(range).await.unwrap()), [(100, 800)]);
}

#[tokio::test]
async fn a_pass_stays_inside_of_what_is_held_kept_and_sent() {
    let archive = Archive::new();
    archive
        .flush(&[("anonymous", "a", vec![NOW_MS - 5 * DAY_MS, NOW_MS])], NOW_MS)
        .await;
    let view = archive.catalog.refresh().await.unwrap();
    let mut settings = HealSettings {
        tenant: TenantId::default(),
        matchers: [].into(),
        sender: None,
        rules: None,
        slice: std::time::Duration::from_secs(7200),
        samples_per_second: None,
        settle: std::time::Duration::from_secs(900),
        retention: Retention::default(),
        quota_bytes: None,
        state: "s".into(),
        scratch: "w".into(),
    };
    let source = |oldest: Option<i64>, sent: Option<i64>| Said {
        oldest_ms: oldest,
        sent_until_ms: sent,
        ..Said::default()
    };
    let bounds = |settings: &HealSettings, said: &Said, scope| Bounds::new(scope, settings, (said, &view), NOW_MS);
    let held = |settings: &HealSettings, said: &Said, scope| {
        let held = bounds(settings, said, scope).unwrap().held;
        (NOW_MS - held.start, NOW_MS - held.end)
    };
    let old = source(Some(NOW_MS - 20 * DAY_MS), None);
    assert_eq!(held(&settings, &old, Scope::Round), (20 * DAY_MS, 15 * MINUTE));
    // A sender that is behind may still catch up, but not for ever.
    let behind = |minutes: i64| source(Some(NOW_MS - 20 * DAY_MS), Some(NOW_MS - minutes * MINUTE));
    assert_eq!(held(&settings, &behind(5), Scope::Round).1, 15 * MINUTE);
    assert_eq!(held(&settings, &behind(100), Scope::Round).1, 100 * MINUTE);
    assert_eq!(held(&settings, &behind(1000), Scope::Round).1, 180 * MINUTE);
    let asked = Scope::Whole(TimeRange {
        start: NOW_MS - 30 * DAY_MS,
        end: NOW_MS - DAY_MS,
    });
    let of_asked = bounds(&settings, &old, asked).unwrap();
    assert_eq!(
        (NOW_MS - of_asked.kept_from, NOW_MS - of_asked.held.start),
        (30 * DAY_MS, 20 * DAY_MS)
    );
    settings.retention = retention();
    assert_eq!(held(&settings, &old, Scope::Round).0, 10 * DAY_MS);
    settings.quota_bytes = Some(1);
    assert_eq!(held(&settings, &old, Scope::Round).0, 5 * DAY_MS);
    assert!(bounds(&settings, &source(None, None), Scope::Round).is_err());
    assert_eq!(held(&settings, &source(None, None), asked), (5 * DAY_MS, DAY_MS));
}
