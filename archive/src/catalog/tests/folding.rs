//! The committer: contiguous numbers, lost races, stalls.

use std::sync::Arc;

use futures::FutureExt;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use ulid::Ulid;

use super::super::{Catalog, Root, Watermark, fold};
use super::faults::{FaultyStore, PutFault};
use super::{commit_one, record_of, root_of};
use crate::{ArchiveError, Created, fresh_nonce, names, put_create};

async fn fold_once(store: &Arc<impl ObjectStore>) -> Option<Root> {
    fold(&**store, &Catalog::new(store.clone()), &fresh_nonce(), 10)
        .await
        .unwrap()
}

#[tokio::test]
async fn roots_grow_by_contiguous_numbers_only() {
    let store = Arc::new(InMemory::new());
    assert_eq!(fold_once(&store).await, None);
    for seq in [1, 2, 4] {
        commit_one(&*store, "r", 1, seq).await;
    }
    let root = fold_once(&store).await.unwrap();
    assert_eq!((root.n, root.watermarks["r"]), (1, Watermark { seq: 2, epoch: 1 }));
    assert_eq!(
        root.level0.iter().map(|part| part.ulid).collect::<Vec<_>>(),
        [Ulid(1), Ulid(2)]
    );
    assert_eq!(fold_once(&store).await, None, "nothing new before the gap is filled");
    commit_one(&*store, "r", 2, 3).await;
    let root = fold_once(&store).await.unwrap();
    assert_eq!(
        (root.n, root.watermarks["r"], root.level0.len()),
        (2, Watermark { seq: 4, epoch: 2 }, 4)
    );
}

#[tokio::test]
async fn many_committers_at_once_fold_everything_exactly_once() {
    let store = Arc::new(InMemory::new());
    let receivers = ["a", "b", "c"];
    let writers = receivers.map(|receiver| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for seq in 1..=20 {
                commit_one(&*store, receiver, 1, seq).await;
                tokio::task::yield_now().await;
            }
        })
    });
    let folders = (0..4).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let catalog = Catalog::new(store.clone());
            for _ in 0..20 {
                fold(&*store, &catalog, &fresh_nonce(), 10).await.unwrap();
                tokio::task::yield_now().await;
            }
        })
    });
    for task in writers.into_iter().chain(folders) {
        task.await.unwrap();
    }
    fold_once(&store).await;
    let view = Catalog::new(store).refresh().await.unwrap();
    assert_eq!(
        view.committed,
        receivers.map(|receiver| (receiver.to_owned(), 20)).into()
    );
    let mut parts: Vec<_> = view
        .parts
        .iter()
        .map(|part| (part.receiver.clone(), part.ulid))
        .collect();
    parts.sort();
    parts.dedup();
    assert_eq!((parts.len(), view.parts.len()), (60, 60));
}

#[tokio::test]
async fn a_lost_race_is_run_again_on_top_of_the_winner() {
    let store = Arc::new(FaultyStore::default());
    commit_one(&*store, "r", 1, 1).await;
    let inner = Arc::clone(&store.inner);
    store.before_next_put(move || {
        async move {
            commit_one(&*inner, "s", 1, 1).await;
            fold_once(&inner).await.unwrap();
            commit_one(&*inner, "s", 1, 2).await;
        }
        .boxed()
    });
    let root = fold_once(&store).await.unwrap();
    assert_eq!(
        (root.n, root.level0.len()),
        (2, 3),
        "the winner folded two records, one more came after it"
    );
}

#[tokio::test]
async fn ambiguous_creations_of_a_root_are_settled() {
    for fault in [PutFault::FailAfter, PutFault::FailBefore, PutFault::PretendExists] {
        let store = Arc::new(FaultyStore::default());
        commit_one(&*store, "r", 1, 1).await;
        store.fail_puts(&[fault]);
        assert_eq!(fold_once(&store).await.unwrap().n, 1, "{fault:?}");
        assert_eq!(fold_once(&store).await, None, "{fault:?}");
    }
}

#[tokio::test]
async fn a_committer_that_stalled_past_a_collection_starts_over() {
    let store = Arc::new(FaultyStore::default());
    commit_one(&*store, "r", 1, 1).await;
    let inner = Arc::clone(&store.inner);
    store.before_next_put(move || {
        // Roots 1 to 3 came and went; only root 4 is retained.
        async move {
            let record = record_of("r", 1, 1, Ulid(1));
            let created = put_create(&*inner, &names::root(4), &root_of(4, &[record]), "root 4")
                .await
                .unwrap();
            assert_eq!(created, Created::Ours);
        }
        .boxed()
    });
    assert_eq!(fold_once(&store).await, None, "root 4 holds the record already");
    assert_eq!(Catalog::new(store).refresh().await.unwrap().root_n, 4);
}

#[tokio::test]
async fn a_newer_root_stops_the_committer() {
    struct Later(Root);
    impl serde::Serialize for Later {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            self.0.serialize(serializer)
        }
    }
    impl<'de> serde::Deserialize<'de> for Later {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            Root::deserialize(deserializer).map(Self)
        }
    }
    impl crate::CatalogObject for Later {
        const VERSION: u64 = Root::VERSION + 1;
    }
    let store = Arc::new(InMemory::new());
    put_create(&*store, &names::root(1), &Later(root_of(1, &[])), "root 1")
        .await
        .unwrap();
    commit_one_unchecked(&*store).await;
    let error = fold(&*store, &Catalog::new(store.clone()), &fresh_nonce(), 0)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, ArchiveError::NewerVersion { object, found: 4, .. } if object.contains("roots/")),
        "{error}"
    );
}

async fn commit_one_unchecked(store: &dyn ObjectStore) {
    let record = record_of("r", 1, 1, Ulid(1));
    put_create(store, &names::log_record("r", 1), &record, &record.nonce)
        .await
        .unwrap();
}
