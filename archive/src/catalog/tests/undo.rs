//! Undo of removals, never of receipts.

use std::sync::Arc;

use futures::FutureExt;
use object_store::memory::InMemory;
use ulid::Ulid;

use super::super::{Catalog, Change, CollectSettings, Removal, Undone, collect, fold, rollback};
use super::faults::{FaultyStore, PutFault};
use super::{add, commit_one, land, live_ulids, mask_of, put_compacted, remove};
use crate::{ArchiveError, fresh_nonce, names};

/// A moment at which what was removed at the time 0 is due.
const DUE: i64 = 8 * 86_400_000;

#[tokio::test]
async fn losses_and_masks_are_taken_back_and_merges_and_receipts_are_not() {
    let store = Arc::new(InMemory::new());
    let catalog = Catalog::new(store.clone());
    let mut parts = Vec::new();
    for ulid in 101..=105 {
        parts.push(put_compacted(&*store, ulid, 0).await);
    }
    add(&catalog, &parts, 10).await;
    let early = Change {
        masks: vec![mask_of(&Ulid(70).to_string())],
        ..Change::default()
    };
    land(&catalog, early, 20).await;
    remove(&catalog, Removal::Expired, &parts[0], 25).await;
    // Root 3 is what shall be again.
    remove(&catalog, Removal::Expired, &parts[1], 30).await;
    remove(&catalog, Removal::Quota, &parts[2], 40).await;
    let masks = vec![mask_of(&Ulid(71).to_string())];
    let mut change = Change {
        masks,
        add: vec![put_compacted(&*store, 106, 0).await],
        ..Change::default()
    };
    change.removing(Removal::Rewritten, parts[3].ulid);
    change.removing(Removal::Compacted, parts[4].ulid);
    land(&catalog, change, 50).await;
    commit_one(&*store, "r", 1, 20).await;
    for seq in 1..20 {
        commit_one(&*store, "r", 1, seq).await;
    }
    fold(&*store, &catalog, &fresh_nonce(), 60).await.unwrap().unwrap();

    let foreseen = Undone::since(&catalog.live().await.unwrap(), 3).unwrap();
    let (root, undone) = rollback(&catalog, 3, &fresh_nonce(), 70).await.unwrap().unwrap();
    assert_eq!((&foreseen, undone.files, undone.bytes), (&undone, 6, 6000));
    assert_eq!((root.watermarks["r"].seq, root.level0.len()), (20, 20));
    let compacted: Vec<u128> = catalog
        .live()
        .await
        .unwrap()
        .parts()
        .filter(|part| part.level > 0)
        .map(|part| part.ulid.0)
        .collect();
    assert_eq!(
        compacted,
        [102, 103, 104, 106],
        "101 went before root 3, and 105 lost nothing"
    );
    assert_eq!(root.masks.iter().map(|mask| mask.number).collect::<Vec<_>>(), [2]);
    let left: Vec<_> = root.condemned.iter().map(|list| (list.why, list.root)).collect();
    assert_eq!(left, [(Removal::Expired, 3), (Removal::Compacted, 6)]);
    assert!(
        rollback(&catalog, 3, &fresh_nonce(), 80).await.unwrap().is_none(),
        "nothing is left to undo"
    );
}

#[tokio::test]
async fn what_was_undone_is_not_deleted_and_can_be_removed_again() {
    let store = Arc::new(InMemory::new());
    let catalog = Catalog::new(store.clone());
    let part = put_compacted(&*store, 1, 0).await;
    add(&catalog, std::slice::from_ref(&part), 0).await;
    remove(&catalog, Removal::Expired, &part, 0).await;
    rollback(&catalog, 1, &fresh_nonce(), 0).await.unwrap().unwrap();
    assert_eq!(
        collect(&catalog, &CollectSettings::default(), DUE).await.unwrap().files,
        0
    );
    assert!(super::has_files(&*store, &part).await);
    remove(&catalog, Removal::Expired, &part, DUE).await;
    assert_eq!(
        collect(&catalog, &CollectSettings::default(), DUE).await.unwrap().files,
        0,
        "its window begins again"
    );
    assert_eq!(
        collect(&catalog, &CollectSettings::default(), 2 * DUE)
            .await
            .unwrap()
            .files,
        2
    );
}

