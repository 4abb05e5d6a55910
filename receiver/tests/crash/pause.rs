//! A request held between log append and head append while everything else goes on (DESIGN §3, tickets).

use emberkeep_disk::{CrashMode, ForgetfulFs};
use emberkeep_receiver::Pause;
use tokio::sync::watch;

use crate::found::{Found, commit_records};
use crate::ledger::Ledger;
use crate::life::{Ground, Life};
use crate::request::Request;
use crate::verdict::{all_there, judge, once_each};

/// A life with a closed gate, one request durable in the log and held before the head, and a flush that waits for its ticket.
struct Held {
    life: Life,
    gate: watch::Sender<bool>,
    held: Request,
    before: Request,
    answer: tokio::task::JoinHandle<crate::life::Answer>,
    flush: tokio::task::JoinHandle<()>,
}

fn hold(fs: &ForgetfulFs, ledger: &Ledger) -> Held {
    let (gate, watched) = watch::channel(false);
    let ground = Ground {
        pause: Pause::while_true(watched),
        ..Ground::new(fs, ledger)
    };
    let life = Life::start(ground).unwrap();
    let (before, held) = (Request::numbered(1), Request::numbered(2));
    life.write(&before).unwrap();
    gate.send(true).unwrap();
    let durable = syncs_of_log(fs);
    let answer = life.runtime.spawn(life.send(&held));
    life.until(|_| syncs_of_log(fs) > durable).unwrap();
    let receiver = life.receiver.clone();
    let flush = life.runtime.spawn(async move { receiver.flush().await });
    // The rotation is done when a later request goes to a segment of its own; long after it the flush still waits.
    let rotated = fs.steps();
    life.until(|life| life.segments().len() == 1 && fs.steps() > rotated)
        .unwrap();
    // Turns enough for a flush that does not wait to go wrong.
    life.runtime.block_on(async {
        for _ in 0..10_000 {
            tokio::task::yield_now().await;
        }
    });
    Held {
        life,
        gate,
        held,
        before,
        answer,
        flush,
    }
}

fn syncs_of_log(fs: &ForgetfulFs) -> usize {
    fs.sync_log()
        .iter()
        .filter(|(_, path)| path.extension().is_some_and(|extension| extension == "wal"))
        .count()
}

#[test]
fn a_flush_waits_for_the_ticket_and_holds_the_late_request() {
    let (fs, ledger) = (ForgetfulFs::new(), Ledger::default());
    let Held {
        life,
        gate,
        held,
        before,
        answer,
        flush,
    } = hold(&fs, &ledger);
    assert!(!flush.is_finished() && !answer.is_finished());
    assert_eq!(
        (life.segments().len(), life.staged_parts().len()),
        (1, 0),
        "neither staged nor trimmed"
    );
    assert!(
        !Found::read(&life).unwrap().holds(&held.keys()[0]),
        "not acknowledged, not yet readable"
    );

    // A request of the next generation overtakes it.
    gate.send(false).unwrap();
    let after = Request::numbered(3);
    life.write(&after).unwrap();
    let told = life.runtime.block_on(answer).unwrap();
    assert_eq!(told.status, 204);
    life.runtime.block_on(flush).unwrap();
    life.settle().unwrap();

    let found = Found::read(&life).unwrap();
    all_there(&found, &ledger.told()).unwrap();
    once_each(&found, &ledger.told()).unwrap();
    for key in before.keys().iter().chain(&held.keys()) {
        assert!(
            found.parts.contains_key(key) && !found.head.contains(key),
            "part of its own generation"
        );
    }
    assert!(
        after
            .keys()
            .iter()
            .all(|key| found.head.contains(key) && !found.parts.contains_key(key))
    );
    assert_eq!(commit_records(&fs).len(), 1);
    judge(&fs.crash(CrashMode::LoseAll), &ledger.told()).unwrap();
}

#[test]
fn a_crash_while_a_request_is_held_loses_nothing() {
    let (fs, ledger) = (ForgetfulFs::new(), Ledger::default());
    let Held { life, held, before, .. } = hold(&fs, &ledger);
    let crashed = fs.crash(CrashMode::LoseAll);
    assert_eq!(
        ledger.told().acknowledged,
        before.keys(),
        "the held request was not answered"
    );
    judge(&crashed.restart(), &ledger.told()).unwrap();

    // It was durable all the same, so a start replays it, into the generation of its segment.
    let next = Life::start(Ground::new(&crashed, &ledger)).unwrap();
    next.drain().unwrap();
    let found = Found::read(&next).unwrap();
    assert!(
        held.keys()
            .iter()
            .chain(&before.keys())
            .all(|key| found.parts.get(key) == Some(&1))
    );
    next.stop();
    drop(life);
}
