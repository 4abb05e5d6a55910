//! The commands of upkeep through the binary, as an operator runs them on an archive.

#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "tests inside of the crate choose their own time")]
#[path = "../src/fixture.rs"]
mod fixture;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use emberkeep_service::clock::{Clock, SystemClock};
use serde_json::Value;

use fixture::{Archive, DAY_MS, times};

/// An archive with one merged day 40 days ago, 11 later ones, and a flush of today.
async fn archive() -> (Archive, i64) {
    let archive = Archive::new();
    let now_ms = SystemClock.now_ms();
    let today = i32::try_from(now_ms / DAY_MS).unwrap();
    for day in [today - 40].into_iter().chain(today - 13..today - 2) {
        let rows = [("debug", times(day, 60)), ("x", times(day, 60))];
        archive.merged("a", day, &rows, &[], i64::from(day + 1) * DAY_MS).await;
    }
    archive
        .flush(
            &[("a", "x", times(today - 1, 60)), ("b", "x", times(today - 1, 60))],
            now_ms - 1000,
        )
        .await;
    (archive, now_ms)
}

fn run(archive: &Archive, config: &str, arguments: &[&str]) -> Output {
    let directory = archive.path();
    let directory: &Path = directory.parent().unwrap();
    let file = directory.join("emberkeep.yml");
    std::fs::write(&file, format!("storage: {{path: {}}}\n{config}", directory.display())).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_compactor"));
    command.args(arguments).arg("--config.file").arg(file);
    command.stdin(Stdio::null()).output().unwrap()
}

fn done(archive: &Archive, config: &str, arguments: &[&str]) -> String {
    let output = run(archive, config, arguments);
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {log}");
    String::from_utf8(output.stdout).unwrap()
}

fn refused(archive: &Archive, config: &str, arguments: &[&str]) -> String {
    let output = run(archive, config, arguments);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {text}");
    assert!(!text.contains("panicked") && output.stdout.is_empty(), "{text}");
    text
}

fn json(archive: &Archive, config: &str, arguments: &[&str]) -> Value {
    serde_json::from_str(&done(archive, config, &[arguments, &["-o", "json"]].concat())).unwrap()
}

/// The word after another one.
fn word_after<'a>(text: &'a str, before: &str) -> &'a str {
    let rest = text
        .split_once(before)
        .unwrap_or_else(|| panic!("no `{before}` in {text}"))
        .1;
    rest.split_whitespace().next().unwrap().trim_matches('`')
}

#[tokio::test]
async fn retention_is_looked_at_confirmed_and_taken_back() {
    let (archive, _) = archive().await;
    let strict = "retention: {keep: 10d}\n";
    let text = done(&archive, strict, &["retention", "--dry-run"]);
    assert!(
        text.contains("now") && text.contains("waits for `compactor retention --yes`"),
        "{text}"
    );
    let told = json(&archive, strict, &["retention", "--dry-run"]);
    assert_eq!(told["needs_confirmation"], true);
    assert_eq!(
        told["parts"].as_array().unwrap().len(),
        13,
        "and what goes within 30 days"
    );
    let text = refused(&archive, strict, &["retention"]);
    assert!(
        text.contains("more than 10 %") && text.contains("compactor retention --yes"),
        "{text}"
    );
    assert_eq!(archive.live().await.len(), 13);

    let mild = "retention: {keep: 30d}\n";
    let text = done(&archive, mild, &["retention"]);
    assert!(
        text.contains("removed 1 parts") && archive.live().await.len() == 12,
        "{text}"
    );
    let root = word_after(&text, "--to-root ").to_owned();
    assert!(done(&archive, mild, &["retention"]).contains("nothing is older"));
    let status = json(&archive, mild, &["status"]);
    assert_eq!(
        (&status["condemned"][0]["why"], &status["condemned"][0]["files"]),
        (&Value::from("expired"), &Value::from(2))
    );

    let text = done(&archive, mild, &["rollback", "--to-root", &root, "--dry-run"]);
    assert!(
        text.contains("would bring back") && archive.live().await.len() == 12,
        "{text}"
    );
    let text = done(&archive, mild, &["rollback", "--to-root", &root]);
    assert!(
        text.contains("brought back") && text.contains("takes it away again"),
        "{text}"
    );
    assert_eq!(archive.live().await.len(), 13);
    assert!(refused(&archive, mild, &["rollback", "--to-root", "999"]).contains("no root 999"));
    assert!(refused(&archive, mild, &["rollback"]).contains("--to-root"));

    assert!(done(&archive, strict, &["retention", "--yes"]).contains("removed 4 parts"));
    assert!(refused(&archive, "retention: {rules: [{keep: 1d}]}\n", &["retention"]).contains("rule 1"));
}

