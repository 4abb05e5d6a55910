//! Records that cannot be replayed, and records that end the process.

use std::ops::ControlFlow;
use std::path::Path;

use emberkeep_disk::{CrashMode, FileSystem, ForgetfulFs, SyncKind, read_to_vec};
use emberkeep_wal::{
    Damage, DamageKind, NextSegment, Position, Purpose, Record, RecordView, Recovery, RecoveryOptions, Refusal, Visit,
    WalError, recover, replay, survey,
};

use crate::rig::{self, ID, dir, number, read, record};

const POISON: u32 = 3;

fn log() -> ForgetfulFs {
    let fs = ForgetfulFs::new();
    let records: Vec<_> = (1..=5).map(|number| record(number, 50)).collect();
    rig::write(&fs, 0, 400, &records);
    fs
}

#[test]
fn a_record_that_fails_replay_is_set_aside_and_not_tried_again() {
    let fs = log();
    let mut visits = 0;
    for round in 0..3 {
        let mut found = Vec::new();
        let recovery = recover(&fs, dir(), ID, RecoveryOptions::default(), &mut |_, view| {
            let record = view.to_record();
            if number(&record) == POISON {
                visits += 1;
                return Err("snappy: corrupt input".to_owned());
            }
            found.push(number(&record));
            Ok(())
        })
        .unwrap();
        assert_eq!(found, [1, 2, 4, 5]);
        assert_eq!(recovery.records, 4);
        let [damage] = &recovery.damage[..] else {
            panic!("{:?}", recovery.damage)
        };
        assert_eq!((damage.kind, damage.seen_before), (DamageKind::Poison, round > 0));
        let copy = read_to_vec(&fs, &damage.set_aside, 1 << 20).unwrap();
        let body = record(POISON, 50).body;
        assert!(copy.ends_with(&body) && copy.len() as u64 == damage.length);
        let reason = read_to_vec(&fs, &damage.set_aside.with_extension("reason"), 1 << 20).unwrap();
        assert_eq!(reason, b"snappy: corrupt input");
    }
    assert_eq!(visits, 1);
}

/// Replays with the machine going down whenever record `deadly` is visited; restarts with `restart` until a replay
/// comes to its end. Answers what that one found, and how many starts died; none when it does not end.
fn replay_until_done(
    mut fs: ForgetfulFs,
    deadly: impl Fn(u32, usize) -> bool,
    restart: impl Fn(&ForgetfulFs) -> ForgetfulFs,
) -> Option<(ForgetfulFs, Recovery, Vec<u32>, usize)> {
    for deaths in 0..30 {
        let mut found = Vec::new();
        let result = recover(&fs, dir(), ID, RecoveryOptions::default(), &mut |_, view| {
            let number = number(&view.to_record());
            found.push(number);
            if deadly(number, deaths) {
                fs.crash_at(fs.steps() + 1);
            }
            Ok(())
        });
        match result {
            Ok(recovery) => return Some((fs, recovery, found, deaths)),
            Err(_) => fs = restart(&fs),
        }
    }
    None
}

fn lose_all(fs: &ForgetfulFs) -> ForgetfulFs {
    fs.crash(CrashMode::LoseAll)
}

#[test]
fn a_deadly_record_does_not_kill_for_ever() {
    let torn = |fs: &ForgetfulFs| fs.crash(CrashMode::Torn(5));
    let process: (_, fn(&ForgetfulFs) -> ForgetfulFs) = (7, ForgetfulFs::restart);
    for (most_deaths, restart) in [process, (11, lose_all), (11, torn)] {
        for poison in 1..=5 {
            let (fs, recovery, found, deaths) =
                replay_until_done(log(), |number, _| number == poison, restart).unwrap();
            if most_deaths == 7 {
                assert_eq!(deaths, 7, "two careless starts, and five careful ones that agree");
            } else {
                assert!(
                    deaths <= 11,
                    "{deaths}: five that agree after six, the notes of which a machine forgets"
                );
            }
            assert!(found.iter().copied().eq((1..=5).filter(|number| *number != poison)));
            assert_eq!(recovery.damage.len(), 1);
            assert_eq!(recovery.damage[0].kind, DamageKind::Poison);
            // The next start is an ordinary one.
            let (recovery, records) = read(&fs, &[]).unwrap();
            assert_eq!(records.len(), 4);
            assert!(recovery.damage[0].seen_before);
        }
    }
}

#[test]
fn two_deadly_records_are_both_found() {
    let (_, recovery, found, _) = replay_until_done(log(), |number, _| number % 2 == 0, lose_all).unwrap();
    assert_eq!(found, [1, 3, 5]);
    assert_eq!(recovery.damage.len(), 2);
}

#[test]
fn a_replay_killed_from_outside_blames_no_record() {
    let kills =
        |number: u32, deaths: usize| deaths < 11 && number as usize == [1, 4, 2, 5, 3, 2, 1, 4, 2, 3, 5][deaths];
    for restart in [lose_all, ForgetfulFs::restart] {
        let (_, recovery, found, deaths) = replay_until_done(log(), kills, restart).unwrap();
        assert_eq!(deaths, 11);
        assert_eq!(found, [1, 2, 3, 4, 5]);
        assert!(recovery.damage.is_empty());
    }
}

/// Dies each time before the same segment, while no record is replayed: by whatever else the process does then.
struct DiesBetween<'a> {
    fs: &'a ForgetfulFs,
    segment: u64,
    found: Vec<u32>,
}

