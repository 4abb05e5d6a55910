//! Readers: what a look costs, and what it shows.

use std::sync::Arc;

use bytes::Bytes;
use object_store::memory::InMemory;
use object_store::{ObjectStoreExt, PutPayload};

use super::super::{Catalog, fold};
use super::commit_one;
use super::faults::{FaultyStore, Requests};
use crate::{ArchiveError, fresh_nonce, names};

#[tokio::test]
async fn a_look_costs_two_listings_and_one_read_for_each_new_object() {
    let store = Arc::new(FaultyStore::default());
    for seq in 1..=3 {
        commit_one(&*store, "r", 1, seq).await;
    }
    let catalog = Catalog::new(store.clone());
    store.take_requests();
    let expect = async |gets, what: &str| {
        let view = catalog.refresh().await.unwrap();
        assert_eq!(
            store.take_requests(),
            Requests {
                puts: 0,
                gets,
                lists: 2
            },
            "{what}"
        );
        view
    };
    expect(3, "three records").await;
    expect(0, "nothing new").await;
    commit_one(&*store.inner, "r", 1, 4).await;
    let view = expect(1, "one new record").await;
    assert_eq!((view.root_n, view.committed["r"], view.parts.len()), (0, 4, 4));
    fold(&*store.inner, &Catalog::new(store.inner.clone()), &fresh_nonce(), 77)
        .await
        .unwrap()
        .unwrap();
    let view = expect(1, "a new root and no records above it").await;
    assert_eq!(
        (view.root_n, view.root_created_at, view.committed["r"], view.parts.len()),
        (1, Some(77), 4, 4)
    );
    commit_one(&*store.inner, "r", 1, 5).await;
    let view = expect(1, "a record above the same root").await;
    assert_eq!((view.root_n, view.committed["r"], view.parts.len()), (1, 5, 5));
}

#[tokio::test]
async fn a_view_that_covers_is_used_and_one_that_does_not_is_replaced() {
    let store = Arc::new(FaultyStore::default());
    commit_one(&*store, "r", 1, 1).await;
    let catalog = Catalog::new(store.clone());
    catalog.refresh().await.unwrap();
    store.take_requests();
    assert!(catalog.covering("r", 1).await.unwrap().covers("r", 1));
    assert_eq!(store.take_requests().lists, 0);
    commit_one(&*store.inner, "r", 1, 2).await;
    assert!(catalog.covering("r", 2).await.unwrap().covers("r", 2));
    assert_eq!(store.take_requests().lists, 2);
    assert!(
        !catalog.covering("r", 3).await.unwrap().covers("r", 3),
        "nobody has committed that"
    );
    assert!(catalog.covering("unknown", 0).await.unwrap().covers("unknown", 0));
}

#[tokio::test]
async fn records_above_a_gap_are_shown_and_not_covered() {
    let store = Arc::new(InMemory::new());
    commit_one(&*store, "r", 1, 1).await;
    commit_one(&*store, "r", 1, 3).await;
    let view = Catalog::new(store).refresh().await.unwrap();
    assert_eq!((view.committed["r"], view.parts.len()), (1, 2));
}

#[tokio::test]
async fn a_bucket_alone_is_enough() {
    let store = Arc::new(InMemory::new());
    for seq in 1..=4 {
        commit_one(&*store, "r", 1, seq).await;
        if seq == 2 {
            fold(&*store, &Catalog::new(store.clone()), &fresh_nonce(), 0)
                .await
                .unwrap();
        }
    }
    // What a collection would leave: the newest record of each receiver and those above the watermark.
    store.delete(&names::log_record("r", 1)).await.unwrap();
    let view = Catalog::new(store).refresh().await.unwrap();
    assert_eq!((view.root_n, view.committed["r"], view.parts.len()), (1, 4, 4));
}

#[tokio::test]
async fn damage_is_named_and_the_last_view_stays() {
    let store = Arc::new(InMemory::new());
    commit_one(&*store, "r", 1, 1).await;
    let catalog = Catalog::new(store.clone());
    catalog.refresh().await.unwrap();
    let path = names::log_record("r", 2);
    store
        .put(&path, PutPayload::from_bytes(Bytes::from_static(b"{\"version\":1,")))
        .await
        .unwrap();
    let error = catalog.refresh().await.unwrap_err();
    assert!(
        matches!(&error, ArchiveError::Corrupt { object, .. } if *object == path.to_string()),
        "{error}"
    );
    assert_eq!(catalog.cached().unwrap().committed["r"], 1);
}
