//! Two incarnations of one receiver at the same time: a restored disk image beside the machine it was taken from.

use std::path::Path;

use emberkeep_disk::{FileSystem, ForgetfulFs, create_dir_all_durable, read_to_vec, write_new_durable};

use crate::found::{Found, commit_records};
use crate::ledger::Ledger;
use crate::life::{DATA, Ground, Life};
use crate::request::Request;
use crate::verdict::{all_there, once_each};

const COPY: &str = "/copy";

fn copy(fs: &dyn FileSystem, from: &Path, to: &Path) {
    create_dir_all_durable(fs, to).unwrap();
    for entry in fs.read_dir(from).unwrap() {
        let (source, target) = (from.join(&entry.name), to.join(&entry.name));
        if entry.is_dir() {
            copy(fs, &source, &target);
        } else {
            write_new_durable(fs, &target, &read_to_vec(fs, &source, 1 << 20).unwrap()).unwrap();
        }
    }
}

/// A receiver that has committed once, and a copy of its data directory.
fn twins(fs: &ForgetfulFs, ledger: &Ledger) -> (Life, Ground) {
    let ground = Ground::new(fs, ledger);
    let older = Life::start(ground.clone()).unwrap();
    older.write(&Request::numbered(0)).unwrap();
    older.flush().unwrap();
    older.settle().unwrap();
    older.write(&Request::numbered(1)).unwrap();
    copy(fs, Path::new(DATA), Path::new(COPY));
    (
        older,
        Ground {
            data: COPY.into(),
            ..ground
        },
    )
}

#[test]
fn the_older_incarnation_is_fenced_and_keeps_its_data() {
    let (fs, ledger) = (ForgetfulFs::new(), Ledger::default());
    let (older, copied) = twins(&fs, &ledger);
    let newer = Life::start(copied).unwrap();
    newer.write(&Request::numbered(2)).unwrap();
    newer.flush().unwrap();
    newer.settle().unwrap();

    let only_here = Request::numbered(3);
    older.write(&only_here).unwrap();
    older.flush().unwrap();
    older.until(|life| life.receiver.ready().is_err()).unwrap();
    let why = older.receiver.ready().unwrap_err();
    assert!(why.contains("fenced"), "{why}");
    let refused = older.post(&Request::numbered(4));
    assert_eq!((refused.status, refused.retry_after), (503, true), "{}", refused.text);
    assert_eq!(older.staged_parts().len(), 1, "what it took stays with it");
    let found = Found::read(&older).unwrap();
    assert!(
        only_here
            .keys()
            .iter()
            .all(|key| found.head.contains(key) && !found.parts.contains_key(key))
    );
    older.stop();

    newer.write(&Request::numbered(5)).unwrap();
    newer.drain().unwrap();
    let found = Found::read(&newer).unwrap();
    for number in [0, 1, 2, 5] {
        assert!(
            Request::numbered(number)
                .keys()
                .iter()
                .all(|key| found.parts.get(key) == Some(&1)),
            "request {number}"
        );
    }
    let epochs: Vec<_> = commit_records(&fs).iter().map(|record| record.epoch).collect();
    assert!(epochs.is_sorted() && epochs.len() >= 3, "{epochs:?}");
}

#[test]
fn a_record_of_the_older_incarnation_does_not_stand_for_data_of_the_newer() {
    let (fs, ledger) = (ForgetfulFs::new(), Ledger::default());
    let (older, copied) = twins(&fs, &ledger);
    let newer = Life::start(copied).unwrap();
    newer.settle().unwrap();
    newer.until(|_| commit_records(&fs).len() == 2).unwrap();
    // Both go on in the same log, with the same segment numbers and other records; the older one comes first.
    let (theirs, ours) = (Request::numbered(2), Request::numbered(3));
    older.write(&theirs).unwrap();
    newer.write(&ours).unwrap();
    newer.flush().unwrap();
    newer.settle().unwrap();
    older.flush().unwrap();
    older.until(|life| life.receiver.ready().is_err()).unwrap();
    older.stop();

    let found = Found::read(&newer).unwrap();
    assert!(ours.keys().iter().all(|key| found.holds(key)));
    once_each(&found, &ledger.told()).unwrap();
    newer.stop();
}

#[test]
fn an_epoch_that_was_claimed_and_not_used_yet_does_not_stop_the_older_but_takes_over_from_it() {
    let (fs, ledger) = (ForgetfulFs::new(), Ledger::default());
    let ground = Ground::new(&fs, &ledger);
    let older = Life::start(ground.clone()).unwrap();
    older.write(&Request::numbered(0)).unwrap();
    older.flush().unwrap();
    older.settle().unwrap();
    copy(&fs, Path::new(DATA), Path::new(COPY));
    let newer = Life::start(Ground {
        data: COPY.into(),
        ..ground
    })
    .unwrap();
    // The same segment numbers on both sides, and the older one commits first.
    let (theirs, ours) = (Request::numbered(1), Request::numbered(2));
    older.write(&theirs).unwrap();
    newer.write(&ours).unwrap();
    older.flush().unwrap();
    older.settle().unwrap();
    newer.flush().unwrap();
    newer.settle().unwrap();
    older.stop();

    let found = Found::read(&newer).unwrap();
    all_there(&found, &ledger.told()).unwrap();
    once_each(&found, &ledger.told()).unwrap();
}
