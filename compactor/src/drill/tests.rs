//! What is chosen is there, old data as often as new, and always the same with the same seed; children end with whoever started them.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use emberkeep_archive::{Catalog, DrillOutcome, DrillState, Live};
use emberkeep_model::{Selection, TimeRange, parse_selector};
use emberkeep_service::clock::ManualClock;
use emberkeep_service::metrics::{Exposition, Metrics};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::child::{BoundedChild, Deadline};
use super::choice::{Subject, choose};
use super::leftovers::{MARK, end_processes};
use super::sample::selector;
use super::scratch::Scratch;
use super::windows::{WINDOW_MS, Windows, estimate};
use super::*;
use crate::fixture::{Archive, DAY_MS, NOW_MS, TODAY, times};

/// Two years of a day each month, a week of each day, and today.
async fn years() -> Archive {
    let archive = Archive::new();
    for age in (1..8).chain((1..24).map(|month| month * 30)) {
        let rows = [("x", times(TODAY - age, 200)), ("y", times(TODAY - age, 100))];
        archive.merged("a", TODAY - age, &rows, &[], NOW_MS).await;
    }
    archive.flush(&[("a", "x", times(TODAY, 100))], NOW_MS).await;
    archive
}

async fn live(archive: &Archive) -> Live {
    archive.catalog.live().await.unwrap()
}

async fn chosen(archive: &Archive, seed: u64, wish: &Wish, most: u64) -> Result<Option<Subject>, DrillError> {
    let mut random = StdRng::seed_from_u64(seed);
    choose(
        &archive.catalog,
        &live(archive).await,
        wish,
        most,
        (&mut random, NOW_MS),
    )
    .await
}

#[tokio::test]
async fn old_windows_are_chosen_as_often_as_new_ones_and_none_is_too_young() {
    let archive = years().await;
    let windows = Windows::of(&live(&archive).await, None, NOW_MS);
    let (mut old, mut new) = (0, 0);
    for seed in 0..400 {
        let (tenant, window) = windows.pick(&mut StdRng::seed_from_u64(seed)).unwrap();
        assert_eq!(tenant.as_str(), "a");
        let range = windows.range(window, 9);
        assert!(range.start < range.end && range.end <= NOW_MS - 3_600_000, "{range:?}");
        assert_eq!(range.start % WINDOW_MS, 0);
        let day = range.start.div_euclid(DAY_MS);
        let held: BTreeSet<i64> = (0..8).chain((1..24).map(|month| month * 30)).collect();
        assert!(
            held.contains(&(i64::from(TODAY) - day)),
            "day {day} is not in the archive"
        );
        match range.start < NOW_MS - 30 * DAY_MS {
            true => old += 1,
            false => new += 1,
        }
    }
    assert!(old > 60 && new > 60, "{old} old, {new} new");
}

#[tokio::test]
async fn absurd_times_take_no_time() {
    let archive = Archive::new();
    let rows = vec![emberkeep_model::MIN_TIMESTAMP, NOW_MS - DAY_MS];
    archive.flush(&[("a", "x", rows)], NOW_MS).await;
    let windows = Windows::of(&live(&archive).await, None, NOW_MS);
    for seed in 0..50 {
        assert!(windows.pick(&mut StdRng::seed_from_u64(seed)).is_some());
    }
    let nobody = "b".parse().unwrap();
    let none = Windows::of(&live(&archive).await, Some(&nobody), NOW_MS);
    assert_eq!(none.pick(&mut StdRng::seed_from_u64(1)), None);
}

#[tokio::test]
async fn a_seed_chooses_the_same_again_and_others_choose_other_series() {
    let archive = years().await;
    let (mut all, mut some) = (0, BTreeSet::new());
    for seed in 0..60 {
        let wish = Wish::default();
        let first = chosen(&archive, seed, &wish, u64::MAX).await.unwrap();
        assert_eq!(first, chosen(&archive, seed, &wish, u64::MAX).await.unwrap());
        let Some(subject) = first else { continue };
        assert!((subject.range.end - subject.range.start) / WINDOW_MS <= 9);
        match subject.selector {
            None => all += 1,
            Some(text) => {
                parse_selector(&text).unwrap();
                some.insert(text);
            }
        }
    }
    assert!(all > 10 && some.len() > 1, "{all} times all, {some:?}");
}

