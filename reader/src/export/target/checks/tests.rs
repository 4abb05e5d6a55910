//! Each way in which a restore goes wrong, as facts and a plan: refused by name, or told with what to set.

use ulid::Ulid;

use super::super::server::Retention;
use super::*;

const W: i64 = 2 * HOUR_MS;
const NOW: i64 = 1_800_000_000_000;

fn block(start: i64, end: i64, samples: u64) -> PlannedBlock {
    PlannedBlock {
        window: TimeRange { start, end },
        windows: 1,
        parts: 1,
        samples,
        series: 1,
        end,
    }
}

fn ago(days: i64) -> PlannedBlock {
    let end = (NOW - days * DAY_MS) / W * W;
    block(end - W, end, 1_000)
}

fn directory() -> DirectoryFacts {
    DirectoryFacts {
        path: "/data".into(),
        misplaced: None,
        is_running: true,
        has_wal: true,
        owner: (65_534, 65_534),
        own: (65_534, 65_534),
        blocks: Vec::new(),
        unreadable: Vec::new(),
        block_bytes: 0,
        available: 1 << 40,
        capacity: 1 << 41,
    }
}

fn there(start: i64, end: i64) -> BlockMeta {
    let text = format!(
        r#"{{"ulid":"{}","minTime":{start},"maxTime":{end},"compaction":{{"level":1}},"version":1}}"#,
        Ulid(7)
    );
    serde_json::from_str(&text).expect("a description")
}

fn server() -> ServerFacts {
    ServerFacts {
        version: PrometheusVersion(3, 14),
        retention: Retention {
            time_ms: Some(400 * DAY_MS),
            ..Retention::default()
        },
        external_labels: Vec::new(),
        head_min_time: Some(NOW - W),
        hides_remote: false,
    }
}

fn found(directory: Option<DirectoryFacts>, server: Option<ServerFacts>, blocks: &[PlannedBlock]) -> Vec<Finding> {
    let wanted = Wanted {
        blocks,
        range: TimeRange::ALL,
        has_histograms: true,
        start_timestamps: false,
        now_ms: NOW,
    };
    all(&TargetFacts { directory, server }, &wanted)
}

fn refusals(findings: &[Finding]) -> Vec<CheckName> {
    let checks = findings.iter().filter_map(|finding| match finding {
        Finding::Refused { check, .. } => Some(*check),
        Finding::Told(_) => None,
    });
    checks.collect()
}

fn says(findings: &[Finding], text: &str) -> bool {
    findings.iter().any(|finding| match finding {
        Finding::Refused { why, .. } => why.contains(text),
        Finding::Told(what) => what.contains(text),
    })
}

#[test]
fn an_export_that_works_is_not_stopped() {
    let blocks = [ago(30), ago(29)];
    for findings in [
        found(None, None, &blocks),
        found(Some(directory()), None, &blocks),
        found(Some(directory()), Some(server()), &blocks),
        found(None, Some(server()), &blocks),
    ] {
        assert_eq!(refusals(&findings), [], "{findings:?}");
    }
    assert!(says(
        &found(Some(directory()), None, &blocks),
        "--storage.tsdb.retention.time=32d"
    ));
    assert!(says(
        &found(Some(directory()), Some(server()), &blocks),
        "needs no restart"
    ));
}

#[test]
fn what_retention_would_delete_is_refused() {
    let kept = |days: i64| ServerFacts {
        retention: Retention {
            time_ms: Some(days * DAY_MS),
            ..Retention::default()
        },
        ..server()
    };
    let blocks = [ago(30), ago(10)];
    let findings = found(Some(directory()), Some(kept(15)), &blocks);
    assert_eq!(refusals(&findings), [CheckName::Retention]);
    assert!(
        says(&findings, "delete 1 of 2 blocks") && says(&findings, "retention.time=32d"),
        "{findings:?}"
    );
    assert_eq!(refusals(&found(Some(directory()), Some(kept(31)), &blocks)), []);
    // An empty server: nothing is newer now, and everything will be as soon as it scrapes.
    let empty = DirectoryFacts {
        has_wal: false,
        is_running: true,
        ..directory()
    };
    assert_eq!(
        refusals(&found(Some(empty), Some(kept(15)), &[ago(30)])),
        [CheckName::Retention]
    );

    let sized = ServerFacts {
        retention: Retention {
            bytes: Some(1 << 30),
            ..Retention::default()
        },
        ..server()
    };
    let full = DirectoryFacts {
        block_bytes: (1 << 30) - 100,
        ..directory()
    };
    let findings = found(Some(full), Some(sized.clone()), &blocks);
    assert_eq!(refusals(&findings), [CheckName::Retention]);
    assert!(says(&findings, "retention.size"));
    assert_eq!(refusals(&found(Some(directory()), Some(sized), &blocks)), []);
    let percent = ServerFacts {
        retention: Retention {
            percent: Some(50.0),
            ..Retention::default()
        },
        ..server()
    };
    let half_full = DirectoryFacts {
        block_bytes: 1 << 40,
        ..directory()
    };
    assert_eq!(
        refusals(&found(Some(half_full), Some(percent), &blocks)),
        [CheckName::Retention]
    );
}

