//! A local disk that fails to sync, and one that is full.

use emberkeep_disk::{CrashMode, ForgetfulFs};

use crate::found::Found;
use crate::ledger::Ledger;
use crate::life::{Ground, Life};
use crate::request::Request;
use crate::verdict::{all_there, judge};

#[test]
fn after_a_failed_sync_nothing_is_accepted_and_a_start_recovers() {
    let (fs, ledger) = (ForgetfulFs::new(), Ledger::default());
    let life = Life::start(Ground::new(&fs, &ledger)).unwrap();
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
