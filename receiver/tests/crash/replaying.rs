//! A start that replays its log while it takes writes: killed there, killed again, and what waits until it is done.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::handler::Handler;
use emberkeep_disk::{CrashMode, ForgetfulFs, SyncKind};
use emberkeep_model::head::{HeadError, HeadKinds};
use emberkeep_proto::head::encode_request;
use emberkeep_proto::messages::head::HeadReadRequest;

use crate::call_site::call_site;
use crate::found::{Found, commit_records};
use crate::hold::HeldLife;
use crate::killed::crash_resumed;
use crate::ledger::Ledger;
use crate::life::{Ground, Life, everything_of};
use crate::poison::{BODIES, plant};
use crate::record::{distinct, photograph};
use crate::request::Request;
use crate::verdict::{all_there, judge, once_each, ranges_disjoint};

/// A machine on which a process was killed that had seven requests in its log, two in each segment.
fn killed_with_a_log(ledger: &Ledger) -> ForgetfulFs {
    let fs = ForgetfulFs::new();
    let life = Life::start(Ground::new(&fs, ledger)).unwrap();
    for number in 0..7 {
        life.write(&Request::numbered(number)).unwrap();
    }
    assert_eq!(life.segments().len(), 4);
    drop(life);
    fs.restart()
}

fn write(life: &Life, numbers: std::ops::Range<usize>) {
    for number in numbers {
        life.write(&Request::numbered(number)).unwrap();
    }
}

/// Turns enough for something that should wait to go wrong.
fn turns(life: &Life) {
    life.runtime.block_on(async {
        for _ in 0..10_000 {
            tokio::task::yield_now().await;
        }
    });
}

fn read_head(life: &Life) -> Result<(), HeadError> {
    let head = life.receiver.head();
    let mut answers = [HeadKinds::Samples, HeadKinds::Exemplars, HeadKinds::Metadata].into_iter();
    answers.try_for_each(|kinds| {
        let (head, query) = (head.clone(), everything_of("anonymous", kinds));
        let read = async { tokio::task::spawn_blocking(move || head.read(&query)).await };
        life.runtime.block_on(read).unwrap().map(drop)
    })
}

/// Status and text of a head read over HTTP.
fn read_head_over_http(life: &Life) -> (u16, String) {
    let query = HeadReadRequest {
        tenant: "anonymous".to_owned(),
        start_ms: i64::MIN,
        end_ms: i64::MAX,
        ..HeadReadRequest::default()
    };
    let request = axum::http::Request::post("/api/v1/head/read")
        .body(Body::from(encode_request(&query)))
        .unwrap();
    life.runtime.block_on(async {
        let response = Handler::<(), ()>::call(life.route.clone(), request, ()).await;
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8_lossy(&body).into_owned())
    })
}

/// Parts of one log in the order of their commits.
fn committed_ranges(fs: &ForgetfulFs) -> Vec<(u64, u64)> {
    let mut records = commit_records(fs);
    records.sort_by_key(|record| record.seq);
    records
        .into_iter()
        .map(|record| (record.wal.from, record.wal.to))
        .collect()
}

#[test]
fn writes_are_taken_and_everything_else_waits() {
    let ledger = Ledger::default();
    let fs = killed_with_a_log(&ledger);
    let held = HeldLife::start(&fs, &ledger);
    let life = &held.life;
    assert_eq!(life.receiver.ready(), Ok(()));
    write(life, 7..10);
    for crashed in [fs.restart(), fs.crash(CrashMode::LoseAll)] {
        judge(&crashed, &ledger.told()).unwrap();
    }

    let refused = read_head(life).unwrap_err();
    assert!(matches!(&refused, HeadError::Unavailable { why, .. } if why.contains("being replayed")));
    let (status, text) = read_head_over_http(life);
    assert!(status == 503 && text.contains("being replayed"), "{status} {text}");
    assert_eq!(life.metric("replay_running"), 1.0);

    // The open generation is due by its size and by a request; its part would stand before what is older.
    let receiver = life.receiver.clone();
    let flush = life.runtime.spawn(async move { receiver.flush().await });
    turns(life);
    assert!(!flush.is_finished() && life.staged_parts().is_empty() && commit_records(&fs).is_empty());

    held.let_go();
    life.runtime.block_on(flush).unwrap();
    life.settle().unwrap();
    let ranges = committed_ranges(&fs);
    assert!(
        ranges.len() == 5 && ranges.is_sorted(),
        "four replayed ones first: {ranges:?}"
    );
    read_head(life).unwrap();
    assert_eq!(read_head_over_http(life).0, 200);
    assert_eq!(
        (life.metric("replay_running"), life.metric("replayed_records_total")),
        (0.0, 7.0)
    );
    let size = life.metric("replay_size_bytes");
    assert!(size > 0.0 && life.metric("replay_done_bytes") == size);
    let found = Found::read(life).unwrap();
    all_there(&found, &ledger.told()).unwrap();
    once_each(&found, &ledger.told()).unwrap();
    ranges_disjoint(&fs).unwrap();
    assert!(found.head.is_empty());
}