#[tokio::test]
async fn nothing_is_brought_back_below_the_floor_or_from_the_future() {
    let store = Arc::new(InMemory::new());
    let catalog = Catalog::new(store.clone());
    let parts = [put_compacted(&*store, 1, 0).await, put_compacted(&*store, 2, 0).await];
    add(&catalog, &parts, 0).await;
    remove(&catalog, Removal::Expired, &parts[0], 0).await;
    collect(&catalog, &CollectSettings::default(), DUE).await.unwrap();
    remove(&catalog, Removal::Expired, &parts[1], DUE).await;
    for n in [0, 1, 99] {
        let refused = rollback(&catalog, n, &fresh_nonce(), DUE).await;
        assert!(
            matches!(refused, Err(ArchiveError::Refused(_))),
            "root {n}: {refused:?}"
        );
    }
    rollback(&catalog, 2, &fresh_nonce(), DUE).await.unwrap().unwrap();
    assert_eq!(live_ulids(&store).await, [2]);
}

#[tokio::test]
async fn a_collection_that_begins_meanwhile_wins() {
    let store = Arc::new(FaultyStore::default());
    let catalog = Catalog::new(store.clone());
    let part = put_compacted(&*store, 1, 0).await;
    add(&catalog, std::slice::from_ref(&part), 0).await;
    remove(&catalog, Removal::Expired, &part, 0).await;
    let inner = Arc::clone(&store.inner);
    store.before_next_put(move || {
        async move {
            let catalog = Catalog::new(inner);
            collect(&catalog, &CollectSettings::default(), DUE).await.unwrap();
        }
        .boxed()
    });
    let refused = rollback(&catalog, 1, &fresh_nonce(), DUE).await;
    assert!(matches!(refused, Err(ArchiveError::Refused(_))), "{refused:?}");
    assert_eq!(live_ulids(&store).await, Vec::<u128>::new());
}

#[tokio::test]
async fn an_undo_that_begins_meanwhile_keeps_the_files() {
    let store = Arc::new(FaultyStore::default());
    let catalog = Catalog::new(store.clone());
    let part = put_compacted(&*store, 1, 0).await;
    add(&catalog, std::slice::from_ref(&part), 0).await;
    remove(&catalog, Removal::Expired, &part, 0).await;
    let inner = Arc::clone(&store.inner);
    // Before the collector's root with the floor.
    store.before_next_put(move || {
        async move {
            rollback(&Catalog::new(inner), 1, &fresh_nonce(), DUE)
                .await
                .unwrap()
                .unwrap();
        }
        .boxed()
    });
    assert_eq!(
        collect(&catalog, &CollectSettings::default(), DUE).await.unwrap().files,
        0
    );
    assert!(super::has_files(&*store, &part).await);
    assert_eq!(live_ulids(&store).await, [1]);
}

#[tokio::test]
async fn an_undo_whose_answer_was_lost_is_done_once() {
    for fault in [PutFault::FailAfter, PutFault::FailBefore, PutFault::PretendExists] {
        let store = Arc::new(FaultyStore::default());
        let catalog = Catalog::new(store.clone());
        let part = put_compacted(&*store, 1, 0).await;
        add(&catalog, std::slice::from_ref(&part), 0).await;
        remove(&catalog, Removal::Expired, &part, 0).await;
        store.fail_put_below(&names::roots(), fault);
        let (root, _) = rollback(&catalog, 1, &fresh_nonce(), 5).await.unwrap().unwrap();
        assert_eq!((root.n, live_ulids(&store).await), (3, vec![1]), "{fault:?}");
    }
}
