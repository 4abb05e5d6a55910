//! Pins against the collection, in every order.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use object_store::{ObjectStore, ObjectStoreExt};

use super::super::{Catalog, CollectSettings, Collected, HeldPin, Removal, collect};
use super::faults::{FaultyStore, PutFault};
use super::{PartEntry, add, has_files, put_compacted, remove};
use crate::{ArchiveError, names};

/// A moment at which what was removed at the time 0 is due.
const DUE: i64 = 8 * 86_400_000;

/// How long the pins below hold.
const HOUR: Duration = Duration::from_secs(3600);

/// Root 1 with a part, root 2 without it.
async fn with_a_removal(store: &Arc<FaultyStore>) -> (Catalog, PartEntry) {
    store.set_clock(0);
    let catalog = Catalog::new(store.clone());
    let part = put_compacted(&**store, 1, 0).await;
    add(&catalog, std::slice::from_ref(&part), 0).await;
    remove(&catalog, Removal::Expired, &part, 0).await;
    store.set_clock(DUE);
    (catalog, part)
}

async fn collect_at(store: &Arc<FaultyStore>, now_ms: i64) -> Collected {
    let catalog = Catalog::new(store.clone());
    collect(&catalog, &CollectSettings::default(), now_ms).await.unwrap()
}

fn is_refused<T>(outcome: &Result<T, ArchiveError>) -> bool {
    matches!(outcome, Err(ArchiveError::Refused(_)))
}

async fn pins(store: &FaultyStore) -> usize {
    store
        .inner
        .list_with_delimiter(Some(&names::pins()))
        .await
        .unwrap()
        .objects
        .len()
}

#[tokio::test]
async fn a_pin_that_is_held_keeps_files_until_it_is_released() {
    let store = Arc::new(FaultyStore::default());
    let (catalog, part) = with_a_removal(&store).await;
    let pin = HeldPin::hold(&catalog, 1, HOUR, "export", DUE).await.unwrap();
    assert_eq!(collect_at(&store, DUE).await.files, 0);
    assert!(has_files(&*store, &part).await);
    assert_eq!(
        catalog.at_root(1).await.unwrap().parts.len(),
        1,
        "the pinned root stays readable"
    );
    pin.release(&catalog).await;
    assert_eq!(pins(&store).await, 0);
    assert_eq!(collect_at(&store, DUE).await.files, 2);
    assert!(!has_files(&*store, &part).await);
}

#[tokio::test]
async fn a_newer_root_that_is_pinned_keeps_nothing_that_it_does_not_need() {
    let store = Arc::new(FaultyStore::default());
    let (catalog, part) = with_a_removal(&store).await;
    let _pin = HeldPin::hold(&catalog, 2, HOUR, "export", DUE).await.unwrap();
    assert_eq!(collect_at(&store, DUE).await.files, 2);
    assert!(!has_files(&*store, &part).await);
}

#[tokio::test]
async fn a_pin_after_the_floor_is_refused_and_leaves_nothing() {
    let store = Arc::new(FaultyStore::default());
    let (catalog, _) = with_a_removal(&store).await;
    collect_at(&store, DUE).await;
    assert!(is_refused(&HeldPin::hold(&catalog, 1, HOUR, "export", DUE).await));
    assert!(is_refused(&catalog.at_root(1).await) || catalog.at_root(1).await.unwrap_err().is_not_found());
    assert_eq!(pins(&store).await, 0);
    assert!(HeldPin::hold(&catalog, 2, HOUR, "export", DUE).await.is_ok());
}

#[tokio::test]
async fn a_pin_between_the_first_listing_and_the_deletion_is_seen() {
    let store = Arc::new(FaultyStore::default());
    let (_, part) = with_a_removal(&store).await;
    // The collector has listed the pins and raised the floor. A reader that pinned just before the floor holds its pin.
    let other = Arc::clone(&store.inner);
    store.before_next_put(move || {
        async move {
            HeldPin::hold(&Catalog::new(other), 1, HOUR, "export", DUE)
                .await
                .unwrap();
        }
        .boxed()
    });
    let collected = collect_at(&store, DUE).await;
    assert_eq!((collected.files, collected.pinned), (0, 1));
    assert!(has_files(&*store, &part).await);
    let floor = Catalog::new(store.clone()).live().await.unwrap().floor();
    assert_eq!(floor, 2, "and nobody else pins that root any more");

    // An hour later it has expired.
    assert_eq!(collect_at(&store, DUE + 3_600_000).await.files, 2);
}

#[tokio::test]
async fn a_pin_that_the_floor_overtook_is_still_renewed_and_one_that_expired_is_not() {
    let store = Arc::new(FaultyStore::default());
    let (catalog, part) = with_a_removal(&store).await;
    let pin = Arc::new(parking_lot::Mutex::new(None));
    let (other, slot) = (Arc::clone(&store.inner), Arc::clone(&pin));
    store.before_next_put(move || {
        async move {
            let held = HeldPin::hold(&Catalog::new(other), 1, HOUR, "export", DUE)
                .await
                .unwrap();
            *slot.lock() = Some(held);
        }
        .boxed()
    });
    collect_at(&store, DUE).await;
    let mut pin = pin.lock().take().unwrap();
    let half = DUE + 1_800_000;
    store.set_clock(half);
    pin.renew(&catalog, HOUR, half).await.unwrap();
    assert_eq!(pins(&store).await, 1);
    // The first pin would have expired; the second holds.
    assert_eq!(collect_at(&store, DUE + 3_600_000).await.files, 0);
    assert!(has_files(&*store, &part).await);
    let late = half + 3_600_000;
    store.set_clock(late);
    assert!(is_refused(&pin.renew(&catalog, HOUR, late).await));
    assert_eq!(collect_at(&store, late).await.files, 2);
}

#[tokio::test]
async fn a_pin_whose_answer_was_lost_holds() {
    for fault in [PutFault::FailAfter, PutFault::FailBefore, PutFault::PretendExists] {
        let store = Arc::new(FaultyStore::default());
        let (catalog, part) = with_a_removal(&store).await;
        store.fail_put_below(&names::pins(), fault);
        let pin = HeldPin::hold(&catalog, 1, HOUR, "export", DUE).await.unwrap();
        assert_eq!(pin.root(), 1);
        collect_at(&store, DUE).await;
        assert!(has_files(&*store, &part).await, "{fault:?}");
    }
}

#[tokio::test]
async fn pins_of_dead_readers_are_removed_in_the_end() {
    let store = Arc::new(FaultyStore::default());
    let (catalog, _) = with_a_removal(&store).await;
    let _dead = HeldPin::hold(&catalog, 2, HOUR, "export", DUE).await.unwrap();
    let day = 86_400_000;
    collect_at(&store, DUE + 3_600_000 + day - 1).await;
    assert_eq!(pins(&store).await, 1);
    collect_at(&store, DUE + 3_600_000 + day).await;
    assert_eq!(pins(&store).await, 0);
    assert!(store.head(&names::root(2)).await.is_ok() || catalog.live().await.unwrap().root_n() > 2);
}