impl Visit for DiesBetween<'_> {
    fn segment(&mut self, next: NextSegment) -> ControlFlow<()> {
        if next.number == self.segment {
            self.fs.crash_at(self.fs.steps() + 1);
        }
        ControlFlow::Continue(())
    }

    fn record(&mut self, _: Position, record: RecordView<'_>) -> Result<(), Refusal> {
        self.found.push(number(&record.to_record()));
        Ok(())
    }

    fn damage(&mut self, damage: &Damage) {
        panic!("{damage:?}");
    }
}

#[test]
fn a_death_between_segments_blames_no_record() {
    let mut fs = log();
    let last = survey(&fs, dir(), ID, &[]).unwrap().last_segment.unwrap();
    assert!(last > 0);
    for _ in 0..10 {
        let survey = survey(&fs, dir(), ID, &[]).unwrap();
        let mut visit = DiesBetween {
            fs: &fs,
            segment: last,
            found: Vec::new(),
        };
        replay(&fs, dir(), ID, &survey, RecoveryOptions::default(), &mut visit).unwrap_err();
        assert!(!visit.found.is_empty(), "it had noted records before");
        fs = fs.restart();
    }
    assert_eq!(read(&fs, &[]).unwrap().1.len(), 5);
}

#[test]
fn a_search_beside_a_replay_neither_counts_as_its_death_nor_hides_one() {
    let searching = |fs: &ForgetfulFs| {
        let options = RecoveryOptions {
            purpose: Purpose::Search,
            ..RecoveryOptions::default()
        };
        let mut found = 0;
        recover(fs, dir(), ID, options, &mut |_, _| {
            found += 1;
            Ok(())
        })
        .unwrap();
        found
    };
    let mut fs = log();
    for deaths in 0.. {
        let mut found = Vec::new();
        let result = recover(&fs, dir(), ID, RecoveryOptions::default(), &mut |_, view| {
            let number = number(&view.to_record());
            found.push(number);
            if number == POISON {
                assert_eq!(searching(&fs), 5);
                fs.crash_at(fs.steps() + 1);
            }
            Ok(())
        });
        if result.is_ok() {
            assert_eq!((deaths, &found[..]), (7, &[1, 2, 4, 5][..]));
            break;
        }
        fs = fs.restart();
    }
}

/// The log with a filter on the syncs of each later start.
fn with_ignored(
    ignored: impl Fn(SyncKind, &Path) -> bool + Clone + Send + Sync + 'static,
) -> impl Fn(&ForgetfulFs) -> ForgetfulFs {
    move |fs| {
        let fs = lose_all(fs);
        fs.ignore_sync(ignored.clone());
        fs
    }
}

#[test]
fn each_sync_of_the_attempts_file_is_needed_to_come_to_an_end() {
    let is_attempts = |path: &Path| path.to_string_lossy().contains("replay-attempts");
    let classes: [fn(SyncKind, &Path) -> bool; 3] = [
        |kind, path| kind == SyncKind::All && path == Path::new("/wal/replay-attempts.tmp"),
        |kind, path| kind == SyncKind::Directory && path == Path::new("/wal"),
        |kind, path| kind == SyncKind::Data && path == Path::new("/wal/replay-attempts"),
    ];
    for class in classes {
        let restart = with_ignored(class);
        assert!(replay_until_done(restart(&log()), |number, _| number == POISON, &restart).is_none());
    }
    // There are no others but those of `set-aside`, and of the segments, which are synced before they are read (see `crash`).
    let (fs, ..) = replay_until_done(log(), |number, _| number == POISON, lose_all).unwrap();
    for (kind, path) in fs.sync_log() {
        if path.extension().is_some_and(|extension| extension == "wal") {
            continue;
        }
        let is_known = classes.iter().any(|class| class(kind, &path)) || path.starts_with("/wal/set-aside");
        assert!(
            is_known && (is_attempts(&path) || kind != SyncKind::Data),
            "{kind:?} {path:?}"
        );
    }
}

#[test]
fn the_end_of_a_careful_replay_is_durable() {
    // Six deaths make the seventh start sync its notes; then replays come to their end, and the power fails after each.
    let run = |is_kept: bool| -> Result<Vec<Record>, WalError> {
        let mut fs = log();
        for _ in 0..6 {
            let _ = recover(&fs, dir(), ID, RecoveryOptions::default(), &mut |_, _| {
                fs.crash_at(fs.steps() + 1);
                Ok(())
            });
            fs = lose_all(&fs);
        }
        for _ in 0..8 {
            let observed = fs.clone();
            fs.ignore_sync(move |kind, path| {
                // The sync after the removal: the file is gone.
                let is_removed = observed.metadata(Path::new("/wal/replay-attempts")).is_err();
                !is_kept && kind == SyncKind::Directory && path == Path::new("/wal") && is_removed
            });
            read(&fs, &[])?;
            fs = lose_all(&fs);
        }
        read(&fs, &[]).map(|(_, records)| records)
    };
    assert_eq!(run(true).unwrap().len(), 5);
    assert!(
        run(false).unwrap().len() < 5,
        "without that sync an innocent record is blamed"
    );
}

#[test]
fn an_attempts_file_of_any_content_is_no_obstacle() {
    for content in [&b""[..], b"x", &[0; 52], &[0; 56], &[0xff; 56], &[1; 100]] {
        let fs = log();
        emberkeep_disk::write_new_durable(&fs, Path::new("/wal/replay-attempts"), content).unwrap();
        assert_eq!(read(&fs, &[]).unwrap().1.len(), 5);
        assert!(fs.metadata(Path::new("/wal/replay-attempts")).is_err());
    }
}
