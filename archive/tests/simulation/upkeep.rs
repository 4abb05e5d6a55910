//! Those who change what is live: committers, compactors, retention, masks, locks, undo, collectors.
//!
//! Each decides as the real one must: on what it is given, again after each lost race.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use emberkeep_archive::{
    ArchiveError, Catalog, Change, CollectSettings, Live, Lock, Mask, MatcherText, PartEntry, Removal, Root, apply,
    collect, condemn_orphans, fold, names, rollback,
};
use object_store::ObjectStoreExt;
use object_store::path::Path;

use crate::context::Context;
use crate::model::LOG_GRACE;
use crate::planted::Planted;
use crate::sample::{DAY, Made, Sample, merged};

/// Short windows: a run lasts some simulated minutes.
pub(crate) const SETTINGS: CollectSettings = CollectSettings {
    undelete_window: Duration::from_secs(20),
    log_grace: Duration::from_millis(LOG_GRACE.unsigned_abs()),
    every_root: Duration::from_secs(10),
    leftover_after: Duration::from_secs(15),
};

/// Notes what a change led to.
pub(crate) fn note(context: &Context, nonce: &str, outcome: Result<Option<Root>, ArchiveError>) {
    match outcome {
        Ok(root) => context.model.borrow_mut().told(nonce, root.as_ref()),
        Err(ArchiveError::Refused(_)) => context.model.borrow_mut().seen.refused += 1,
        Err(error) if error.is_transient() || context.was_damaged() => {}
        Err(error) => context.model.borrow_mut().demand(format!("change: {error}")),
    }
}

async fn change(
    context: &Context,
    catalog: &Catalog,
    decide: impl FnMut(&Live) -> Result<Option<Change>, ArchiveError>,
) {
    let nonce = context.nonce();
    let outcome = apply(catalog, &nonce, context.now(), decide).await;
    note(context, &nonce, outcome);
}

/// Bugs of whoever creates roots.
const OF_ROOTS: [Planted; 1] = [Planted::OvertakenRootIsLost];

pub(crate) async fn committer(context: Context) {
    let catalog = context.catalog_of(&OF_ROOTS);
    loop {
        context.pause().await;
        let nonce = context.nonce();
        let outcome = fold(&*context.store, &catalog, &nonce, context.now()).await;
        note(&context, &nonce, outcome);
    }
}

pub(crate) async fn compactor(context: Context) {
    let catalog = context.catalog_of(&OF_ROOTS);
    loop {
        context.pause().await;
        let Ok(live) = catalog.live().await else { continue };
        let inputs: Vec<PartEntry> = live
            .parts()
            .filter(|_| context.chance(400))
            .map(|part| PartEntry::clone(part))
            .collect();
        if !inputs.is_empty() {
            // An error of the store ends the job; its outputs are orphans.
            let _ = merge(&context, &catalog, &live, inputs).await;
        }
    }
}

async fn merge(
    context: &Context,
    catalog: &Catalog,
    live: &Live,
    inputs: Vec<PartEntry>,
) -> Result<(), object_store::Error> {
    let masks: Vec<Mask> = live.masks().to_vec();
    let through = masks.iter().map(|mask| mask.number).max().unwrap_or(0);
    let mut windows: BTreeMap<(&str, i32), BTreeSet<Sample>> = BTreeMap::new();
    let mut has_dropped = BTreeSet::new();
    for part in &inputs {
        for sample in context.download(&part.files[0].path).await? {
            let is_dropped = masks
                .iter()
                .any(|mask| mask.number > part.masks && sample.is_under(mask));
            if is_dropped && !context.has(Planted::MaskNotApplied) {
                has_dropped.insert(part.ulid);
            } else if context.has(Planted::MaskNotApplied) || !masks.iter().any(|mask| sample.is_under(mask)) {
                let window = windows.entry((sample.tenant, sample.day())).or_default();
                window.insert(sample);
            }
        }
    }
    let mut added: Vec<Made> = Vec::new();
    for samples in windows.into_values() {
        let mut samples: Vec<Sample> = samples.into_iter().collect();
        if context.has(Planted::LostRow) && samples.len() > 1 {
            samples.pop();
        }
        let cut = if context.chance(300) { samples.len() / 2 } else { 0 };
        for half in [&samples[..cut], &samples[cut..]] {
            if !half.is_empty() {
                let part = merged(context.files, context.ulid(), half, (through, context.now()), &inputs);
                context.upload(&part).await?;
                added.push(part);
            }
        }
    }
    context.pause().await;
    change(context, catalog, |live| {
        let parts = live.by_ulid();
        let is_there = |part: &&PartEntry| parts.contains_key(&part.ulid);
        let is_live = context.has(Planted::GoneInput) || inputs.iter().all(|part| is_there(&part));
        // Rows that a mask deleted must not be gone when the mask is lifted meanwhile.
        let is_in_force = |mask: &Mask| live.masks().iter().any(|now| now.id == mask.id);
        if !is_live || !(context.has(Planted::LiftedMask) || masks.iter().all(is_in_force)) {
            return Ok(None);
        }
        let mut change = Change {
            add: added.iter().map(|part| part.entry.clone()).collect(),
            ..Change::default()
        };
        for part in inputs.iter().filter(is_there) {
            let why = match has_dropped.contains(&part.ulid) {
                true => Removal::Rewritten,
                false => Removal::Compacted,
            };
            change.removing(why, part.ulid);
        }
        Ok(Some(change))
    })
    .await;
    Ok(())
}

