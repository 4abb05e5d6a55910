//! A crash at every step of the story, and what every one of them leaves.

use emberkeep_disk::{CrashMode, ForgetfulFs};

use crate::ledger::Ledger;
use crate::record::photograph;
use crate::story::play;
use crate::verdict::judge;

#[test]
fn whatever_a_crash_leaves_holds_all_that_was_acknowledged() {
    let (fs, ledger) = (ForgetfulFs::new(), Ledger::default());
    let (played, shots) = photograph(&fs, &ledger, |_, _, _| false, || play(&fs, &ledger));
    played.unwrap();
    for shot in &shots {
        for mode in [CrashMode::LoseAll, CrashMode::Torn(shot.number as u64)] {
            if let Err(wrong) = judge(&shot.crash(mode), &shot.told) {
                panic!("{mode:?} before sync {} {:?}: {wrong}", shot.number, shot.before);
            }
        }
    }
}

#[test]
fn a_crash_at_every_step_loses_nothing_acknowledged() {
    for step in 1.. {
        let (fs, ledger) = (ForgetfulFs::new(), Ledger::default());
        fs.crash_at(step);
        let played = play(&fs, &ledger);
        if !fs.has_crashed() {
            played.unwrap();
            break;
        }
        let told = ledger.told();
        let mode = if step % 4 == 0 { CrashMode::Torn(step) } else { CrashMode::LoseAll };
        if let Err(wrong) = judge(&fs.crash(mode), &told) {
            panic!("{mode:?} at step {step}: {wrong}");
        }
    }
}
