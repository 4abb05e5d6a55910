//! A process killed first, the power lost later: what the killed one owed to the disk, the next life must not build on unpaid.

use std::collections::BTreeSet;

use emberkeep_disk::{ForgetfulFs, SyncKind};

use crate::ledger::Ledger;
use crate::life::{Ground, Life};
use crate::record::{distinct, photograph};
use crate::story::play;
use crate::verdict::judge;

/// A new life on what a killed process left, until it has committed what it found staged.
pub(crate) fn resume(fs: &ForgetfulFs) -> Result<(), String> {
    let life = Life::start(Ground::new(fs, &Ledger::default()))?;
    life.settle()
}

#[test]
fn a_crash_after_a_kill_loses_nothing() {
    let (fs, ledger) = (ForgetfulFs::new(), Ledger::default());
    let (played, kills) = photograph(&fs, &ledger, |_| false, || play(&fs, &ledger));
    played.unwrap();
    for kill in &kills {
        let machine = kill.machine.restart();
        let (resumed, shots) = photograph(&machine, &Ledger::default(), |_| false, || resume(&machine));
        resumed.unwrap();
        for shot in distinct(&shots) {
            if let Err(wrong) = judge(&shot.crash(), &kill.told) {
                panic!("killed before sync {} {:?}, crashed before {} {:?}: {wrong}", kill.number, kill.before, shot.number, shot.before);
            }
        }
    }
}