#[tokio::test]
async fn what_is_chosen_stays_below_the_bound() {
    let archive = years().await;
    let noon = i64::from(TODAY - 1) * DAY_MS + DAY_MS / 2;
    let range = |hours: i64| TimeRange {
        start: noon,
        end: noon + hours * 3_600_000,
    };
    let tenant = "a".parse().unwrap();
    let live = live(&archive).await;
    let (small, large) = (estimate(&live, &tenant, range(2)), estimate(&live, &tenant, range(12)));
    assert!(small > 0 && large > small, "{small} {large}");
    for seed in 0..30 {
        if let Some(subject) = chosen(&archive, seed, &Wish::default(), small).await.unwrap() {
            assert!(subject.estimate <= small, "{subject:?}");
        }
    }
    let wish = Wish {
        tenant: Some(tenant),
        range: Some(range(12)),
        ..Wish::default()
    };
    assert!(matches!(
        chosen(&archive, 1, &wish, large - 1).await,
        Err(DrillError::Invalid(_))
    ));
    assert!(chosen(&archive, 1, &wish, large).await.unwrap().is_some());
    let nowhere = Wish {
        range: Some(TimeRange { start: 0, end: 1 }),
        ..wish
    };
    assert!(matches!(
        chosen(&archive, 1, &nowhere, large).await,
        Err(DrillError::Nothing(_))
    ));
}

#[test]
fn selectors_survive_every_value() {
    let nasty = "a\\b\"c\nd\u{1}\u{7f}é}";
    let text = selector([("__name__", "up"), ("my.label", nasty), ("job", "x")]);
    let labels = |value| emberkeep_model::Labels::from_pairs([("__name__", "up"), ("job", "x"), ("my.label", value)]);
    let selection = Selection::parse(&[text]).unwrap();
    assert!(selection.selects(&labels(nasty).unwrap()));
    assert!(!selection.selects(&labels("a").unwrap()));
}

/// A program with the reader's commands that is a shell script. Another process writes it: a program that is open for writing, if only in
/// a child of another test, cannot be run.
fn script(scratch: &Path, text: &str) -> PathBuf {
    let (path, source) = (scratch.join("fake-reader"), scratch.join("fake-reader.sh"));
    std::fs::write(&source, format!("#!/bin/sh\n{text}\n")).unwrap();
    let mut install = Command::new("install");
    assert!(
        install
            .args(["-m", "755"])
            .arg(&source)
            .arg(&path)
            .status()
            .unwrap()
            .success()
    );
    path
}

fn catalog(archive: &Archive) -> Catalog {
    Catalog::new(Arc::clone(archive.catalog.store()))
}

fn drill(archive: &Archive, scratch: &Path, text: &str) -> Drill {
    let settings = DrillSettings {
        reader: Some(script(scratch, text)),
        max_duration: Duration::from_secs(30),
        ..DrillSettings::new(scratch.join("drill"), Vec::new())
    };
    let clock = Arc::new(ManualClock::new(NOW_MS));
    Drill::new(catalog(archive), settings, clock)
}

/// An export that writes one block, and a verification that ends as it is told.
fn commands(verify: &str) -> String {
    format!(
        r#"if [ "$1" = export-tsdb ]; then
for word in "$@"; do last="$word"; done
mkdir -p "$last/01ABC" && echo '{{}}' > "$last/01ABC/meta.json"
else {verify}
fi"#
    )
}

