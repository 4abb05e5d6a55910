//! A data directory whose receiver is dead or fenced: adopted, in one go, in several, and after crashes, everything in it is in
//! the archive once.

use std::path::Path;
use std::sync::Arc;

use emberkeep_archive::DirectoryStore;
use emberkeep_disk::{CrashMode, FileSystem, ForgetfulFs, create_dir_all_durable, read_to_vec, write_new_durable};
use emberkeep_receiver::{Adoption, Components, Pause, ReceiverError, Settings, adopt};
use emberkeep_service::clock::ManualClock;

use crate::found::{Found, commit_records};
use crate::gate::Gate;
use crate::ledger::Ledger;
use crate::life::{ARCHIVE, DATA, Ground, Life};
use crate::request::{NOW, Request};
use crate::verdict::{all_there, judge, once_each, ranges_disjoint};

const COPY: &str = "/copy";

/// Adopts a directory; none when its process was killed, which is when the condition holds.
fn adopted(
    fs: &ForgetfulFs,
    store_fs: Arc<dyn FileSystem>,
    data: &str,
    is_killed: impl Fn() -> bool,
) -> Option<Result<Adoption, ReceiverError>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let components = Components {
        fs: Arc::new(fs.clone()),
        store: match DirectoryStore::open(store_fs, ARCHIVE) {
            Ok(store) => Arc::new(store),
            Err(error) => return Some(Err(error.into())),
        },
        clock: Arc::new(ManualClock::new(NOW)),
        on_fatal: Box::new(|_| {}),
        pause: Pause::default(),
        stop: Arc::default(),
    };
    let settings = Settings {
        segment_bytes: 1600,
        ..Settings::new(data.into())
    };
    runtime.block_on(async {
        let killed = async {
            let mut glances = tokio::time::interval(std::time::Duration::from_micros(300));
            while !is_killed() {
                glances.tick().await;
            }
        };
        tokio::select! {
            biased;
            () = killed => None,
            done = adopt(components, settings) => Some(done),
        }
    })
}

fn adopt_whole(fs: &ForgetfulFs, data: &str) -> Adoption {
    adopted(fs, Arc::new(fs.clone()), data, || false)
        .expect("it is not killed")
        .unwrap()
}

/// A machine that died: a commit whose answer was lost, a staged part behind it, and a log with records of both protocols.
fn dead_machine(ledger: &Ledger) -> ForgetfulFs {
    let fs = ForgetfulFs::new();
    let gate = Gate::losing_answer_of(&fs, "_archive/log/");
    let ground = Ground {
        store_fs: Arc::new(gate.clone()),
        ..Ground::new(&fs, ledger)
    };
    let life = Life::start(ground).unwrap();
    let mut number = 0;
    let mut write = |life: &Life| {
        life.write(&Request::numbered(number)).unwrap();
        number += 1;
    };
    write(&life);
    life.flush().unwrap();
    life.until(|_| gate.is_down()).unwrap();
    write(&life);
    life.flush().unwrap();
    write(&life);
    write(&life);
    drop(life);
    fs.crash(CrashMode::LoseAll)
}

#[test]
fn what_a_dead_receiver_left_is_committed_once() {
    let ledger = Ledger::default();
    let machine = dead_machine(&ledger);
    let adoption = adopt_whole(&machine, DATA);
    assert_eq!((adoption.known, adoption.staged), (1, 1), "{adoption:?}");
    assert!(adoption.segments > 0 && adoption.commits == 2, "{adoption:?}");
    assert!(adoption.samples > 0 && adoption.histograms > 0, "{adoption:?}");
    let receiver = adoption.receiver.clone().unwrap();
    assert_ne!(adoption.before, receiver);
    let records = commit_records(&machine);
    assert_eq!(records.iter().filter(|record| record.receiver == receiver).count(), 2);
    ranges_disjoint(&machine).unwrap();
    // Doing it again finds nothing and changes nothing.
    let again = adopt_whole(&machine, DATA);
    assert_eq!(
        again,
        Adoption {
            before: receiver,
            ..Adoption::default()
        }
    );
    assert_eq!(commit_records(&machine).len(), records.len());
    judge(&machine, &ledger.told()).unwrap();
}

