//! A local disk that fails to sync, and one that is full.

use std::sync::Arc;

use emberkeep_disk::{CrashMode, ForgetfulFs};

use crate::call_site::call_site;
use crate::found::Found;
use crate::gate::Gate;
use crate::ledger::Ledger;
use crate::life::{Ground, Life};
use crate::record::{distinct, photograph};
use crate::request::Request;
use crate::verdict::{all_there, judge, once_each, ranges_disjoint};

#[test]
fn after_a_failed_sync_nothing_is_accepted_and_a_start_recovers() {
    let (fs, ledger) = (ForgetfulFs::new(), Ledger::default());
    let life = Life::start(Ground::new(&fs, &ledger)).unwrap();
    life.claimed().unwrap();
    life.write(&Request::numbered(0)).unwrap();
    assert_eq!((life.fatal_calls(), life.receiver.ready()), (0, Ok(())));

    fs.fail_sync(1);
    let failed = life.post(&Request::numbered(1));
    assert_eq!((failed.status, failed.retry_after), (503, true), "{}", failed.text);
    life.until(|life| life.fatal_calls() > 0).unwrap();
    assert_eq!(life.fatal_calls(), 1);
    let why = life.receiver.ready().unwrap_err();
    assert!(why.contains("write-ahead log"), "{why}");
    for number in 2..4 {
        let refused = life.post(&Request::numbered(number));
        assert_eq!((refused.status, refused.retry_after), (503, true), "{}", refused.text);
    }
    assert_eq!(ledger.told().acknowledged, Request::numbered(0).keys());
    drop(life);
    // Only the process ended, and the machine with it.
    judge(&fs.restart(), &ledger.told()).unwrap();
    judge(&fs.crash(CrashMode::LoseAll), &ledger.told()).unwrap();
}

#[test]
fn a_full_disk_puts_off_and_heals() {
    let (fs, ledger) = (ForgetfulFs::new(), Ledger::default());
    let life = Life::start(Ground::new(&fs, &ledger)).unwrap();
    life.claimed().unwrap();
    for number in 0..3 {
        life.write(&Request::numbered(number)).unwrap();
    }
    fs.set_space(fs.used_space());
    let mut refused = Vec::new();
    for number in 3..6 {
        let answer = life.post(&Request::numbered(number));
        match answer.status {
            204 => assert!(refused.is_empty(), "what was allocated before may still be filled"),
            _ => {
                assert_eq!((answer.status, answer.retry_after), (503, true), "{}", answer.text);
                assert!(answer.text.contains("/node/data"), "{}", answer.text);
                refused.push(number);
            }
        }
    }
    assert!(!refused.is_empty());
    assert_eq!(
        (life.fatal_calls(), life.receiver.ready()),
        (0, Ok(())),
        "a full disk is no reason to stop"
    );
    let full = fs.crash(CrashMode::LoseAll);
    judge(&full, &ledger.told()).unwrap();

    fs.unlimited_space();
    for number in refused {
        life.write(&Request::numbered(number)).unwrap();
    }
    life.drain().unwrap();
    let found = Found::read(&life).unwrap();
    all_there(&found, &ledger.told()).unwrap();
    assert!(found.head.is_empty());
}

#[test]
fn a_disk_too_full_to_flush_keeps_the_data_in_the_log() {
    let (fs, ledger) = (ForgetfulFs::new(), Ledger::default());
    let life = Life::start(Ground::new(&fs, &ledger)).unwrap();
    for number in 0..3 {
        life.write(&Request::numbered(number)).unwrap();
    }
    fs.set_space(fs.used_space() + 100);
    let receiver = life.receiver.clone();
    let flush = life.runtime.spawn(async move { receiver.flush().await });
    // It has tried, and failed, and will again.
    life.until(|life| life.failures() > 0).unwrap();
    let found = Found::read(&life).unwrap();
    all_there(&found, &ledger.told()).unwrap();
    judge(&fs.crash(CrashMode::LoseAll), &ledger.told()).unwrap();
    assert!(!flush.is_finished());

    fs.unlimited_space();
    life.runtime.block_on(flush).unwrap();
    life.settle().unwrap();
    let found = Found::read(&life).unwrap();
    all_there(&found, &ledger.told()).unwrap();
    assert!(found.head.is_empty() && life.segments().is_empty());
}

#[test]
fn a_start_on_a_full_disk_replays_nothing_that_a_staged_part_replaces() {
    let (fs, ledger) = (ForgetfulFs::new(), Ledger::default());
    let (_, shots) = photograph(
        &fs,
        &ledger,
        |_| false,
        call_site,
        || {
            let life = Life::start(Ground::new(&fs, &ledger)).unwrap();
            life.write(&Request::numbered(0)).unwrap();
            life.flush().unwrap();
        },
    );
    // The part is staged, and its segments are about to go.
    let staged = shots
        .iter()
        .find(|shot| shot.site.starts_with("receiver::identity::raise_floor"))
        .unwrap();
    let fs = staged.crash();
    fs.set_space(fs.used_space());
    let life = Life::start(Ground::new(&fs, &ledger)).unwrap();
    assert_eq!(
        (life.segments().len(), life.staged_parts().len()),
        (1, 1),
        "no space to note that the segment goes"
    );
    let full = Found::read(&life).unwrap();
    all_there(&full, &ledger.told()).unwrap();

    fs.unlimited_space();
    life.flush().unwrap();
    life.settle().unwrap();
    let found = Found::read(&life).unwrap();
    all_there(&found, &ledger.told()).unwrap();
    once_each(&found, &ledger.told()).unwrap();
    ranges_disjoint(&fs).unwrap();
    assert!(life.segments().is_empty());
}

#[test]
fn a_segment_that_could_not_be_removed_goes_before_the_part_that_replaced_it() {
    let (fs, ledger) = (ForgetfulFs::new(), Ledger::default());
    let gate = Gate::failing_a_removal(&fs);
    let ground = Ground {
        local_fs: Arc::new(gate.clone()),
        ..Ground::new(&fs, &ledger)
    };
    let (_, shots) = photograph(
        &fs,
        &ledger,
        |_| false,
        String::new,
        || {
            let life = Life::start(ground).unwrap();
            life.write(&Request::numbered(0)).unwrap();
            life.flush().unwrap();
            assert_eq!(gate.refused(), 1);
            life.settle().unwrap();
            assert!(life.segments().is_empty());
        },
    );
    for shot in distinct(&shots) {
        judge(&shot.crash(), &shot.told).unwrap();
    }
}
