//! A run that is photographed: before each sync, what the machine is like, and what the sender knew by then.
//!
//! A crash that loses all leaves what the last syncs made durable, so between two syncs it is the same machine at every step, and the
//! moment just before a sync is the one with the most told. The torn machines are taken there, too: most is owed then.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use emberkeep_disk::{CrashMode, FileSystem, ForgetfulFs, SyncKind, read_to_vec};

use crate::call_site::place;
use crate::ledger::{Ledger, Told};

/// A sync: how, and of what kind of thing.
pub(crate) type Sync = (SyncKind, String);

/// The machine and the sender's book at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Shot {
    /// How many syncs were asked for before.
    pub(crate) number: usize,
    /// The sync that was about to be made; none at the end.
    pub(crate) before: Option<Sync>,
    /// Who asked for it, as the photographer was told to name it.
    pub(crate) site: String,
    /// Whether a sync before this moment was taken out.
    pub(crate) is_after_omission: bool,
    /// As it is, with everything that is not durable yet.
    pub(crate) machine: ForgetfulFs,
    pub(crate) told: Told,
}

impl Shot {
    /// What a crash leaves that loses all it may.
    pub(crate) fn crash(&self) -> ForgetfulFs {
        self.machine.crash(CrashMode::LoseAll)
    }

    /// What a crash leaves that keeps some of what was not synced; each turn is another one.
    pub(crate) fn torn(&self, turn: u64) -> ForgetfulFs {
        self.machine.crash(CrashMode::Torn(turn << 32 | self.number as u64))
    }
}

/// Runs `work` on a file system and photographs it before each sync; those for which `omit` answers true are not done. `name` names
/// who asked, or nobody, which is quicker.
pub(crate) fn photograph<T>(
    fs: &ForgetfulFs,
    ledger: &Ledger,
    omit: impl Fn(&Sync) -> bool + Send + std::marker::Sync + 'static,
    name: fn() -> String,
    work: impl FnOnce() -> T,
) -> (T, Vec<Shot>) {
    let film = Arc::new(Mutex::new((false, Vec::new())));
    let (camera, taken, book) = (fs.clone(), film.clone(), ledger.clone());
    fs.ignore_sync(move |kind, path| {
        // The book first: what was told before the picture must be in it.
        let told = book.told();
        let machine = camera.restart();
        let sync = (kind, place(&machine, kind, path));
        let (is_omitted, site) = (omit(&sync), name());
        let mut taken = taken.lock().unwrap();
        let (is_after_omission, number) = (taken.0, taken.1.len());
        taken.1.push(Shot {
            number,
            before: Some(sync),
            site,
            is_after_omission,
            machine,
            told,
        });
        taken.0 |= is_omitted;
        is_omitted
    });
    let result = work();
    // The camera holds the file system that holds it.
    fs.ignore_sync(|_, _| false);
    let (is_after_omission, mut shots) = std::mem::take(&mut *film.lock().unwrap());
    let (number, told) = (shots.len(), ledger.told());
    shots.push(Shot {
        number,
        before: None,
        site: String::new(),
        is_after_omission,
        machine: fs.restart(),
        told,
    });
    (result, shots)
}

/// One shot for each different machine that crashes can leave when they lose all: the last one, which was told the most.
pub(crate) fn distinct(shots: &[Shot]) -> Vec<&Shot> {
    let contents: Vec<_> = shots
        .iter()
        .map(|shot| contents(&shot.crash(), Path::new("/")))
        .collect();
    let is_last_of_its_kind = |i: &usize| contents.get(i + 1) != Some(&contents[*i]);
    (0..shots.len())
        .filter(is_last_of_its_kind)
        .map(|i| &shots[i])
        .collect()
}

/// Every file and directory with its content.
fn contents(fs: &ForgetfulFs, directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs.read_dir(directory).unwrap() {
        let path = directory.join(&entry.name);
        if entry.is_dir() {
            found.extend(contents(fs, &path));
            found.push((path, Vec::new()));
        } else {
            let content = read_to_vec(fs, &path, u64::MAX).unwrap();
            found.push((path, content));
        }
    }
    found
}
