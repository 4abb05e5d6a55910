//! An hour of normal work, request by request: what a month costs follows from these numbers, and nothing in them grows with the archive.

use super::*;
use crate::catalog::tests::record_of;
use crate::{Catalog, Committed, FileKind, Format, Ulid, claim_epoch, commit, fold, fresh_nonce, names, next_sequence};

/// One actor's own view of the common store.
struct Actor {
    store: Arc<dyn ObjectStore>,
    traffic: StoreTraffic,
    told: Vec<(&'static str, u64)>,
}

impl Actor {
    fn on(store: &Arc<InMemory>) -> Self {
        let (store, traffic) = CountingStore::wrap(store.clone());
        Self {
            store,
            traffic,
            told: Vec::new(),
        }
    }

    /// Requests since the last call.
    fn since(&mut self) -> Vec<(&'static str, u64)> {
        let now = requests(&self.traffic);
        let before = std::mem::replace(&mut self.told, now.clone());
        let earlier = |name| before.iter().find(|(n, _)| *n == name).map_or(0, |(_, count)| *count);
        let grown = now.into_iter().map(|(name, count)| (name, count - earlier(name)));
        grown.filter(|(_, count)| *count > 0).collect()
    }
}

/// Whoever lists where data lies pays for a page of each thousand of these, and is found.
async fn fill_the_data_folders(store: &InMemory) {
    for n in 0..3000_u64 {
        let level0 = names::level0("r-1", n, Ulid::from(u128::from(n)), FileKind::Samples);
        let compacted = Path::from(format!("samples/tenant=a/date=2026-01-01/{n}.parquet"));
        for path in [level0, compacted] {
            store.put(&path, "".into()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn an_hour_of_work_is_a_small_fixed_number_of_requests() {
    let store = Arc::new(InMemory::new());
    fill_the_data_folders(&store).await;
    let (mut receiver, mut compactor, mut reader) = (Actor::on(&store), Actor::on(&store), Actor::on(&store));
    let folding = Catalog::new(compactor.store.clone());
    let reading = Catalog::new(reader.store.clone());

    // A start: is it an archive, which epoch, where does the log end.
    Format::load_or_create(&*receiver.store, 0).await.unwrap();
    let epoch = claim_epoch(&*receiver.store, "r-1", &fresh_nonce()).await.unwrap();
    let next = next_sequence(&*receiver.store, "r-1").await.unwrap();
    assert_eq!(receiver.since(), [("create", 2), ("get", 1), ("list", 3)]);

    for flush in 0..12_u64 {
        // Series and samples, then the record; afterwards the newest root must not be beyond it.
        let record = record_of("r-1", epoch, next.seq + flush, Ulid::from(u128::from(flush)));
        for file in &record.parts[0].files {
            let path = Path::from(file.path.clone());
            receiver.store.put(&path, "parquet".into()).await.unwrap();
        }
        assert_eq!(commit(&*receiver.store, &record).await.unwrap(), Committed::Done);
        let root = if flush == 0 { vec![] } else { vec![("get", 1)] };
        let expected: Vec<_> = [("put", 2), ("create", 1)]
            .into_iter()
            .chain(root.clone())
            .chain([("list", 1)])
            .collect();
        assert_eq!(receiver.since(), expected, "flush {flush}");

        // A query before the fold: two listings, and the new record.
        reading.refresh().await.unwrap();
        assert_eq!(reader.since(), [("get", 1), ("list", 2)], "a query after flush {flush}");

        // The first fold finds the record; it makes a root and looks whether it is the newest.
        assert!(
            fold(&*compactor.store, &folding, &fresh_nonce(), 1)
                .await
                .unwrap()
                .is_some()
        );
        assert_eq!(
            compactor.since(),
            [("create", 1), ("get", 1), ("list", 3)],
            "fold {flush}"
        );
        // The others look in vain; the first of them reads the root.
        for look in 1..20 {
            assert!(
                fold(&*compactor.store, &folding, &fresh_nonce(), 1)
                    .await
                    .unwrap()
                    .is_none()
            );
            let read = if look == 1 {
                vec![("get", 1), ("list", 2)]
            } else {
                vec![("list", 2)]
            };
            assert_eq!(compactor.since(), read, "look {look} after flush {flush}");
        }

        // Of four more queries the first reads the new root.
        for query in 0..4 {
            let view = reading.refresh().await.unwrap();
            assert_eq!(view.root_n, flush + 1);
            let read = if query == 0 {
                vec![("get", 1), ("list", 2)]
            } else {
                vec![("list", 2)]
            };
            assert_eq!(reader.since(), read, "query {query} after flush {flush}");
        }
    }

    // The bound per hour: writes do not grow with the number of looks, and lists are two for each look.
    assert_eq!(
        requests(&receiver.traffic),
        [("put", 24), ("create", 14), ("get", 12), ("list", 15)]
    );
    assert_eq!(
        requests(&compactor.traffic),
        [("create", 12), ("get", 24), ("list", 12 * (20 * 2 + 1))]
    );
    assert_eq!(requests(&reader.traffic), [("get", 24), ("list", 12 * 5 * 2)]);
}