pub(crate) async fn retention(context: Context) {
    let catalog = context.catalog();
    loop {
        context.pause().await;
        if !context.chance(250) {
            continue;
        }
        let limit = i64::try_from(context.below(2 * DAY.unsigned_abs())).expect("two days");
        let min_age = 500;
        let now = context.now();
        let is_blind = context.has(Planted::LockNotSeen);
        let due = |live: &Live| {
            let mut change = Change::default();
            for part in live.parts() {
                let is_old = part.max_time < limit && part.known_committed_at() < now - min_age;
                if is_old && (is_blind || !live.locks().iter().any(|lock| lock.keeps_part(part))) {
                    change.removing(Removal::Expired, part.ulid);
                }
            }
            change
        };
        change(&context, &catalog, |live| Ok(Some(due(live)))).await;
    }
}

pub(crate) async fn lawyer(context: Context) {
    let catalog = context.catalog();
    loop {
        context.pause().await;
        if !context.chance(200) {
            continue;
        }
        let from = i64::try_from(context.below(3 * DAY.unsigned_abs())).expect("three days");
        let to = from + DAY / 2;
        let tenant = context.one_of(&["a", "b"]).to_owned();
        let id = context.ulid().to_string();
        let created_at = context.now();
        let (reason, who) = (String::new(), String::new());
        let first = |ids: Vec<String>| ids.into_iter().next().into_iter().collect::<Vec<_>>();
        match context.below(5) {
            0 | 1 => {
                let matchers = match context.below(3) {
                    0 => vec![],
                    _ => vec![MatcherText {
                        name: "job".to_owned(),
                        op: "=".to_owned(),
                        value: context.one_of(&["x", "y"]).to_owned(),
                    }],
                };
                let mask = Mask {
                    id,
                    number: 0,
                    tenant,
                    matchers,
                    from,
                    to,
                    reason,
                    who,
                    created_at,
                };
                change(&context, &catalog, |live| {
                    let is_locked = live
                        .locks()
                        .iter()
                        .any(|lock| lock.keeps(Some(&mask.tenant), from, to - 1));
                    let masks = vec![mask.clone()];
                    Ok((!is_locked).then(|| Change {
                        masks,
                        ..Change::default()
                    }))
                })
                .await;
            }
            2 => {
                change(&context, &catalog, |live| {
                    let lifted = first(live.masks().iter().map(|mask| mask.id.clone()).collect());
                    Ok(Some(Change {
                        lifted,
                        ..Change::default()
                    }))
                })
                .await;
            }
            3 => {
                let tenant = Some(tenant).filter(|_| context.chance(700));
                let lock = Lock {
                    id,
                    tenant,
                    from,
                    to,
                    reason,
                    who,
                    created_at,
                };
                change(&context, &catalog, |live| {
                    let mut masks = live.masks().iter();
                    let is_masked = masks.any(|mask| lock.keeps(Some(&mask.tenant), mask.from, mask.to - 1));
                    let locks = vec![lock.clone()];
                    Ok((!is_masked).then(|| Change {
                        locks,
                        ..Change::default()
                    }))
                })
                .await;
            }
            _ => {
                change(&context, &catalog, |live| {
                    let released = first(live.locks().iter().map(|lock| lock.id.clone()).collect());
                    Ok(Some(Change {
                        released,
                        ..Change::default()
                    }))
                })
                .await;
            }
        }
    }
}