#[test]
fn a_crash_at_every_step_of_an_adoption_loses_nothing_and_doubles_nothing() {
    let ledger = Ledger::default();
    let dead = dead_machine(&ledger);
    for step in 1.. {
        let machine = dead.restart();
        machine.crash_at(step);
        let done = adopted(&machine, Arc::new(machine.clone()), DATA, || machine.has_crashed());
        if !machine.has_crashed() {
            done.expect("no crash").unwrap();
            assert!(step > 20, "only {step} steps");
            break;
        }
        let left = machine.crash(CrashMode::LoseAll);
        // Whoever comes then: the command again, or, which takes as long again, a receiver on the directory.
        let seconds = if step % 3 == 0 {
            &["adopt", "start"][..]
        } else {
            &["adopt"]
        };
        for &second in seconds {
            let left = left.restart();
            if second == "adopt" {
                adopt_whole(&left, DATA);
            }
            if let Err(wrong) = judge(&left, &ledger.told()) {
                panic!("step {step}, then {second}: {wrong}");
            }
        }
    }
}

#[test]
fn a_commit_of_an_adoption_that_was_not_heard_of_is_known_by_the_next_one() {
    let ledger = Ledger::default();
    let machine = dead_machine(&ledger);
    let gate = Gate::losing_answer_of(&machine, "_archive/log/");
    assert!(adopted(&machine, Arc::new(gate.clone()), DATA, || gate.is_down()).is_none());
    let killed = machine.crash(CrashMode::LoseAll);
    let adoption = adopt_whole(&killed, DATA);
    assert_eq!(adoption.known, 1, "{adoption:?}");
    ranges_disjoint(&killed).unwrap();
    judge(&killed, &ledger.told()).unwrap();
}

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

#[test]
fn what_a_fenced_receiver_kept_is_committed_without_disturbing_its_successor() {
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
    newer.write(&Request::numbered(1)).unwrap();
    newer.flush().unwrap();
    newer.settle().unwrap();
    older.write(&Request::numbered(2)).unwrap();
    older.flush().unwrap();
    older.until(|life| life.receiver.ready().is_err()).unwrap();
    let why = older.receiver.ready().unwrap_err();
    assert!(why.contains("receiver adopt"), "{why}");
    older.stop();

    let adoption = adopt_whole(&fs, DATA);
    assert_eq!(
        (adoption.known, adoption.staged, adoption.commits),
        (0, 1, 1),
        "{adoption:?}"
    );
    // The successor goes on as if nothing had been.
    newer.write(&Request::numbered(3)).unwrap();
    newer.drain().unwrap();
    let found = Found::read(&newer).unwrap();
    all_there(&found, &ledger.told()).unwrap();
    once_each(&found, &ledger.told()).unwrap();
    newer.stop();
}

#[test]
fn the_wrong_directory_and_the_wrong_archive_are_refused() {
    let ledger = Ledger::default();
    let machine = dead_machine(&ledger);
    let refused = |fs: &ForgetfulFs, data: &str| {
        let done = adopted(fs, Arc::new(fs.clone()), data, || false);
        done.unwrap().unwrap_err().to_string()
    };
    assert!(refused(&machine, "/nowhere").contains("receiver.json"));
    let other = ForgetfulFs::new();
    let (from, to): (&dyn FileSystem, &dyn FileSystem) = (&machine, &other);
    create_dir_all_durable(to, Path::new(DATA)).unwrap();
    let identity = Path::new(DATA).join("receiver.json");
    write_new_durable(to, &identity, &read_to_vec(from, &identity, 1 << 16).unwrap()).unwrap();
    assert!(refused(&other, DATA).contains("no archive"));
    // An archive, but another one.
    let life = Life::start(Ground {
        data: "/elsewhere".into(),
        ..Ground::new(&other, &ledger)
    })
    .unwrap();
    life.claimed().unwrap();
    life.stop();
    assert!(refused(&other, DATA).contains("belongs to archive"));
}
