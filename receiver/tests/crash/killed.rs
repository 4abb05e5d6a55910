//! A process killed first, the power lost later: what the killed one owed to the disk, the next life must not build on unpaid.

use emberkeep_disk::{CrashMode, ForgetfulFs};

use crate::ledger::Ledger;
use crate::life::{Ground, Life};
use crate::record::{Shot, distinct, photograph};
use crate::story::play;
use crate::verdict::judge;

/// A new life on what a killed process left, until it has committed what it found staged.
fn resume(fs: &ForgetfulFs) -> Result<(), String> {
    let life = Life::start(Ground::new(fs, &Ledger::default()))?;
    life.settle()
}

#[test]
fn a_crash_after_a_kill_loses_nothing() {
    let (fs, ledger) = (ForgetfulFs::new(), Ledger::default());
    let (played, kills) = photograph(&fs, &ledger, |_, _, _| false, || play(&fs, &ledger));
    played.unwrap();
    for kill in &kills {
        let (resumed, shots) = photograph(&kill.machine, &ledger, |_, _, _| false, || resume(&kill.machine));
        resumed.unwrap();
        for shot in distinct(&shots) {
            if let Err(wrong) = judge(&shot.crash(CrashMode::LoseAll), &kill.told) {
                println!(
                    "kill {} {:?} crash {} {:?}: {wrong}",
                    kill.number, kill.before, shot.number, shot.before
                );
            }
        }
    }
}
