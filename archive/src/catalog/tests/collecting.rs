//! Collection: what goes, what stays, and what an interruption leaves.

use std::sync::Arc;
use std::time::Duration;

use object_store::{ObjectStore, ObjectStoreExt};
use ulid::Ulid;

use super::super::condemned::{CondemnedEntry, CondemnedList};
use super::super::manifest::Manifest;
use super::super::{Catalog, Change, CollectSettings, Collected, Removal, RetainedRoot, Root, collect, fold};
use super::faults::FaultyStore;
use super::{PartEntry, add, commit_one, has_files, land, live_ulids, put_compacted, remove};
use crate::{ArchiveError, fresh_nonce, names, put_create};

/// A day in milliseconds.
const DAY: i64 = 86_400_000;

/// The default windows: 7 days, 10 minutes, an hour, a day.
async fn collect_at(catalog: &Catalog, now_ms: i64) -> Collected {
    collect(catalog, &CollectSettings::default(), now_ms).await.unwrap()
}

/// A catalog with one live part (101) and one that was removed (102) at the time 1000.
async fn with_a_removal(store: &Arc<FaultyStore>) -> (Catalog, PartEntry, PartEntry) {
    store.set_clock(1000);
    let catalog = Catalog::new(store.clone());
    let kept = put_compacted(&**store, 101, 0).await;
    let gone = put_compacted(&**store, 102, 0).await;
    add(&catalog, &[kept.clone(), gone.clone()], 1000).await;
    remove(&catalog, Removal::Expired, &gone, 1000).await;
    (catalog, kept, gone)
}

#[tokio::test]
async fn removed_files_go_when_the_undelete_window_is_over() {
    let store = Arc::new(FaultyStore::default());
    let (catalog, kept, gone) = with_a_removal(&store).await;
    let early = collect_at(&catalog, 1000 + 7 * DAY - 1).await;
    assert_eq!((early.files, has_files(&*store, &gone).await), (0, true));
    assert_eq!(catalog.live().await.unwrap().floor(), 0);
    let collected = collect_at(&catalog, 1000 + 7 * DAY).await;
    assert_eq!((collected.files, collected.bytes), (2, 2000));
    assert_eq!(
        (has_files(&*store, &gone).await, has_files(&*store, &kept).await),
        (false, true)
    );
    let live = catalog.live().await.unwrap();
    assert_eq!(
        (live.floor(), live.condemned().len(), live_ulids(&store).await),
        (2, 0, vec![101])
    );
    let lists = names::condemned_lists();
    assert!(
        store
            .inner
            .list_with_delimiter(Some(&lists))
            .await
            .unwrap()
            .objects
            .is_empty()
    );
}

#[tokio::test]
async fn a_collection_with_nothing_to_do_costs_few_requests_and_writes_nothing() {
    let store = Arc::new(FaultyStore::default());
    let (catalog, ..) = with_a_removal(&store).await;
    collect_at(&catalog, 1000 + 8 * DAY).await;
    collect_at(&catalog, 1000 + 8 * DAY).await;
    store.take_requests();
    store.take_deletes();
    assert_eq!(collect_at(&catalog, 1000 + 8 * DAY).await, Collected::default());
    let requests = store.take_requests();
    assert_eq!((requests.puts, store.take_deletes()), (0, 0));
    assert!(requests.lists + requests.gets <= 9, "{requests:?}");
}

#[tokio::test]
async fn interrupted_at_any_request_nothing_live_is_gone_and_the_next_one_finishes() {
    for budget in 0.. {
        let store = Arc::new(FaultyStore::default());
        let (catalog, kept, gone) = with_a_removal(&store).await;
        commit_one(&*store, "r", 1, 1).await;
        commit_one(&*store, "r", 1, 2).await;
        fold(&*store, &catalog, &fresh_nonce(), 1000).await.unwrap().unwrap();
        let now = 1000 + 8 * DAY;
        store.set_clock(now);
        store.answer_only(Some(budget));
        let interrupted = collect(&catalog, &CollectSettings::default(), now).await;
        store.answer_only(None);
        // What a reader, an undo and a repetition find.
        let reader = Catalog::new(store.clone());
        let view = reader.refresh().await.unwrap();
        assert_eq!(view.parts.len(), 3, "after {budget} requests");
        assert!(has_files(&*store, &kept).await, "after {budget} requests");
        let live = reader.live().await.unwrap();
        if !has_files(&*store, &gone).await {
            assert_eq!(live.floor(), 2, "after {budget} requests: the floor comes first");
            let undone = super::super::Undone::since(&live, 1);
            assert!(
                matches!(undone, Err(ArchiveError::Refused(_))),
                "after {budget} requests"
            );
        }
        collect_at(&Catalog::new(store.clone()), now).await;
        let live = reader.live().await.unwrap();
        assert_eq!(
            (live.condemned().len(), live_ulids(&store).await),
            (0, vec![1, 2, 101]),
            "after {budget} requests"
        );
        let left = store
            .inner
            .list_with_delimiter(Some(&names::log()))
            .await
            .unwrap()
            .objects;
        assert_eq!(left.len(), 1, "the newest record stays");
        if interrupted.is_ok() {
            assert!(budget > 10, "a collection takes more than {budget} requests");
            return;
        }
    }
}