#[test]
fn a_process_killed_again_and_again_in_its_replay_loses_nothing_and_blames_nothing() {
    let ledger = Ledger::default();
    let mut fs = killed_with_a_log(&ledger);
    let segments = |fs: &ForgetfulFs| crate::life::names(fs, std::path::Path::new("/node/data/wal"));
    for death in 0..6 {
        let held = HeldLife::start(&fs, &ledger);
        let next = 7 + 4 * death;
        write(&held.life, next..next + 3);
        // Two generations of this log get into the archive, the third stands half done, and the open one has a record.
        let logs: Vec<_> = segments(&fs)
            .into_iter()
            .filter(|name| name.ends_with(".wal"))
            .collect();
        let committed = commit_records(&fs).len();
        held.move_to(&logs[2]);
        let life = &held.life;
        life.until(|_| commit_records(&fs).len() == committed + 2).unwrap();
        write(life, next + 3..next + 4);
        turns(life);
        assert_eq!(commit_records(&fs).len(), committed + 2);
        assert_eq!(life.receiver.ready(), Ok(()));
        judge(&fs.crash(CrashMode::LoseAll), &ledger.told()).unwrap();
        judge(&fs.crash(CrashMode::Torn(death as u64)), &ledger.told()).unwrap();
        fs = held.kill();
    }
    judge(&fs, &ledger.told()).unwrap();
    let ranges = committed_ranges(&fs);
    assert!(ranges.is_sorted(), "{ranges:?}");
    assert!(segments(&fs).iter().all(|name| name != "set-aside"));
}

#[test]
fn a_crash_at_any_moment_of_such_a_life_loses_nothing() {
    let ledger = Ledger::default();
    let fs = killed_with_a_log(&ledger);
    let play = || {
        let ground = Ground {
            flush_bytes: 1,
            ..Ground::new(&fs, &ledger)
        };
        let life = Life::start(ground)?;
        write(&life, 7..9);
        life.replayed()?;
        write(&life, 9..10);
        life.drain()?;
        life.stop();
        Ok::<_, String>(())
    };
    let (played, shots) = photograph(&fs, &ledger, |_| false, call_site, play);
    played.unwrap();
    for shot in distinct(&shots) {
        let wrong = |wrong| format!("before {} {:?} {}: {wrong}", shot.number, shot.before, shot.site);
        judge(&shot.crash(), &shot.told).map_err(wrong).unwrap();
        judge(&shot.torn(0), &shot.told).map_err(wrong).unwrap();
    }
    // And killed there, with the power lost in the life after that.
    let mut seen = BTreeSet::new();
    let owes = |kind: SyncKind| kind != SyncKind::All;
    for kill in shots
        .iter()
        .filter(|kill| kill.before.as_ref().is_some_and(|(kind, _)| owes(*kind)))
        .filter(|kill| kill.site.starts_with("wal::"))
        .filter(|kill| seen.insert((&kill.before, &kill.site)))
    {
        crash_resumed(kill, |_| false).unwrap();
    }
}