pub(crate) async fn undoer(context: Context) {
    let catalog = context.catalog();
    loop {
        context.pause().await;
        if !context.chance(150) {
            continue;
        }
        let Ok(live) = catalog.live().await else { continue };
        if context.has(Planted::UndoBelowFloor) {
            undo_all(&context, &catalog).await;
            continue;
        }
        let to = live.root_n().saturating_sub(context.below(6));
        let nonce = context.nonce();
        let outcome = rollback(&catalog, to, &nonce, context.now()).await;
        if let Ok(Some((root, _))) = &outcome {
            context.model.borrow_mut().undone(to, root);
        }
        note(&context, &nonce, outcome.map(|done| done.map(|(root, _)| root)));
    }
}

/// Takes back whatever is condemned, as if nothing of it could be deleted yet.
async fn undo_all(context: &Context, catalog: &Catalog) {
    context.model.borrow_mut().may_repeat = true;
    change(context, catalog, |live| {
        let lost = live.condemned().iter().filter(|entry| entry.why.is_loss());
        let restored = lost.map(|entry| entry.name.clone()).collect();
        Ok(Some(Change {
            restored,
            ..Change::default()
        }))
    })
    .await;
}

pub(crate) async fn collector(context: Context) {
    let catalog = context.catalog();
    loop {
        context.pause().await;
        let _ = once(&context, &catalog).await;
    }
}

/// One run of the collection, and of the search for orphans.
pub(crate) async fn once(context: &Context, catalog: &Catalog) -> Result<(), ArchiveError> {
    careless(context, catalog).await?;
    let lied_to = context.catalog_of(&[Planted::PinsLookedAtOnce, Planted::YoungListsCollected]);
    let is_lied_to = context.has(Planted::PinsLookedAtOnce) || context.has(Planted::YoungListsCollected);
    let seen = if is_lied_to { &lied_to } else { catalog };
    let collected = collect(seen, &SETTINGS, context.now()).await;
    if let Err(error) = &collected {
        let model = &mut *context.model.borrow_mut();
        // A root that an accident damaged, and that a pin keeps, is in the way of leftovers until the pin ends.
        let is_ours = !error.is_transient() && !matches!(error, ArchiveError::Refused(_)) && !model.was_damaged;
        model.demand(is_ours.then(|| format!("collect: {error}")));
    }
    collected?;
    condemn_orphans(catalog, context.now()).await.map(|_| ())
}

/// What a collector with a bug does before anything else.
async fn careless(context: &Context, catalog: &Catalog) -> Result<(), ArchiveError> {
    let live = catalog.live().await;
    let store = &*context.store;
    if context.has(Planted::NewestRecordCollected) {
        let root = live?.root().cloned();
        for (receiver, mark) in root.iter().flat_map(|root| &root.watermarks) {
            let path = names::log_record(receiver, mark.seq);
            store.delete(&path).await.map_err(|source| lost_at(&path, source))?;
        }
    } else if context.has(Planted::NoFloor) {
        let due = context.now() - 20_000;
        for entry in live?.condemned().iter().filter(|entry| entry.at <= due) {
            let list = context.model.borrow().list(&entry.name);
            for path in list
                .into_iter()
                .flat_map(|list| list.all_paths().map(Path::from).collect::<Vec<_>>())
            {
                store.delete(&path).await.map_err(|source| lost_at(&path, source))?;
            }
        }
    } else if context.has(Planted::YoungOrphans) {
        let live = live?;
        let named: BTreeSet<String> = live
            .parts()
            .flat_map(|part| part.files.iter().map(|file| file.path.clone()))
            .collect();
        let files = context.world.lock().names("");
        let files = files
            .iter()
            .map(Path::to_string)
            .filter(|path| path.ends_with(".parquet"));
        let orphans: Vec<String> = files.filter(|path| !named.contains(path)).collect();
        let nonce = context.nonce();
        let orphans = |_: &Live| {
            Ok::<_, ArchiveError>(Some(Change {
                orphans: orphans.clone(),
                ..Change::default()
            }))
        };
        apply(catalog, &nonce, context.now(), orphans).await?;
    }
    Ok(())
}

fn lost_at(path: &Path, source: object_store::Error) -> ArchiveError {
    ArchiveError::Store {
        object: path.to_string(),
        source,
    }
}
