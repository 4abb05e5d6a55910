//! Changes of what is live: races, lost answers, stalls, and what a root refuses.

use std::sync::Arc;

use futures::FutureExt;
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use ulid::Ulid;

use super::super::{Catalog, Change, Committed, Live, Quarantined, Removal, Root, apply, commit, fold};
use super::faults::{FaultyStore, PutFault, Requests};
use super::{
    add, commit_one, has_files, land, live_ulids, lock_of, mask_of, put_compacted, put_files, record_of, remove,
    root_of,
};
use crate::{ArchiveError, Created, fresh_nonce, names, put_create};

fn adding(parts: &[super::PartEntry]) -> Change {
    Change {
        add: parts.to_vec(),
        ..Change::default()
    }
}

async fn refusal(catalog: &Catalog, change: Change) -> String {
    let decide = |_: &Live| Ok::<_, ArchiveError>(Some(change.clone()));
    match apply(catalog, &fresh_nonce(), 10, decide).await {
        Err(ArchiveError::Refused(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn one_root_adds_and_removes_all_at_once() {
    let store = Arc::new(InMemory::new());
    commit_one(&*store, "r", 1, 1).await;
    commit_one(&*store, "r", 1, 2).await;
    let catalog = Catalog::new(store.clone());
    fold(&*store, &catalog, &fresh_nonce(), 10).await.unwrap().unwrap();
    let added = [put_compacted(&*store, 11, 0).await, put_compacted(&*store, 12, 1).await];
    let mut change = adding(&added);
    change.removing(Removal::Compacted, Ulid(1));
    let root = land(&catalog, change, 20).await;
    assert_eq!((root.n, root.level0.len(), root.created_at), (2, 1, 20));
    assert_eq!(
        root.manifests
            .iter()
            .map(|entry| (entry.day, entry.parts, entry.bytes))
            .collect::<Vec<_>>(),
        [(0, 1, 2000), (1, 1, 2000)]
    );
    let condemned: Vec<_> = root
        .condemned
        .iter()
        .map(|list| (list.why, list.root, list.at, list.files))
        .collect();
    assert_eq!(condemned, [(Removal::Compacted, 2, 20, 2)]);
    assert_eq!(root.watermarks["r"].seq, 2, "a change takes no receipt back");
    assert_eq!(live_ulids(&store).await, [2, 11, 12]);
    let view = catalog.refresh().await.unwrap();
    assert_eq!((view.root_n, view.parts.len(), view.committed["r"]), (2, 3, 2));
}

#[tokio::test]
async fn days_that_are_not_touched_are_not_written_or_read_again() {
    let store = Arc::new(FaultyStore::default());
    let catalog = Catalog::new(store.clone());
    let mut parts = Vec::new();
    for day in 0..20 {
        parts.push(put_compacted(&*store, 100 + day, i32::try_from(day).unwrap()).await);
    }
    let before = add(&catalog, &parts, 10).await;
    let reader = Catalog::new(store.clone());
    reader.refresh().await.unwrap();
    let merged = put_compacted(&*store, 200, 7).await;
    store.take_requests();
    let mut change = adding(&[merged]);
    change.removing(Removal::Compacted, parts[7].ulid);
    let after = land(&catalog, change, 20).await;
    // The root is found by a listing, and looked for again after its creation; one list, one manifest and the root are written.
    let requests = store.take_requests();
    assert_eq!((requests.puts, requests.lists), (3, 2));
    let kept = after
        .manifests
        .iter()
        .filter(|entry| before.manifests.contains(entry))
        .count();
    assert_eq!((after.manifests.len(), kept), (20, 19));
    store.take_requests();
    reader.refresh().await.unwrap();
    let expected = Requests {
        puts: 0,
        gets: 2,
        lists: 2,
    };
    assert_eq!(
        store.take_requests(),
        expected,
        "the new root, and the one manifest that changed"
    );
    reader.refresh().await.unwrap();
    assert_eq!(store.take_requests(), Requests { gets: 0, ..expected });
}

#[tokio::test]
async fn whoever_decides_on_what_is_known_already_lists_roots_and_reads_nothing() {
    let store = Arc::new(FaultyStore::default());
    let catalog = Catalog::new(store.clone());
    let part = put_compacted(&*store, 1, 0).await;
    add(&catalog, &[part], 10).await;
    let other = Catalog::new(store.clone());
    other.live().await.unwrap();
    store.take_requests();
    for _ in 0..3 {
        other.live().await.unwrap();
    }
    assert_eq!(
        store.take_requests(),
        Requests {
            puts: 0,
            gets: 0,
            lists: 3
        }
    );
}

#[tokio::test]
async fn a_lost_race_is_decided_again_on_what_the_winner_left() {
    let store = Arc::new(FaultyStore::default());
    let catalog = Catalog::new(store.clone());
    let input = put_compacted(&*store, 1, 0).await;
    let output = put_compacted(&*store, 2, 0).await;
    add(&catalog, std::slice::from_ref(&input), 10).await;
    let (inner, gone) = (Arc::clone(&store.inner), input.clone());
    store.before_next_put(move || {
        async move {
            remove(&Catalog::new(inner), Removal::Expired, &gone, 15).await;
        }
        .boxed()
    });
    let mut seen = Vec::new();
    let nonce = fresh_nonce();
    let outcome = apply(&catalog, &nonce, 20, |live| {
        seen.push(live.root_n());
        let is_live = live.by_ulid().contains_key(&input.ulid);
        let mut change = adding(std::slice::from_ref(&output));
        change.removing(Removal::Compacted, input.ulid);
        Ok::<_, ArchiveError>(is_live.then_some(change))
    });
    assert_eq!(outcome.await.unwrap(), None);
    assert_eq!((seen, live_ulids(&store).await), (vec![1, 2], vec![]));
}

#[tokio::test]
async fn a_root_on_which_others_built_before_its_maker_looked_is_not_lost() {
    let store = Arc::new(FaultyStore::default());
    let catalog = Catalog::new(store.clone());
    let inner = Arc::clone(&store.inner);
    store.after_put_below(&names::roots(), move || {
        async move {
            commit_one(&*inner, "r", 1, 1).await;
            fold(&*inner, &Catalog::new(inner.clone()), &fresh_nonce(), 15)
                .await
                .unwrap()
                .unwrap();
        }
        .boxed()
    });
    let mut asked = 0;
    let nonce = fresh_nonce();
    let root = apply(&catalog, &nonce, 20, |_| {
        asked += 1;
        let masks = vec![mask_of(&Ulid(7).to_string())];
        Ok::<_, ArchiveError>(Some(Change {
            masks,
            ..Change::default()
        }))
    });
    let root = root.await.unwrap().unwrap();
    assert_eq!((root.n, asked), (1, 1));
    let live = catalog.live().await.unwrap();
    assert_eq!((live.root_n(), live.masks().len(), live.masks()[0].number), (2, 1, 1));

    // The same of a fold.
    commit_one(&*store, "r", 1, 2).await;
    let inner = Arc::clone(&store.inner);
    store.after_put_below(&names::roots(), move || {
        async move {
            let released = vec!["none".to_owned()];
            land(
                &Catalog::new(inner),
                Change {
                    released,
                    ..Change::default()
                },
                30,
            )
            .await;
        }
        .boxed()
    });
    let root = fold(&*store, &catalog, &fresh_nonce(), 30).await.unwrap().unwrap();
    assert_eq!((root.n, catalog.live().await.unwrap().root_n()), (3, 4));
}

#[tokio::test]
async fn ambiguous_creations_of_all_that_a_change_writes_are_settled() {
    let written = [
        names::roots(),
        names::manifests(),
        names::condemned_lists(),
        names::masks(),
        names::locks(),
    ];
    for prefix in written {
        for fault in [PutFault::FailAfter, PutFault::FailBefore, PutFault::PretendExists] {
            let store = Arc::new(FaultyStore::default());
            let catalog = Catalog::new(store.clone());
            let old = put_compacted(&*store, 1, 0).await;
            let new = put_compacted(&*store, 2, 0).await;
            add(&catalog, std::slice::from_ref(&old), 10).await;
            store.fail_put_below(&prefix, fault);
            let mut change = Change {
                masks: vec![mask_of(&Ulid(7).to_string())],
                locks: vec![lock_of(&Ulid(8).to_string())],
                ..adding(&[new])
            };
            change.removing(Removal::Rewritten, old.ulid);
            let root = land(&catalog, change, 20).await;
            assert_eq!((root.n, live_ulids(&store).await), (2, vec![2]), "{prefix} {fault:?}");
            let live = Catalog::new(store.clone()).live().await.unwrap();
            assert_eq!(
                (live.masks().len(), live.locks().len(), live.condemned().len()),
                (1, 1, 1)
            );
            assert!(has_files(&*store, &old).await);
        }
    }
}

#[tokio::test]
async fn a_store_that_does_not_answer_leaves_everything_as_it_was() {
    let store = Arc::new(FaultyStore::default());
    let catalog = Catalog::new(store.clone());
    let part = put_compacted(&*store, 1, 0).await;
    let decide = |_: &Live| Ok::<_, ArchiveError>(Some(adding(std::slice::from_ref(&part))));
    for budget in 0.. {
        store.answer_only(Some(budget));
        let outcome = apply(&catalog, &fresh_nonce(), 10, decide).await;
        store.answer_only(None);
        match outcome {
            Err(error) if live_ulids(&store).await.is_empty() => assert!(error.is_transient(), "{error}"),
            // The root was created, and only its maker does not know.
            _ => break,
        }
    }
    assert_eq!(live_ulids(&store).await, [1]);
    let error = refusal(&catalog, adding(&[part])).await;
    assert!(error.contains("live already"), "{error}");
}

#[tokio::test]
async fn a_committer_that_stalled_past_a_collection_decides_again() {
    let store = Arc::new(FaultyStore::default());
    let catalog = Catalog::new(store.clone());
    let part = put_compacted(&*store, 1, 0).await;
    let inner = Arc::clone(&store.inner);
    store.before_next_put(move || {
        async move {
            // Roots 1 to 3 came and went while it stalled.
            let record = record_of("r", 1, 1, Ulid(9));
            let created = put_create(&*inner, &names::root(4), &root_of(4, &[record]), "root 4").await;
            assert_eq!(created.unwrap(), Created::Ours);
        }
        .boxed()
    });
    let root = add(&catalog, &[part], 10).await;
    assert_eq!((root.n, root.previous.as_str()), (5, "root 4"));
    assert_eq!(live_ulids(&store).await, [1, 9]);
    // What it created below the newest root is not seen by anybody who looks.
    assert!(store.head(&names::root(1)).await.is_ok());
    assert_eq!(Catalog::new(store).refresh().await.unwrap().root_n, 5);
}

#[tokio::test]
async fn only_what_is_live_can_be_removed_and_only_what_is_not_can_be_added() {
    let store = Arc::new(InMemory::new());
    let catalog = Catalog::new(store.clone());
    let part = put_compacted(&*store, 1, 0).await;
    add(&catalog, std::slice::from_ref(&part), 10).await;
    assert!(
        refusal(&catalog, adding(std::slice::from_ref(&part)))
            .await
            .contains("live already")
    );
    let mut change = Change::default();
    change.removing(Removal::Expired, Ulid(5));
    assert!(refusal(&catalog, change).await.contains("is not live"));
    let orphans = vec![part.files[0].path.clone()];
    let change = Change {
        orphans,
        ..Change::default()
    };
    assert!(refusal(&catalog, change).await.contains("is live and no orphan"));
    assert_eq!(catalog.live().await.unwrap().root_n(), 1, "nothing of it landed");
}

#[tokio::test]
async fn a_root_that_adds_what_is_condemned_or_gone_is_refused() {
    let store = Arc::new(InMemory::new());
    let catalog = Catalog::new(store.clone());
    let part = put_compacted(&*store, 1, 0).await;
    let orphans = part.files.iter().map(|file| file.path.clone()).collect();
    land(
        &catalog,
        Change {
            orphans,
            ..Change::default()
        },
        10,
    )
    .await;
    assert!(
        refusal(&catalog, adding(std::slice::from_ref(&part)))
            .await
            .contains("condemned")
    );

    // Deleted and forgotten: nothing in the catalog says so.
    let forgotten = catalog
        .live()
        .await
        .unwrap()
        .condemned()
        .iter()
        .map(|list| list.name.clone())
        .collect();
    land(
        &catalog,
        Change {
            forgotten,
            ..Change::default()
        },
        10,
    )
    .await;
    store.delete(&part.files[1].location().unwrap()).await.unwrap();
    assert!(
        refusal(&catalog, adding(std::slice::from_ref(&part)))
            .await
            .contains("is not there")
    );
    store
        .put(&part.files[1].location().unwrap(), vec![0; 3].into())
        .await
        .unwrap();
    assert!(
        refusal(&catalog, adding(std::slice::from_ref(&part)))
            .await
            .contains("3 bytes and not 1000")
    );
    put_files(&*store, &part).await;
    assert_eq!(add(&catalog, &[part], 20).await.n, 3);
}

#[tokio::test]
async fn changes_and_folds_at_once_all_land() {
    let store = Arc::new(InMemory::new());
    let changes = (0..8).map(|i: u8| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let catalog = Catalog::new(store.clone());
            let day = i32::from(i % 3);
            let part = put_compacted(&*store, 100 + u128::from(i), day).await;
            add(&catalog, &[part], 10).await;
            let record = record_of(&format!("r{i}"), 1, 1, Ulid(u128::from(i)));
            assert_eq!(commit(&*store, &record).await.unwrap(), Committed::Done);
            fold(&*store, &catalog, &fresh_nonce(), 10).await.unwrap();
        })
    });
    for task in changes.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    fold(&*store, &Catalog::new(store.clone()), &fresh_nonce(), 10)
        .await
        .unwrap();
    let expected: Vec<u128> = (0..8).chain(100..108).collect();
    assert_eq!(live_ulids(&store).await, expected);
    let live = Catalog::new(store).live().await.unwrap();
    assert_eq!((live.manifests().len(), live.root().unwrap().watermarks.len()), (3, 8));
}

#[tokio::test]
async fn masks_and_locks_hold_from_their_root_until_they_end() {
    let store = Arc::new(InMemory::new());
    let catalog = Catalog::new(store.clone());
    let (mask, lock) = (mask_of(&Ulid(7).to_string()), lock_of(&Ulid(8).to_string()));
    let part = put_compacted(&*store, 1, 0).await;
    add(&catalog, &[part], 10).await;
    let change = Change {
        masks: vec![mask.clone()],
        locks: vec![lock.clone()],
        ..Change::default()
    };
    land(&catalog, change.clone(), 20).await;
    let view = catalog.refresh().await.unwrap();
    assert_eq!(
        (view.masks[0].number, &view.locks[..]),
        (2, std::slice::from_ref(&lock))
    );
    for object in [names::mask(&mask.id), names::lock(&lock.id)] {
        assert!(store.head(&object).await.is_ok(), "{object}");
    }
    // Asked for again, by somebody who was not told.
    let root = land(&catalog, change, 30).await;
    assert_eq!((root.masks.len(), root.masks[0].number, root.locks.len()), (1, 2, 1));
    let change = Change {
        lifted: vec![mask.id],
        released: vec![lock.id],
        ..Change::default()
    };
    let root: Root = land(&catalog, change, 40).await;
    assert_eq!((root.masks.len(), root.locks.len()), (0, 0));
}

#[tokio::test]
async fn a_part_that_cannot_be_read_is_noted_until_it_is_cured_or_gone() {
    let store = Arc::new(InMemory::new());
    let catalog = Catalog::new(store.clone());
    let parts = [put_compacted(&*store, 1, 0).await, put_compacted(&*store, 2, 0).await];
    add(&catalog, &parts, 10).await;
    let quarantined = |part: &super::PartEntry| Quarantined {
        part: part.ulid.to_string(),
        reason: "checksum".to_owned(),
        at: 20,
    };
    let change = Change {
        quarantined: parts.iter().map(quarantined).collect(),
        ..Change::default()
    };
    land(&catalog, change, 20).await;
    assert_eq!(catalog.live().await.unwrap().quarantined().len(), 2);
    let cured = vec![parts[0].ulid.to_string()];
    land(
        &catalog,
        Change {
            cured,
            ..Change::default()
        },
        30,
    )
    .await;
    let root = remove(&catalog, Removal::Expired, &parts[1], 40).await;
    assert_eq!(root.quarantined, []);
}
