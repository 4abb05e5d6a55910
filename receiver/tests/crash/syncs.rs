//! Taking out any one sync is seen: for each call site that syncs, the story is run without it, and some crash then loses something.
//!
//! The table in `docs/durability.md` says for each site how its loss shows; a site that is not in it fails here, so a new sync comes with
//! its reason.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use emberkeep_disk::{CrashMode, ForgetfulFs, SyncKind};

use crate::call_site::{call_site, place};
use crate::ledger::Ledger;
use crate::record::{Shot, distinct, photograph};
use crate::story::play;
use crate::verdict::judge;

/// What is synced, and who asks for it.
pub(crate) type Class = (SyncKind, String, String);

/// Plays and photographs the story once, undisturbed, and lists its classes.
pub(crate) fn classes() -> BTreeSet<Class> {
    let (fs, ledger) = (ForgetfulFs::new(), Ledger::default());
    let seen = std::sync::Arc::new(std::sync::Mutex::new(BTreeSet::new()));
    let list = seen.clone();
    let omit = move |fs: &ForgetfulFs, kind: SyncKind, path: &Path| {
        let class = (kind, place(fs, kind, path), call_site());
        list.lock().unwrap().insert(class);
        false
    };
    photograph(&fs, &ledger, omit, || play(&fs, &ledger)).0.unwrap();
    let seen = seen.lock().unwrap();
    seen.clone()
}

/// Plays the story without the syncs of a class, and answers what the first crash that shows it did.
fn without(class: &Class) -> Option<String> {
    let (fs, ledger) = (ForgetfulFs::new(), Ledger::default());
    let omitted = class.clone();
    let omit = move |fs: &ForgetfulFs, kind: SyncKind, path: &Path| {
        kind == omitted.0 && place(fs, kind, path) == omitted.1 && call_site() == omitted.2
    };
    let (played, shots) = photograph(&fs, &ledger, omit, || play(&fs, &ledger));
    played.unwrap();
    let suspects: Vec<_> = distinct(&shots).into_iter().filter(|shot| shot.is_after_omission).collect();
    assert!(!suspects.is_empty(), "{class:?} was not seen");
    let judged = |mode: &dyn Fn(&Shot) -> CrashMode| {
        suspects.iter().find_map(|shot| {
            let wrong = judge(&shot.crash(mode(shot)), &shot.told).err()?;
            Some(format!(
                "{:?} before sync {} {:?}: {wrong}",
                mode(shot),
                shot.number,
                shot.before
            ))
        })
    };
    let torn = |turn: u64| judged(&move |shot: &Shot| CrashMode::Torn(shot.number as u64 + turn * 1000));
    judged(&|_| CrashMode::LoseAll).or_else(|| (0..1).find_map(torn))
}

#[test]
fn list() {
    for class in classes() {
        let t = std::time::Instant::now();
        let w = std::panic::catch_unwind(|| without(&class));
        println!("{class:?}\n   {:?} => {w:?}", t.elapsed());
    }
}