#[test]
fn a_drain_waits_for_the_replay() {
    let ledger = Ledger::default();
    let fs = killed_with_a_log(&ledger);
    let held = HeldLife::start(&fs, &ledger);
    let life = &held.life;
    write(life, 7..8);
    let receiver = life.receiver.clone();
    let drain = life
        .runtime
        .spawn(async move { receiver.drain().await.map_err(|error| error.to_string()) });
    turns(life);
    assert!(!drain.is_finished());
    let refused = life.post(&Request::numbered(8));
    assert!(
        refused.status == 503 && refused.text.contains("draining"),
        "{}",
        refused.text
    );
    held.let_go();
    life.runtime.block_on(drain).unwrap().unwrap();
    assert!(life.segments().is_empty() && life.staged_parts().is_empty());
    all_there(&Found::read(life).unwrap(), &ledger.told()).unwrap();
}

#[test]
fn an_orderly_end_does_not_wait_for_the_replay() {
    let ledger = Ledger::default();
    let fs = killed_with_a_log(&ledger);
    // Each such start would count as a death if it was none, and the records be suspected.
    for _ in 0..5 {
        let held = HeldLife::start(&fs, &ledger);
        let segments = held.life.segments();
        let receiver = held.life.receiver.clone();
        let shutdown = held.life.runtime.spawn(async move { receiver.shutdown().await });
        held.life.until(|life| life.receiver.ready().is_err()).unwrap();
        held.let_go();
        held.life.runtime.block_on(shutdown).unwrap();
        assert_eq!(held.life.segments(), segments);
        assert!(held.life.staged_parts().is_empty());
        drop(held);
    }
    judge(&fs, &ledger.told()).unwrap();
}

#[test]
fn a_full_disk_holds_the_replay_up_and_heals() {
    let ledger = Ledger::default();
    let fs = killed_with_a_log(&ledger);
    // Something must be set aside.
    plant(&fs, 1000, BODIES[0], 1);
    let held = HeldLife::start_on(Ground::new(&fs, &ledger));
    let life = &held.life;
    write(life, 7..8);
    fs.set_space(fs.used_space());
    held.let_go();
    life.until(|life| life.metric("replayed_records_total") >= 7.0).unwrap();
    turns(life);
    assert!(read_head(life).is_err());
    assert_eq!(life.receiver.ready(), Ok(()));
    fs.unlimited_space();
    life.replayed().unwrap();
    all_there(&Found::read(life).unwrap(), &ledger.told()).unwrap();
    assert_eq!(life.metric("replay_damage_total"), 1.0);
}

#[test]
fn a_record_that_only_a_newer_program_can_judge_stops_everything_and_loses_nothing() {
    let ledger = Ledger::default();
    let fs = killed_with_a_log(&ledger);
    plant(&fs, 1000, BODIES[0], 99);
    // At the end of the log it is found before anything is taken.
    let refused = Life::start(Ground::new(&fs, &ledger)).err().unwrap();
    assert!(refused.contains("validator version 99"), "{refused}");

    plant(&fs, 1001, BODIES[0], 1);
    let held = HeldLife::start(&fs, &ledger);
    let life = &held.life;
    write(life, 7..8);
    held.let_go();
    life.until(|life| life.receiver.ready().is_err()).unwrap();
    let why = life.receiver.ready().unwrap_err();
    assert!(why.contains("validator version 99") && why.contains("1000"), "{why}");
    let refused = life.post(&Request::numbered(8));
    assert_eq!((refused.status, refused.retry_after), (503, true), "{}", refused.text);
    let refused = read_head(life).unwrap_err();
    assert!(matches!(&refused, HeadError::Unavailable { why, .. } if why.contains("validator version 99")));
    let undrained = life.drain().unwrap_err();
    assert!(undrained.contains("validator version 99"), "{undrained}");
    // What was before it may be staged; the new record must not be, before what is older.
    turns(life);
    let left = life.segments();
    assert!(left.len() >= 3, "the two planted ones, and the new one: {left:?}");
    // A program that knows more finds everything: as if the record had gone.
    let killed = held.kill();
    let planted = left.iter().find(|name| name.contains("1000.wal")).unwrap();
    emberkeep_disk::FileSystem::remove_file(&killed, &std::path::Path::new("/node/data/wal").join(planted)).unwrap();
    let life = Life::start(Ground::new(&killed, &Ledger::default())).unwrap();
    let found = Found::read(&life).unwrap();
    all_there(&found, &ledger.told()).unwrap();
    once_each(&found, &ledger.told()).unwrap();
}
