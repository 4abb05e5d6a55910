//! Publications: once, again, interrupted at each step, against another publisher, and with the tables gone.

use object_store::memory::InMemory;
use object_store::{ObjectStoreExt, path::Path};

use futures::StreamExt;

use super::faults::{FaultyStore, PutFault};
use super::*;
use crate::delta_table::Publication;
use crate::delta_table::cleaning::clean;
use std::time::Duration;

const ALL: [FileKind; 5] = FileKind::ALL;

fn memory() -> Arc<dyn ObjectStore> {
    Arc::new(InMemory::new())
}

async fn assert_tables(store: &Arc<dyn ObjectStore>, parts: &[u128], root_n: u64) {
    for kind in [FileKind::Series, FileKind::Samples] {
        let (found, as_of) = table(store, kind).await.unwrap();
        assert_eq!(found, BTreeSet::from_iter(parts.iter().copied()), "{kind:?}");
        assert_eq!(as_of, root_n, "{kind:?}");
    }
}

#[tokio::test]
async fn tables_follow_the_roots() {
    let store = memory();
    let publisher = publisher(&store);
    assert_eq!(publisher.publish(1, &[], &[]).await.unwrap(), Publication::default());
    assert_eq!(table(&store, FileKind::Series).await, None, "nothing to show, no table");

    let (a, b) = (part(1, "a*b", 5, (0, 2), &ALL), part(2, "a*b", 5, (2, 4), &ALL));
    let first = publisher
        .publish(2, &shared(&[a.clone(), b.clone()]), &[])
        .await
        .unwrap();
    assert_eq!((first.parts, first.added, first.removed, first.commits), (2, 10, 0, 5));
    for kind in ALL {
        assert_eq!(table(&store, kind).await.unwrap(), (BTreeSet::from([1, 2]), 2));
    }
    let same = publisher
        .publish(3, &shared(&[a.clone(), b.clone()]), &[])
        .await
        .unwrap();
    assert_eq!((same.parts, same.commits), (2, 0));

    // Both are merged into one; a late one waits.
    let mut merged = part(3, "a*b", 5, (0, 4), &ALL);
    merged.level = 2;
    let late = part(4, "a*b", 5, (3, 4), &ALL);
    let second = publisher.publish(4, &shared(&[merged, late]), &[]).await.unwrap();
    assert_eq!(
        (
            second.parts,
            second.waiting,
            second.added,
            second.removed,
            second.commits
        ),
        (1, 1, 5, 10, 6)
    );
    for kind in ALL {
        assert_eq!(table(&store, kind).await.unwrap(), (BTreeSet::from([3]), 4));
    }
    // All goes.
    let last = publisher.publish(5, &[], &[]).await.unwrap();
    assert_eq!((last.parts, last.removed, last.commits), (0, 5, 5));
    assert_eq!(table(&store, FileKind::Samples).await.unwrap(), (BTreeSet::new(), 5));
}

#[tokio::test]
async fn a_publisher_that_comes_late_changes_nothing() {
    let store = memory();
    publisher(&store)
        .publish(9, &shared(&[floats(1, 5, (0, 2))]), &[])
        .await
        .unwrap();
    let late = publisher(&store)
        .publish(8, &shared(&[floats(2, 6, (0, 2))]), &[])
        .await
        .unwrap();
    assert_eq!(late.commits, 0);
    assert_tables(&store, &[1], 9).await;
}

#[tokio::test]
async fn tables_that_are_gone_are_made_again() {
    let store = memory();
    let parts = shared(&[floats(1, 5, (0, 2)), floats(2, 6, (0, 2))]);
    let publisher = publisher(&store);
    publisher.publish(1, &parts, &[]).await.unwrap();
    publisher.publish(2, &parts[..1], &[]).await.unwrap();
    let logs: Vec<_> = store.list(Some(&Path::from("samples/_delta_log"))).collect().await;
    for object in logs {
        store.delete(&object.unwrap().location).await.unwrap();
    }
    // One that knows nothing looks, and finds it.
    super::publisher(&store).publish(2, &parts[..1], &[]).await.unwrap();
    assert_tables(&store, &[1], 2).await;
}

/// Lets some puts pass, and then lets one fail.
fn fail_put(store: &Arc<FaultyStore>, after: usize, fault: PutFault) {
    let again = Arc::clone(store);
    store.before_next_put(move || {
        Box::pin(async move {
            match after.checked_sub(1) {
                Some(left) => fail_put(&again, left, fault),
                None => again.fail_puts(&[fault]),
            }
        })
    });
}

