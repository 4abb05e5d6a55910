//! Taking out any one sync is seen: for each call site that syncs, the story is run without it, and some crash then loses something.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use emberkeep_disk::ForgetfulFs;

use crate::call_site::call_site;
use crate::killed::resume;
use crate::ledger::Ledger;
use crate::record::{Shot, Sync, distinct, photograph};
use crate::story::play;
use crate::verdict::judge;

/// What is synced, and who asks for it.
pub(crate) type Class = (Sync, String);

/// Plays and photographs the story once, undisturbed, and lists its classes.
pub(crate) fn classes() -> (BTreeSet<Class>, Vec<Shot>) {
    let (fs, ledger) = (ForgetfulFs::new(), Ledger::default());
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let list = seen.clone();
    let note = move |sync: &Sync| {
        list.lock().unwrap().insert((sync.clone(), call_site()));
        false
    };
    let (played, shots) = photograph(&fs, &ledger, note, || play(&fs, &ledger));
    played.unwrap();
    let classes = std::mem::take(&mut *seen.lock().unwrap());
    (classes, shots)
}

fn is_of(class: &Class) -> impl Fn(&Sync) -> bool + Send + std::marker::Sync + 'static {
    let class = class.clone();
    move |sync| *sync == class.0 && call_site() == class.1
}

/// The first crash that shows that a sync was taken out.
fn shows(shots: &[Shot], told: Option<&Shot>) -> Option<String> {
    let suspects: Vec<_> = distinct(shots).into_iter().filter(|shot| shot.is_after_omission).collect();
    let told = |shot: &Shot| told.unwrap_or(shot).told.clone();
    let wrong = |shot: &&Shot| Some(format!("lost at {} {:?}: {}", shot.number, shot.before, judge(&shot.crash(), &told(shot)).err()?));
    let torn = |shot: &&Shot| Some(format!("torn at {} {:?}: {}", shot.number, shot.before, judge(&shot.torn(0), &told(shot)).err()?));
    suspects.iter().find_map(wrong).or_else(|| suspects.iter().find_map(torn))
}

/// The story without some syncs.
fn alone(omit: impl Fn(&Sync) -> bool + Send + std::marker::Sync + 'static) -> Option<String> {
    let (fs, ledger) = (ForgetfulFs::new(), Ledger::default());
    let (played, shots) = photograph(&fs, &ledger, omit, || play(&fs, &ledger));
    played.unwrap();
    shows(&shots, None)
}

/// A start without some syncs, on what a process left that was killed before a sync of the same thing.
fn owed(class: &Class, kills: &[Shot]) -> Option<String> {
    let kills = kills.iter().filter(|kill| kill.before.as_ref() == Some(&class.0));
    kills.into_iter().find_map(|kill| {
        let machine = kill.machine.restart();
        let (resumed, shots) = photograph(&machine, &Ledger::default(), is_of(class), || resume(&machine));
        resumed.unwrap();
        shows(&shots, Some(kill)).map(|wrong| format!("killed at {}: {wrong}", kill.number))
    })
}

#[test]
fn list() {
    let (classes, kills) = classes();
    for class in classes {
        let t = std::time::Instant::now();
        let cut = |w: Option<String>| w.map(|w| w.chars().take(220).collect::<String>());
        let w = cut(alone(is_of(&class)));
        println!("{class:?}\n   alone {:?} => {w:?}", t.elapsed());
        if w.is_none() {
            let t = std::time::Instant::now();
            println!("   owed {:?} => {:?}", t.elapsed(), cut(owed(&class, &kills)));
            let sync = class.0.clone();
            println!("   together {:?} => {:?}", t.elapsed(), cut(alone(move |s| *s == sync)));
        }
    }
}