#[test]
fn overlaps_are_refused() {
    let block = ago(30);
    let (start, end) = (block.window.start, block.window.end);
    let with = |start, end| DirectoryFacts {
        blocks: vec![there(start, end), there(NOW - 2 * W, NOW - W)],
        ..directory()
    };
    for (from, to, is_common) in [
        (start - W, start, false),
        (end, end + W, false),
        (start + 5, start + 6, true),
        (start - W, end + W, true),
        (end - 1, end + W, true),
    ] {
        let findings = found(Some(with(from, to)), None, &[block]);
        assert_eq!(
            refusals(&findings).contains(&CheckName::Overlap),
            is_common,
            "{from} {to}"
        );
    }
}

#[test]
fn what_a_head_would_forget_is_refused() {
    let newest = NOW / W * W - W;
    let used = DirectoryFacts {
        blocks: vec![there(newest - W, newest)],
        ..directory()
    };
    let later = block(newest, newest + W, 1);
    let findings = found(Some(used.clone()), None, &[later]);
    assert_eq!(refusals(&findings), [CheckName::Recent]);
    assert!(says(&findings, &format!("--to={}", moment(newest))), "{findings:?}");
    let earlier = block(newest - 2 * W, newest - W, 1);
    assert_eq!(refusals(&found(Some(used.clone()), None, &[earlier])), []);
    // A young server has no block yet; its head says since when it has samples.
    let young = ServerFacts {
        head_min_time: Some(newest + HOUR_MS),
        ..server()
    };
    assert_eq!(
        refusals(&found(None, Some(young.clone()), &[block(newest, newest + HOUR_MS, 1)])),
        []
    );
    assert_eq!(refusals(&found(None, Some(young), &[later])), [CheckName::Recent]);
    // Without a log nothing can be forgotten.
    let empty = DirectoryFacts {
        has_wal: false,
        ..directory()
    };
    assert_eq!(refusals(&found(Some(empty), None, &[later])), []);
}

#[test]
fn room_owner_version_and_place_are_checked() {
    let full = DirectoryFacts {
        available: 1_000,
        ..directory()
    };
    let findings = found(Some(full), None, &[ago(1)]);
    assert_eq!(refusals(&findings), [CheckName::Space]);
    assert!(says(&findings, "1000B left"), "{findings:?}");

    let others = DirectoryFacts {
        own: (1_000, 1_000),
        ..directory()
    };
    assert_eq!(refusals(&found(Some(others), None, &[ago(1)])), [CheckName::Owner]);
    let of_root = DirectoryFacts {
        own: (0, 0),
        ..directory()
    };
    let findings = found(Some(of_root), None, &[ago(1)]);
    assert_eq!(refusals(&findings), []);
    assert!(says(&findings, "given to them"));

    let old = ServerFacts {
        version: PrometheusVersion(2, 39),
        ..server()
    };
    assert_eq!(refusals(&found(None, Some(old), &[ago(1)])), [CheckName::Version]);
    let starts = Wanted {
        blocks: &[ago(1)],
        range: TimeRange::ALL,
        has_histograms: false,
        start_timestamps: true,
        now_ms: NOW,
    };
    let facts = TargetFacts {
        directory: None,
        server: Some(ServerFacts {
            version: PrometheusVersion(2, 42),
            ..server()
        }),
    };
    assert_eq!(refusals(&all(&facts, &starts)), [CheckName::Version]);

    let other_server = DirectoryFacts {
        is_running: false,
        ..directory()
    };
    assert_eq!(
        refusals(&found(Some(other_server), Some(server()), &[ago(1)])),
        [CheckName::Directory]
    );
}

#[test]
fn what_hides_the_archive_is_told() {
    let hiding = ServerFacts {
        hides_remote: true,
        ..server()
    };
    assert!(says(&found(None, Some(hiding), &[ago(1)]), "read_recent: true"));
    let damaged = DirectoryFacts {
        unreadable: vec!["`01X`".to_owned()],
        ..directory()
    };
    assert!(says(
        &found(Some(damaged), None, &[ago(1)]),
        "cannot be read keep a server"
    ));
}
