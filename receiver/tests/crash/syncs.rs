//! Taking out any one sync is seen: for each call site that syncs, the story is run without it, and some crash then loses something.
//!
//! The table in `docs/durability.md` says for each site how its loss shows; a site that is not in it fails here, so a new sync comes with
//! its reason.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use emberkeep_disk::{CrashMode, ForgetfulFs, SyncKind};

use crate::call_site::{call_site, place};
use crate::ledger::Ledger;
use crate::record::{Shot, photograph};
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
