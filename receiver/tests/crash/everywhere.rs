//! A crash at every step of the story, and what every one of them leaves.

use emberkeep_disk::{CrashMode, ForgetfulFs};

use crate::ledger::Ledger;
use crate::record::photograph;
use crate::story::play;
use crate::verdict::judge;

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
        if let Err(wrong) = judge(&fs.crash(CrashMode::LoseAll), &ledger.told()) {
            panic!("step {step}: {wrong}");
        }
    }
}

#[test]
fn whatever_a_crash_keeps_of_the_rest_loses_nothing_either() {
    let (fs, ledger) = (ForgetfulFs::new(), Ledger::default());
    let (played, shots) = photograph(&fs, &ledger, |_| false, String::new, || play(&fs, &ledger));
    played.unwrap();
    for shot in &shots {
        if let Err(wrong) = judge(&shot.torn(0), &shot.told) {
            panic!("torn before sync {} {:?}: {wrong}", shot.number, shot.before);
        }
    }
}
