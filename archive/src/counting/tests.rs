//! Every request is counted once, under its own name, with its bytes; and the catalog keeps to its bound per hour.

#![expect(clippy::unwrap_used, reason = "tests")]

mod hour;

use futures::TryStreamExt;
use object_store::memory::InMemory;
use object_store::{ObjectStoreExt, PutPayload};
use prometheus_client::registry::Registry;

use super::*;

fn requests(traffic: &StoreTraffic) -> Vec<(&'static str, u64)> {
    let counts = StoreOperation::ALL.map(|operation| (operation.as_str(), traffic.requests(operation)));
    counts.into_iter().filter(|(_, count)| *count > 0).collect()
}

#[tokio::test]
async fn each_operation_is_counted_with_its_bytes() {
    let (store, traffic) = CountingStore::wrap(Arc::new(InMemory::new()));
    let path = Path::from("a/b");
    store.put(&path, "12345".into()).await.unwrap();
    let again = store.put_opts(&path, "123".into(), PutMode::Create.into()).await;
    assert!(matches!(again, Err(object_store::Error::AlreadyExists { .. })));
    store.get(&path).await.unwrap().bytes().await.unwrap();
    store.get_range(&path, 1..3).await.unwrap();
    store.head(&path).await.unwrap();
    assert!(store.head(&Path::from("absent")).await.is_err());
    assert_eq!(store.list(None).try_collect::<Vec<_>>().await.unwrap().len(), 1);
    store.list_with_delimiter(None).await.unwrap();
    store.copy(&path, &"c".into()).await.unwrap();
    store.delete(&path).await.unwrap();
    let mut upload = store.put_multipart(&path).await.unwrap();
    upload.put_part(PutPayload::from_static(b"1234567")).await.unwrap();
    upload.put_part(PutPayload::from_static(b"89")).await.unwrap();
    upload.complete().await.unwrap();
    store.put_multipart(&path).await.unwrap().abort().await.unwrap();
    let expected = [
        ("put", 1),
        ("create", 1),
        ("get", 1),
        ("get_range", 1),
        ("head", 2),
        ("list", 2),
        ("delete", 1),
        ("multipart_start", 2),
        ("multipart_part", 2),
        ("multipart_complete", 1),
        ("multipart_abort", 1),
        ("copy", 1),
    ];
    assert_eq!(requests(&traffic), expected);
    assert_eq!(traffic.bytes_sent(), 5 + 3 + 7 + 2);
    assert_eq!(traffic.bytes_received(), 5 + 2);
    // Absent and existing objects are answers.
    assert!(
        StoreOperation::ALL
            .iter()
            .all(|operation| traffic.failures(*operation) == 0)
    );
}

#[tokio::test]
async fn a_listing_counts_its_pages_and_one_that_nobody_reads_nothing() {
    let (store, traffic) = CountingStore::wrap(Arc::new(InMemory::new()));
    for n in 0..2001 {
        store.put(&Path::from(format!("{n}")), "".into()).await.unwrap();
    }
    let lists = |names: usize| {
        let (store, traffic) = (store.clone(), traffic.clone());
        async move {
            let before = traffic.requests(StoreOperation::List);
            let taken: Vec<_> = store.list(None).take(names).try_collect().await.unwrap();
            assert_eq!(taken.len(), names);
            traffic.requests(StoreOperation::List) - before
        }
    };
    drop(store.list(None));
    assert_eq!(traffic.requests(StoreOperation::List), 0);
    assert_eq!(lists(1).await, 1);
    assert_eq!(lists(1000).await, 1);
    assert_eq!(lists(1001).await, 2);
    assert_eq!(lists(2001).await, 3);
}

#[test]
fn near_ranges_are_one_request() {
    let far = OBJECT_STORE_COALESCE_DEFAULT;
    assert_eq!(joined(&[]), 0);
    assert_eq!(joined(&[0..10, 20..30]), 1);
    assert_eq!(joined(&[10 + far..20 + far, 0..10]), 1);
    assert_eq!(joined(&[0..10, 11 + far..20 + far]), 2);
    assert_eq!(joined(&[0..100, 5..6, 101 + far..102 + far]), 2);
}

#[tokio::test]
async fn a_read_of_ranges_counts_what_is_asked_of_the_store() {
    // The same rule, applied as clients do: each piece that they ask for goes through the counter.
    let (plain, asked) = CountingStore::wrap(Arc::new(InMemory::new()));
    let path = Path::from("big");
    plain.put(&path, vec![0_u8; 4 << 20].into()).await.unwrap();
    let ranges = [0..10, 500..600, 2_000_000..2_000_010, 4_000_000..4_000_001];
    let ask = |range| plain.get_range(&path, range);
    object_store::coalesce_ranges(&ranges, ask, OBJECT_STORE_COALESCE_DEFAULT)
        .await
        .unwrap();
    assert_eq!(asked.requests(StoreOperation::GetRange), joined(&ranges));
    let (store, traffic) = CountingStore::wrap(plain);
    store.get_ranges(&path, &ranges).await.unwrap();
    assert_eq!(traffic.requests(StoreOperation::GetRange), joined(&ranges));
    assert_eq!(traffic.bytes_received(), 10 + 100 + 10 + 1);
}

#[tokio::test]
async fn failures_are_counted_and_everything_is_shown() {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().join("mount");
    let (store, traffic) = CountingStore::wrap(crate::StoreConfig::directory(&root).open().unwrap());
    std::fs::remove_dir_all(&root).unwrap();
    assert!(store.list(Some(&"x".into())).try_collect::<Vec<_>>().await.is_err());
    assert_eq!(traffic.failures(StoreOperation::List), 1);
    let mut registry = Registry::with_prefix("emberkeep");
    traffic.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    for line in [
        "emberkeep_objstore_requests_total{operation=\"list\"} 1\n",
        "emberkeep_objstore_requests_total{operation=\"create\"} 0\n",
        "emberkeep_objstore_request_failures_total{operation=\"list\"} 1\n",
        "emberkeep_objstore_bytes_total{direction=\"sent\"} 0\n",
        "emberkeep_objstore_request_duration_seconds_count{operation=\"list\"} 1\n",
    ] {
        assert!(text.contains(line), "{line}{text}");
    }
}