#[tokio::test]
async fn results_are_noted_shown_and_never_taken_back_by_a_failure() {
    let archive = years().await;
    let scratch = tempfile::tempdir().unwrap();
    let proven = commands(r#"echo '{"verdict":"proven","checked":{"compared_rows":5,"compared_series":2}}'"#);
    let (report, state) = drill(&archive, scratch.path(), &proven)
        .run(&Wish::default())
        .await
        .unwrap();
    assert_eq!(
        (report.outcome, report.rows, report.blocks),
        (DrillOutcome::Proven, 5, 1)
    );
    assert_eq!((state.last_proven, state.failed), (Some(NOW_MS), 0));
    assert!(!scratch.path().join("drill/work").exists());

    for (verify, outcome, said) in [
        (
            r#"echo '{"verdict":"different","differences":3,"checked":{},"findings":[{"object":"b","expected":"1","found":"2"}]}'; exit 2"#,
            DrillOutcome::Different,
            "3 differences, the first in `b`: expected 1, found 2",
        ),
        // Nothing was compared: that is no proof.
        (
            r#"echo '{"verdict":"proven","checked":{"compared_rows":0}}'"#,
            DrillOutcome::Error,
            "it ended with code 0",
        ),
        (r#"echo no json"#, DrillOutcome::Error, "cannot be used"),
        (
            r#"echo 'the store is away' >&2; exit 1"#,
            DrillOutcome::Error,
            "the store is away",
        ),
        (r#"kill -9 $$"#, DrillOutcome::Error, "a signal ended it"),
    ] {
        let wish = Wish {
            files: FailedFiles::Kept,
            ..Wish::default()
        };
        let (report, state) = drill(&archive, scratch.path(), &commands(verify))
            .run(&wish)
            .await
            .unwrap();
        let reason = report.reason.unwrap();
        assert!(report.outcome == outcome && reason.contains(said), "{reason}");
        assert_eq!(state.last_proven, Some(NOW_MS));
        let kept = PathBuf::from(report.kept.unwrap());
        assert!(kept.join("blocks/01ABC/meta.json").exists());
        std::fs::remove_dir_all(kept).unwrap();
    }
    let state = DrillState::load(&archive.catalog).await.unwrap();
    assert_eq!((state.proven, state.failed), (1, 5));

    let (shown, mut metrics) = (DrillMetrics::default(), Metrics::new("compactor"));
    shown.register(metrics.registry());
    shown.know(&state);
    shown.know(&state);
    let text = metrics.expose(Exposition::Text);
    for line in [
        "emberkeep_last_proven_restore_timestamp_seconds 1795176000.0",
        "emberkeep_drill_failures_total 5",
        "emberkeep_drills_proven_total 1",
        "emberkeep_last_drill_proven 0",
    ] {
        assert!(text.contains(line), "no `{line}` in\n{text}");
    }
}

#[tokio::test]
async fn bounds_of_time_and_size_end_the_children() {
    let archive = years().await;
    let scratch = tempfile::tempdir().unwrap();
    let slow = drill(&archive, scratch.path(), "exec sleep 600");
    let slow = Drill::new(
        catalog(&archive),
        DrillSettings {
            max_duration: Duration::from_millis(200),
            ..slow.settings().clone()
        },
        Arc::new(ManualClock::new(NOW_MS)),
    );
    let (report, _) = slow.run(&Wish::default()).await.unwrap();
    assert!(
        report.reason.as_ref().unwrap().contains("a drill may take 200ms"),
        "{report:?}"
    );

    let writes = r#"for word in "$@"; do last="$word"; done; mkdir -p "$last"
head -c 3000000 /dev/zero > "$last/large"; exec sleep 600"#;
    let large = drill(&archive, scratch.path(), writes);
    let large = Drill::new(
        catalog(&archive),
        DrillSettings {
            max_bytes: 1_000_000,
            ..large.settings().clone()
        },
        Arc::new(ManualClock::new(NOW_MS)),
    );
    let (report, _) = large.run(&Wish::default()).await.unwrap();
    assert!(
        report.reason.as_ref().unwrap().contains("larger than 1000000 bytes"),
        "{report:?}"
    );
    assert!(!scratch.path().join("drill/work").exists());
}

#[test]
fn two_drills_never_run_at_once_and_what_a_killed_one_left_goes() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("drill");
    let held = Scratch::acquire(&directory).unwrap();
    assert!(matches!(Scratch::acquire(&directory), Err(DrillError::Busy(_))));
    let work = held.work().to_owned();
    let mut left = Command::new("sleep")
        .arg("600")
        .env(MARK, &work)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    // As a process that is killed: nothing is cleaned up.
    std::mem::forget(held);
    end_processes(&work);
    assert!(!left.wait().unwrap().success());
    let mut other = Command::new("sleep")
        .arg("600")
        .env(MARK, scratch.path().join("another"))
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    end_processes(&work);
    assert!(
        other.try_wait().unwrap().is_none(),
        "a process of another drill was ended"
    );
    other.kill().unwrap();
    other.wait().unwrap();
}

#[tokio::test]
async fn a_child_ends_when_nobody_waits_for_it_and_its_output_is_bounded() {
    let scratch = tempfile::tempdir().unwrap();
    let sh = |text: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", text]);
        BoundedChild::spawn(command, "sh", scratch.path()).unwrap()
    };
    let deadline = Deadline {
        at: Instant::now() + Duration::from_secs(60),
        limit: Duration::from_secs(60),
    };
    let loud = sh("head -c 9000000 /dev/zero; head -c 90000 /dev/zero | tr '\\0' x >&2; echo last >&2; exit 3");
    let ended = loud.end(deadline, || Ok(())).await.unwrap();
    assert_eq!((ended.code, ended.stdout.len()), (Some(3), 4 << 20));
    assert!(ended.stderr.len() <= 16 << 10 && ended.stderr.ends_with("last\n"));

    // A grandchild ends with it.
    let pid_file = scratch.path().join("pid");
    let family = sh(&format!(
        "sleep 600 & echo $! > {0}.tmp; mv {0}.tmp {0}; wait",
        pid_file.display()
    ));
    while !pid_file.exists() {
        tokio::task::yield_now().await;
    }
    let pid = std::fs::read_to_string(&pid_file).unwrap();
    drop(family);
    let environment = format!("/proc/{}/environ", pid.trim());
    while !std::fs::read(&environment).unwrap_or_default().is_empty() {
        tokio::task::yield_now().await;
    }
}