#[tokio::test]
async fn what_is_live_is_never_deleted_whatever_a_list_says() {
    let store = Arc::new(FaultyStore::default());
    let (catalog, kept, gone) = with_a_removal(&store).await;
    // A list that names a live part and one of level 0 that is not folded: nobody makes such a list.
    let list = CondemnedList {
        nonce: "x".to_owned(),
        why: Removal::Orphan,
        parts: vec![kept.clone()],
        paths: vec!["samples/else.parquet".to_owned()],
        by: vec![],
    };
    let name = Ulid(99).to_string();
    put_create(&*store, &names::condemned(&name), &list, "x").await.unwrap();
    let root = catalog.live().await.unwrap().root().unwrap().clone();
    let mut condemned = root.condemned.clone();
    let (files, bytes) = (3, 0);
    condemned.push(CondemnedEntry {
        name,
        why: Removal::Orphan,
        root: 2,
        at: 1000,
        files,
        bytes,
    });
    let root = Root {
        n: 3,
        nonce: "y".to_owned(),
        condemned,
        ..root
    };
    put_create(&*store, &names::root(3), &root, "y").await.unwrap();
    collect_at(&catalog, 1000 + 8 * DAY).await;
    assert_eq!(
        (has_files(&*store, &kept).await, has_files(&*store, &gone).await),
        (true, false)
    );
}

#[tokio::test]
async fn folded_records_go_after_their_grace_but_the_newest() {
    let store = Arc::new(FaultyStore::default());
    store.set_clock(1000);
    for seq in 1..=4 {
        commit_one(&*store, "r", 1, seq).await;
    }
    commit_one(&*store, "s", 1, 1).await;
    let catalog = Catalog::new(store.clone());
    fold(&*store, &catalog, &fresh_nonce(), 1000).await.unwrap().unwrap();
    commit_one(&*store, "r", 1, 5).await;
    assert_eq!(collect_at(&catalog, 1000 + 599_999).await.records, 0);
    assert_eq!(collect_at(&catalog, 1000 + 600_000).await.records, 4);
    let view = Catalog::new(store.clone()).refresh().await.unwrap();
    assert_eq!((view.committed["r"], view.committed["s"], view.parts.len()), (5, 1, 6));
    let next = super::super::next_sequence(&*store, "s").await.unwrap();
    assert_eq!((next.seq, next.newest_record.unwrap().seq), (2, 1));
}

#[tokio::test]
async fn old_roots_are_thinned_to_one_an_hour_and_end_with_the_window() {
    let store = Arc::new(FaultyStore::default());
    let catalog = Catalog::new(store.clone());
    let minute = 60_000;
    // Ten days of a root every 20 minutes.
    for i in 0..720 {
        store.set_clock(i * 20 * minute);
        let released = vec!["none".to_owned()];
        land(
            &catalog,
            Change {
                released,
                ..Change::default()
            },
            i * 20 * minute,
        )
        .await;
    }
    let now = 720 * 20 * minute;
    collect_at(&catalog, now).await;
    let retained = catalog.retained_roots().await.unwrap();
    let (young, old): (Vec<&RetainedRoot>, Vec<_>) =
        retained.iter().partition(|root| root.stored_at > now - 60 * minute);
    assert_eq!(
        (young.len(), old.len()),
        (2, 7 * 24 - 1),
        "all of the last hour, and one of each before it"
    );
    assert!(
        old.iter().all(|root| root.n % 3 == 0 && root.stored_at > now - 7 * DAY),
        "the last of its hour"
    );
    assert_eq!(retained[0].n, 720);
    assert_eq!(collect_at(&catalog, now).await.roots, 0);
}

#[tokio::test]
async fn a_leftover_stays_until_its_committer_can_use_it_no_more() {
    let store = Arc::new(FaultyStore::default());
    let (catalog, ..) = with_a_removal(&store).await;
    store.set_clock(2000);
    let part = put_compacted(&*store, 9, 3).await;
    let manifest = Manifest {
        nonce: "m".to_owned(),
        day: 3,
        parts: vec![part.clone()],
    };
    let path = names::manifest(&Ulid(50).to_string());
    put_create(&*store, &path, &manifest, "m").await.unwrap();
    // A committer that wrote this manifest stalls, for days; as long as no other root came, it may still create its own.
    assert_eq!(collect_at(&catalog, 2000 + 5 * DAY).await.leftovers, 0);
    assert!(store.head(&path).await.is_ok());
    store.set_clock(2000 + 5 * DAY);
    let other = put_compacted(&*store, 10, 4).await;
    add(&catalog, &[other], 2000 + 5 * DAY).await;
    assert_ne!(collect_at(&catalog, 2000 + 5 * DAY + 1).await.leftovers, 0);
    assert!(store.head(&path).await.is_err());
    assert_eq!(live_ulids(&store).await, [10, 101]);
}

#[tokio::test]
async fn manifests_of_retained_roots_stay_and_go_with_the_last_of_them() {
    let store = Arc::new(FaultyStore::default());
    let (catalog, kept, _) = with_a_removal(&store).await;
    let settings = CollectSettings {
        leftover_after: Duration::from_secs(60),
        ..CollectSettings::default()
    };
    let manifests = async |store: &FaultyStore| {
        let listed = store.inner.list_with_delimiter(Some(&names::manifests())).await;
        listed.unwrap().objects.len()
    };
    store.set_clock(3_700_000);
    let next = put_compacted(&*store, 3, 0).await;
    let mut change = Change {
        add: vec![next],
        ..Change::default()
    };
    change.removing(Removal::Compacted, kept.ulid);
    land(&catalog, change, 3_700_000).await;
    // Root 1 is thinned out, with its manifest; root 2 stays as the last of its hour.
    collect(&catalog, &settings, 8_000_000).await.unwrap();
    assert_eq!(manifests(&store).await, 2);
    assert_eq!(catalog.at_root(2).await.unwrap().parts.len(), 1);
    store.set_clock(20 * DAY);
    collect(&catalog, &settings, 20 * DAY).await.unwrap();
    assert_eq!(manifests(&store).await, 1);
    assert_eq!(live_ulids(&store).await, [3]);
}