#[tokio::test]
async fn a_deletion_is_estimated_made_listed_and_lifted() {
    let (archive, now_ms) = archive().await;
    let delete = [
        "delete",
        "--tenant=a",
        "--match={job=\"debug\"}",
        "--reason=gdpr 7",
        "--who=dpo",
    ];
    let told = json(&archive, "", &[&delete[..], &["--dry-run"]].concat());
    assert_eq!(
        (&told["extent"]["rows"], &told["needs_confirmation"]),
        (&Value::from(720), &Value::from(true))
    );
    assert!(refused(&archive, "", &delete).contains("--yes"));
    let midnight = |ago: i64| (now_ms / DAY_MS - ago) * DAY_MS / 1000;
    let (from, to) = (format!("--from={}", midnight(13)), format!("--to={}", midnight(12)));
    let few = [&delete[..], &[&from, &to]].concat();
    let text = done(&archive, "", &few);
    let id = word_after(&text, "compactor undelete ").to_owned();
    let listed = done(&archive, "", &["masks"]);
    for expected in [
        id.as_str(),
        "gdpr 7",
        "dpo",
        "job=\"debug\"",
        "1 parts not yet rewritten",
    ] {
        assert!(listed.contains(expected), "{listed}");
    }
    assert!(text.contains("60 rows in 1 parts are recorded"), "{text}");
    let records = done(&archive, "", &["masks", "--records"]);
    assert!(
        records.contains("hid 60 rows in 1 parts") && records.contains("hides in files 60 rows"),
        "{records}"
    );
    assert!(done(&archive, "", &["undelete", &id]).contains("holds no more"));
    assert!(done(&archive, "", &["masks"]).is_empty());
    assert!(refused(&archive, "", &["undelete", &id]).contains("no mask"));
    for wrong in [
        &["delete", "--reason=x", "--match={"][..],
        &["delete", "--match=up"],
        &["delete", "--reason=x"],
    ] {
        refused(&archive, "", wrong);
    }
}

#[tokio::test]
async fn a_lock_stops_deletion_and_retention() {
    let (archive, _) = archive().await;
    let text = done(
        &archive,
        "",
        &[
            "lock",
            "--from=-41d",
            "--to=-39d",
            "--tenant=a",
            "--reason=lawsuit",
            "--who=legal",
        ],
    );
    let id = word_after(&text, "locked: ").to_owned();
    let text = refused(
        &archive,
        "",
        &["delete", "--tenant=a", "--match=up", "--reason=x", "--yes"],
    );
    assert!(text.contains(&id) && text.contains("lawsuit"), "{text}");
    let config = "retention: {keep: 30d}\n";
    assert!(done(&archive, config, &["retention", "--dry-run"]).contains(&format!("kept by lock {id}")));
    assert!(done(&archive, config, &["retention"]).contains("nothing is older"));
    assert!(done(&archive, "", &["locks"]).contains("lawsuit"));
    assert_eq!(json(&archive, "", &["status"])["locks"][0]["id"], id);
    assert!(done(&archive, "", &["unlock", &id]).contains("released"));
    assert!(done(&archive, config, &["retention"]).contains("removed 1 parts"));
}

#[tokio::test]
async fn damage_is_found_by_a_scrub_and_told_by_the_status() {
    let (archive, _) = archive().await;
    assert!(done(&archive, "", &["scrub"]).contains("0 are damaged"));
    let live = archive.catalog.live().await.unwrap();
    let victim = live.parts().last().unwrap().clone();
    let file = archive.path().join(&victim.files[0].path);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[100] ^= 4;
    std::fs::write(&file, bytes).unwrap();
    let output = run(&archive, "", &["scrub"]);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(&format!("damaged: {}", victim.ulid)), "{text}");
    assert!(done(&archive, "", &["status"]).contains(&format!("quarantine {}", victim.ulid)));
}

#[tokio::test]
async fn a_lost_catalog_is_rebuilt() {
    let (archive, _) = archive().await;
    let live = archive.live().await;
    assert!(refused(&archive, "", &["rebuild"]).contains("can be read"));
    for folder in ["roots", "manifests", "log", "receivers"] {
        let _ = std::fs::remove_dir_all(archive.path().join("_archive").join(folder));
    }
    let text = done(&archive, "", &["rebuild", "--dry-run"]);
    assert!(text.contains("there is no root") && text.contains("13 parts"), "{text}");
    let text = done(&archive, "", &["rebuild"]);
    assert!(text.contains("root 1 holds all that"), "{text}");
    let store = emberkeep_archive::StoreConfig::directory(archive.path())
        .open()
        .unwrap();
    let catalog = emberkeep_archive::Catalog::new(store);
    let mut parts: Vec<_> = catalog.live().await.unwrap().parts().map(|part| part.ulid).collect();
    parts.sort();
    assert_eq!(parts, live);
}

#[tokio::test]
async fn orphans_are_listed_then_condemned() {
    let (archive, now_ms) = archive().await;
    let day = i32::try_from(now_ms / DAY_MS).unwrap() - 5;
    let left = archive.compacted("a", day, &[("z", times(day, 5))], &[], now_ms - 2 * DAY_MS);
    let text = done(&archive, "", &["collect", "--dry-run"]);
    assert!(
        text.contains(&left.files[0].path) && text.contains("2 of 28 files"),
        "{text}"
    );
    let text = done(&archive, "", &["collect", "--orphans"]);
    assert!(
        text.contains("2 of 28 files belong to nothing and are condemned"),
        "{text}"
    );
    assert!(done(&archive, "", &["collect"]).contains("deleted 0 files"));
    assert!(archive.path().join(&left.files[0].path).exists());
}
