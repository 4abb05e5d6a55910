//! Reading the past from retained roots.

use std::sync::Arc;

use object_store::ObjectStoreExt;

use super::super::{Catalog, Removal};
use super::faults::FaultyStore;
use super::{PartEntry, add, put_compacted, remove};
use crate::{ArchiveError, names};

/// Roots 1 to 10, one each second; root n holds n parts, each of a day of its own. Root 11 removes the first.
async fn with_a_past(store: &Arc<FaultyStore>) -> (Catalog, Vec<PartEntry>) {
    let catalog = Catalog::new(store.clone());
    let mut parts = Vec::new();
    for n in 1..=10 {
        store.set_clock(n * 1000);
        let part = put_compacted(&**store, u128::from(n.unsigned_abs()), i32::try_from(n).unwrap()).await;
        add(&catalog, std::slice::from_ref(&part), n * 1000).await;
        parts.push(part);
    }
    store.set_clock(11_000);
    remove(&catalog, Removal::Expired, &parts[0], 11_000).await;
    (catalog, parts)
}

#[tokio::test]
async fn a_moment_of_the_past_is_what_its_newest_root_shows() {
    let store = Arc::new(FaultyStore::default());
    let (catalog, _) = with_a_past(&store).await;
    for (time, root, parts) in [
        (1000, 1, 1),
        (1999, 1, 1),
        (5000, 5, 5),
        (10_999, 10, 10),
        (99_999, 11, 9),
    ] {
        let view = catalog.as_of(time).await.unwrap();
        assert_eq!((view.root_n, view.parts.len()), (root, parts), "as of {time}");
    }
    let before = catalog.as_of(999).await;
    assert!(matches!(before, Err(ArchiveError::Refused(_))), "{before:?}");
    let retained: Vec<u64> = catalog
        .retained_roots()
        .await
        .unwrap()
        .iter()
        .map(|root| root.n)
        .collect();
    assert_eq!(retained, (1..=11).rev().collect::<Vec<_>>());
}

#[tokio::test]
async fn the_past_costs_one_read_for_each_root_that_is_looked_at_and_for_each_manifest_that_is_not_known() {
    let store = Arc::new(FaultyStore::default());
    let (catalog, _) = with_a_past(&store).await;
    catalog.refresh().await.unwrap();
    store.take_requests();
    catalog.as_of(8000).await.unwrap();
    let requests = store.take_requests();
    // Roots 11, 10, 9 and 8 are probed, and 8 is read again with the one manifest that the newest root has no more.
    assert_eq!((requests.puts, requests.gets, requests.lists), (0, 6, 2));
}

#[tokio::test]
async fn a_root_that_is_gone_is_not_found_and_one_below_the_floor_is_refused() {
    let store = Arc::new(FaultyStore::default());
    let (catalog, _) = with_a_past(&store).await;
    store.delete(&names::root(4)).await.unwrap();
    assert!(catalog.at_root(4).await.unwrap_err().is_not_found());
    let floor = super::Change {
        floor: 6,
        ..super::Change::default()
    };
    super::land(&catalog, floor, 12_000).await;
    for (n, is_readable) in [(5, false), (6, true), (12, true)] {
        match catalog.at_root(n).await {
            Ok(_) => assert!(is_readable, "root {n}"),
            Err(error) => assert!(
                !is_readable && matches!(error, ArchiveError::Refused(_)),
                "root {n}: {error}"
            ),
        }
    }
    let lower = super::Change {
        floor: 3,
        released: vec!["none".to_owned()],
        ..super::Change::default()
    };
    assert_eq!(
        super::land(&catalog, lower, 13_000).await.floor,
        6,
        "it is never lowered"
    );
}

#[tokio::test]
async fn a_root_below_the_newest_that_a_stalled_committer_made_is_no_moment_of_the_past() {
    let store = Arc::new(FaultyStore::default());
    let (catalog, _) = with_a_past(&store).await;
    // Root 5 was thinned out, and somebody who stalled since creates it again.
    store.delete(&names::root(5)).await.unwrap();
    store.set_clock(500_000);
    let stray = super::Root {
        created_at: 5500,
        ..super::root_of(5, &[])
    };
    crate::put_create(&*store, &names::root(5), &stray, "root 5")
        .await
        .unwrap();
    assert_eq!(catalog.as_of(5600).await.unwrap().root_n, 4);
}
