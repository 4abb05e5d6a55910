//! A process killed first, the power lost later: what the killed one owed to the disk, the next life must not build on unpaid.

use std::collections::BTreeSet;

use emberkeep_disk::{ForgetfulFs, SyncKind};

use crate::call_site::call_site;
use crate::found::Found;
use crate::ledger::Ledger;
use crate::life::{Ground, Life};
use crate::record::{Shot, Sync, distinct, photograph};
use crate::story::play;
use crate::verdict::judge;

/// A new life on what a killed process left: it reads everything, and commits what it found staged. What was read must stay.
fn resume(fs: &ForgetfulFs, book: &Ledger) -> Result<(), String> {
    let life = Life::start(Ground::new(fs, &Ledger::default()))?;
    book.read(Found::read(&life)?.keys());
    life.claimed()?;
    life.settle()
}

/// Kills the story at a moment, resumes it without some syncs, and crashes that life everywhere. The text says what is wrong.
pub(crate) fn crash_resumed(
    kill: &Shot,
    omit: impl Fn(&Sync) -> bool + Send + std::marker::Sync + 'static,
) -> Result<(), String> {
    let (machine, book) = (kill.machine.restart(), Ledger::default());
    let (resumed, shots) = photograph(&machine, &book, omit, String::new, || resume(&machine, &book));
    resumed.map_err(|error| format!("does not resume: {error}"))?;
    for shot in distinct(&shots) {
        judge(&shot.crash(), &kill.told.and(&shot.told)).map_err(|wrong| {
            let (kill_number, killed) = (kill.number, &kill.before);
            format!(
                "killed before {kill_number} {killed:?}, crashed before {} {:?}: {wrong}",
                shot.number, shot.before
            )
        })?;
    }
    Ok(())
}

#[test]
fn a_crash_after_a_kill_loses_nothing() {
    let (fs, ledger) = (ForgetfulFs::new(), Ledger::default());
    let (played, shots) = photograph(&fs, &ledger, |_| false, call_site, || play(&fs, &ledger));
    played.unwrap();
    // Most is owed just before a sync, and one moment of each kind will do. A file without its name owes nothing, and a directory that
    // was there before has paid already.
    let owes = |kill: &&Shot| {
        let names_or_data = kill.before.as_ref().is_some_and(|(kind, _)| *kind != SyncKind::All);
        names_or_data && !kill.site.ends_with("sync_if_ours")
    };
    let mut seen = BTreeSet::new();
    for kill in shots
        .iter()
        .filter(owes)
        .filter(|kill| seen.insert((&kill.before, &kill.site)))
    {
        crash_resumed(kill, |_| false).unwrap();
    }
}
