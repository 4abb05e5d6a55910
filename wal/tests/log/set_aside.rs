//! What was set aside survives every crash, also after the segments it came from were trimmed.

use std::path::Path;

use emberkeep_disk::{CrashMode, ForgetfulFs, SyncKind};
use emberkeep_wal::{RecoveryOptions, SegmentRange, WalError, recover, remove};

use crate::rig::{self, ID, dir, disk_with, files, number, record};

type Filter = fn(SyncKind, &Path) -> bool;

/// A log with damage in the middle, a record that will be refused (number 3), and a torn tail.
fn damaged_log() -> Vec<(String, Vec<u8>)> {
    let fs = ForgetfulFs::new();
    let records: Vec<_> = (1..=5).map(|number| record(number, 50)).collect();
    rig::write(&fs, 0, 400, &records);
    let mut log = files(&fs, dir());
    log[0].1[50] ^= 1;
    let last = log.len() - 1;
    let end = log[last].1.iter().rposition(|byte| *byte != 0).unwrap();
    log[last].1[end] ^= 2;
    log
}

fn replay(fs: &ForgetfulFs) -> Result<(), WalError> {
    recover(fs, dir(), ID, RecoveryOptions::default(), &mut |_, view| {
        if number(&view.to_record()) == 3 {
            Err("refused".to_owned())
        } else {
            Ok(())
        }
    })
    .map(drop)
}

fn set_aside(fs: &ForgetfulFs) -> Vec<(String, Vec<u8>)> {
    files(fs, Path::new("/wal/set-aside"))
        .into_iter()
        .filter(|(name, _)| !name.ends_with(".tmp"))
        .collect()
}

/// A process recovers and is killed at `kill`, or not; the next recovers, with `ignored` syncs, and trims; the power fails
/// at each step of the trim. Whatever is missing from the log must be in `set-aside`, whole.
fn keeps_everything(
    log: &[(String, Vec<u8>)],
    expected: &[(String, Vec<u8>)],
    kill: Option<u64>,
    ignored: Filter,
) -> bool {
    let start = disk_with(log);
    if let Some(kill) = kill {
        start.crash_at(start.steps() + kill);
        let _ = replay(&start);
    }
    for step in 1.. {
        let fs = start.restart();
        fs.ignore_sync(ignored);
        replay(&fs).unwrap();
        assert_eq!(set_aside(&fs), expected);
        fs.ignore_sync(|_, _| false);
        fs.crash_at(fs.steps() + step);
        let _ = remove(&fs, dir(), SegmentRange { from: 0, to: 9 });
        for mode in (0..24).map(CrashMode::Torn).chain([CrashMode::LoseAll]) {
            let found = fs.crash(mode);
            let segments = files(&found, dir())
                .iter()
                .filter(|(name, _)| name.ends_with(".wal"))
                .count();
            // With all segments in place nothing depends on the copies yet.
            if segments < log.len() && set_aside(&found) != expected {
                return false;
            }
        }
        if !fs.has_crashed() {
            return true;
        }
    }
    unreachable!("the loop ends when no step is left")
}

#[test]
fn copies_survive_the_trim_of_their_segments() {
    let log = damaged_log();
    let fs = disk_with(&log);
    let steps_before = fs.steps();
    let syncs_before = fs.sync_log().len();
    replay(&fs).unwrap();
    let steps = fs.steps() - steps_before;
    let expected = set_aside(&fs);
    let mut suffixes: Vec<_> = expected
        .iter()
        .map(|(name, _)| name.rsplit('.').next().unwrap())
        .collect();
    suffixes.sort_unstable();
    assert_eq!(suffixes, ["damaged", "poison", "reason", "torn"]);

    assert!(keeps_everything(&log, &expected, None, |_, _| false));
    for kill in 1..=steps {
        assert!(
            keeps_everything(&log, &expected, Some(kill), |_, _| false),
            "killed at {kill}"
        );
    }

    let classes: [Filter; 5] = [
        |kind, path| kind == SyncKind::All && path.to_string_lossy().contains(".damaged"),
        |kind, path| kind == SyncKind::All && path.to_string_lossy().contains(".poison"),
        |kind, path| kind == SyncKind::All && path.to_string_lossy().contains(".reason"),
        |kind, path| kind == SyncKind::All && path.to_string_lossy().contains(".torn"),
        |kind, path| kind == SyncKind::Directory && path == Path::new("/wal/set-aside"),
    ];
    for (number, class) in classes.into_iter().enumerate() {
        assert!(
            !keeps_everything(&log, &expected, None, class),
            "class {number} is not needed"
        );
    }
    // The name of the directory itself.
    let name: Filter = |kind, path| kind == SyncKind::Directory && path == Path::new("/wal");
    assert!(!keeps_everything(&log, &expected, None, name));
    // What a killed process had copied and not yet synced is synced by the next one, which copies nothing.
    let is_needed = |class: Filter| (1..=steps).any(|kill| !keeps_everything(&log, &expected, Some(kill), class));
    assert!(is_needed(classes[4]) && is_needed(name));

    for (kind, path) in &fs.sync_log()[syncs_before..] {
        let is_known = classes.iter().chain([&name]).any(|class| class(*kind, path));
        assert!(
            is_known
                || path.to_string_lossy().contains("replay-attempts")
                || path.extension().is_some_and(|e| e == "wal"),
            "{kind:?} {path:?}"
        );
    }
}
