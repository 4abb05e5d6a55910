//! Taking out any one sync is seen (the table in `docs/durability.md`).
//!
//! The story is run without the syncs of one call site, and some crash must then lose something. Where two call sites sync the same
//! directory before anything rests on it, each alone can be spared; then all of them are taken out together. A site that the table does
//! not know fails here, so that a new sync comes with its reason.

use std::collections::{BTreeMap, BTreeSet};

use emberkeep_disk::{ForgetfulFs, SyncKind};

use crate::call_site::call_site;
use crate::killed::crash_resumed;
use crate::ledger::Ledger;
use crate::record::{Shot, Sync, distinct, photograph};
use crate::story::play;
use crate::verdict::judge;

const PAGE: &str = include_str!("../../../docs/durability.md");

/// What is synced, and who asks for it.
type Class = (Sync, String);

/// How the loss of a sync shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// Without the syncs of this call site a crash loses something.
    Alone,
    /// Without them, a crash of the life after a killed one does.
    Owed,
    /// Without any sync of this file or directory, whoever asks.
    Together,
    /// In the tests of the log, where records kill the process.
    Log,
}

/// The table of the page: `| kind | what | who | shown: how |`.
fn table() -> BTreeMap<Class, Shown> {
    let rows = PAGE.lines().filter_map(|line| {
        let cells: Vec<_> = line.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let [_, kind, what, who, how, _] = cells[..] else {
            return None;
        };
        let kind = match kind {
            "data" => SyncKind::Data,
            "all" => SyncKind::All,
            "directory" => SyncKind::Directory,
            _ => return None,
        };
        let shown = match how.split(':').next()? {
            "alone" => Shown::Alone,
            "owed" => Shown::Owed,
            "together" => Shown::Together,
            "log" => Shown::Log,
            other => panic!("the table says `{other}`"),
        };
        Some((((kind, what.to_owned()), who.to_owned()), shown))
    });
    rows.collect()
}

/// The classes that the table shows in this way.
fn shown(how: Shown) -> impl Iterator<Item = Class> {
    table()
        .into_iter()
        .filter(move |(_, shown)| *shown == how)
        .map(|(class, _)| class)
}

/// The story, photographed without some syncs.
fn without(omit: impl Fn(&Sync) -> bool + Send + std::marker::Sync + 'static, name: fn() -> String) -> Vec<Shot> {
    let (fs, ledger) = (ForgetfulFs::new(), Ledger::default());
    let (played, shots) = photograph(&fs, &ledger, omit, name, || play(&fs, &ledger));
    played.unwrap();
    shots
}

fn is_of(class: &Class) -> impl Fn(&Sync) -> bool + Send + std::marker::Sync + use<> {
    let class = class.clone();
    move |sync| *sync == class.0 && call_site() == class.1
}

/// Whether some crash shows that syncs were taken out.
fn is_seen(shots: &[Shot]) -> bool {
    let suspects: Vec<_> = distinct(shots)
        .into_iter()
        .filter(|shot| shot.is_after_omission)
        .collect();
    assert!(!suspects.is_empty(), "nothing was taken out");
    suspects.iter().any(|shot| judge(&shot.crash(), &shot.told).is_err())
        || (0..3).any(|turn| suspects.iter().any(|shot| judge(&shot.torn(turn), &shot.told).is_err()))
}

#[test]
fn every_call_site_that_syncs_is_in_the_table() {
    let shots = without(|_| false, call_site);
    let seen: BTreeSet<Class> = shots
        .into_iter()
        .filter_map(|shot| Some((shot.before?, shot.site)))
        .collect();
    let known: BTreeSet<Class> = table().into_keys().collect();
    let new: Vec<_> = seen.difference(&known).collect();
    let gone: Vec<_> = known.difference(&seen).collect();
    assert!(
        new.is_empty() && gone.is_empty(),
        "not in docs/durability.md: {new:#?}\nonly there: {gone:#?}"
    );
}

#[test]
fn each_sync_shown_alone_is_missed() {
    let unseen: Vec<_> = shown(Shown::Alone)
        .filter(|class| !is_seen(&without(is_of(class), String::new)))
        .collect();
    assert!(unseen.is_empty(), "nothing is lost without one of {unseen:#?}");
}

/// How often the story is played at most: where a process is killed depends on how its threads meet.
const STORIES: usize = 4;

#[test]
fn each_sync_for_what_a_killed_process_owed_is_missed() {
    let mut unseen: Vec<_> = shown(Shown::Owed).collect();
    for _ in 0..STORIES {
        let kills = without(|_| false, String::new);
        let is_seen = |class: &Class| {
            let mut kills = kills.iter().filter(|kill| kill.before.as_ref() == Some(&class.0));
            kills.any(|kill| crash_resumed(kill, is_of(class)).is_err())
        };
        unseen.retain(|class| !is_seen(class));
        if unseen.is_empty() {
            return;
        }
    }
    panic!("nothing is lost without one of {unseen:#?}");
}

#[test]
fn each_sync_that_another_one_backs_is_missed_with_it() {
    let places: BTreeSet<Sync> = shown(Shown::Together).map(|(sync, _)| sync).collect();
    let is_missed = |place: &Sync| {
        let omitted = place.clone();
        is_seen(&without(move |sync| *sync == omitted, String::new))
    };
    let unseen: Vec<_> = places.into_iter().filter(|place| !is_missed(place)).collect();
    assert!(unseen.is_empty(), "nothing is lost without all of one of {unseen:#?}");
}
