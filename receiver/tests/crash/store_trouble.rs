//! A store that is down, and one whose answer is lost.

use std::sync::Arc;

use emberkeep_disk::{CrashMode, ForgetfulFs};

use crate::found::{Found, commit_records};
use crate::gate::Gate;
use crate::ledger::Ledger;
use crate::life::{Ground, Life};
use crate::request::Request;
use crate::verdict::{all_there, judge, once_each, ranges_disjoint};

fn behind(gate: &Gate, fs: &ForgetfulFs, ledger: &Ledger) -> Ground {
    Ground {
        store_fs: Arc::new(gate.clone()),
        ..Ground::new(fs, ledger)
    }
}

#[test]
fn writes_go_on_without_the_store_and_all_is_committed_once_it_is_back() {
    let (fs, ledger) = (ForgetfulFs::new(), Ledger::default());
    let mut number = 0;
    let mut write_and_flush = |life: &Life| {
        for _ in 0..2 {
            life.write(&Request::numbered(number)).unwrap();
            number += 1;
        }
        life.flush().unwrap();
    };
    let gate = Gate::new(&fs);
    let life = Life::start(behind(&gate, &fs, &ledger)).unwrap();
    write_and_flush(&life);
    life.settle().unwrap();

    gate.set_down(true);
    write_and_flush(&life);
    write_and_flush(&life);
    life.until(|_| gate.refused() > 0).unwrap();
    assert_eq!(life.staged_parts().len(), 2);
    assert_eq!(life.receiver.ready(), Ok(()));
    life.write(&Request::numbered(50)).unwrap();
    drop(life);

    // A start in that state: the directory is there, the store does not answer.
    gate.set_down(false);
    let gate = Gate::new(&fs);
    let ground = behind(&gate, &fs, &ledger);
    let life = Life::start(ground).unwrap();
    gate.set_down(true);
    write_and_flush(&life);
    life.until(|life| life.staged_parts().len() == 4).unwrap();
    judge(&fs.crash(CrashMode::LoseAll), &ledger.told()).unwrap();

    gate.set_down(false);
    life.settle().unwrap();
    let found = Found::read(&life).unwrap();
    all_there(&found, &ledger.told()).unwrap();
    once_each(&found, &ledger.told()).unwrap();
    ranges_disjoint(&fs).unwrap();
    assert!(found.head.is_empty());
    assert_eq!(
        commit_records(&fs).len(),
        5,
        "one for each flush, and one for what was replayed"
    );
}

#[test]
fn a_record_whose_creation_was_not_heard_of_is_adopted() {
    for dies in [true, false] {
        let (fs, ledger) = (ForgetfulFs::new(), Ledger::default());
        let gate = Gate::losing_answer_of(&fs, "_archive/log/");
        let life = Life::start(behind(&gate, &fs, &ledger)).unwrap();
        life.write(&Request::numbered(0)).unwrap();
        life.flush().unwrap();
        life.until(|_| gate.is_down()).unwrap();
        assert_eq!(
            (commit_records(&fs).len(), life.staged_parts().len()),
            (1, 1),
            "committed, and not known here"
        );
        let life = if dies {
            drop(life);
            judge(&fs.crash(CrashMode::LoseAll), &ledger.told()).unwrap();
            Life::start(Ground::new(&fs, &ledger)).unwrap()
        } else {
            life.until(|_| gate.refused() > 0).unwrap();
            gate.set_down(false);
            life
        };
        life.settle().unwrap();
        assert_eq!(commit_records(&fs).len(), 1, "adopted");
        let found = Found::read(&life).unwrap();
        all_there(&found, &ledger.told()).unwrap();
        once_each(&found, &ledger.told()).unwrap();
        assert!(found.head.is_empty());
    }
}