#[tokio::test]
async fn a_publication_that_stops_anywhere_is_finished_by_the_next() {
    let before = shared(&[part(1, "t", 5, (0, 2), &ALL), part(2, "t", 5, (2, 4), &ALL)]);
    let mut merged = part(3, "t", 5, (0, 4), &ALL);
    merged.level = 2;
    let after = shared(&[merged]);
    for fault in [PutFault::FailBefore, PutFault::FailAfter, PutFault::PretendExists] {
        // A creation of five tables, a change of six commits.
        for stop in 0..11 {
            let faulty = Arc::new(FaultyStore::default());
            let store: Arc<dyn ObjectStore> = faulty.clone();
            let publisher = publisher(&store);
            fail_put(&faulty, stop, fault);
            let first = publisher.publish(1, &before, &[]).await;
            let second = publisher.publish(2, &after, &[]).await;
            let has_failed = first.is_err() || second.is_err();
            assert_eq!(
                has_failed,
                !matches!(fault, PutFault::PretendExists),
                "{fault:?} {stop}"
            );
            // Whoever joins rows with their series finds each row once, wherever it stopped.
            if let (Some((series, _)), Some((samples, _))) = (
                table(&store, FileKind::Series).await,
                table(&store, FileKind::Samples).await,
            ) {
                assert!(samples.is_subset(&series), "{fault:?} {stop}");
                assert!(
                    [BTreeSet::from([1, 2]), BTreeSet::from([3])].contains(&samples),
                    "{fault:?} {stop}"
                );
            }
            super::publisher(&store).publish(2, &after, &[]).await.unwrap();
            for kind in ALL {
                assert_eq!(
                    table(&store, kind).await.unwrap().0,
                    BTreeSet::from([3]),
                    "{fault:?} {stop} {kind:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_lost_race_is_run_again() {
    for late_root in [2, 4] {
        let faulty = Arc::new(FaultyStore::default());
        let store: Arc<dyn ObjectStore> = faulty.clone();
        publisher(&store)
            .publish(1, &shared(&[floats(1, 5, (0, 2))]), &[])
            .await
            .unwrap();
        let other: Arc<dyn ObjectStore> = faulty.inner.clone();
        faulty.before_next_put(move || {
            Box::pin(async move {
                publisher(&other)
                    .publish(3, &shared(&[floats(3, 5, (0, 2))]), &[])
                    .await
                    .unwrap();
            })
        });
        let (number, root_n) = if late_root == 2 { (3, 3) } else { (4, 4) };
        publisher(&store)
            .publish(late_root, &shared(&[floats(4, 5, (0, 2))]), &[])
            .await
            .unwrap();
        assert_tables(&store, &[number], root_n).await;
    }
}

#[tokio::test]
async fn checkpoints_are_written_and_read() {
    let faulty = Arc::new(FaultyStore::default());
    let store: Arc<dyn ObjectStore> = faulty.clone();
    let publisher = publisher(&store);
    let mut most = 0;
    for n in 1..=60 {
        let parts: Vec<PartEntry> = (1..=n)
            .map(|i| floats(i, 5 + i32::try_from(i).unwrap(), (0, 2)))
            .collect();
        let from = parts.len().saturating_sub(3);
        faulty.take_requests();
        publisher
            .publish(u64::try_from(n).unwrap(), &shared(&parts[from..]), &[])
            .await
            .unwrap();
        let requests = faulty.take_requests();
        most = most.max(requests.gets + requests.puts + requests.lists);
    }
    assert_tables(&store, &[58, 59, 60], 60).await;
    assert!(
        store
            .head(&Path::from("samples/_delta_log/_last_checkpoint"))
            .await
            .is_ok()
    );
    assert!(most < 250, "{most} requests");
    let commit = |n: u32| Path::from(format!("samples/_delta_log/{n:020}.json"));
    assert_eq!(
        clean(&*store, FileKind::Samples, Duration::from_secs(60))
            .await
            .unwrap(),
        0,
        "all is young"
    );
    assert!(store.head(&commit(0)).await.is_ok());
    // What no version needs that is not too old.
    let cleaned = clean(&*store, FileKind::Samples, Duration::ZERO).await.unwrap();
    assert!(cleaned > 40, "{cleaned} objects went");
    assert!(store.head(&commit(0)).await.is_err());
    assert_tables(&store, &[58, 59, 60], 60).await;
    faulty.take_requests();
    let same: Vec<PartEntry> = (58..=60)
        .map(|i| floats(i, 5 + i32::try_from(i).unwrap(), (0, 2)))
        .collect();
    publisher.publish(61, &shared(&same), &[]).await.unwrap();
    let requests = faulty.take_requests();
    assert_eq!(
        requests.gets + requests.puts + requests.lists,
        0,
        "nothing new, nothing asked"
    );
}
