//! What upkeep asks of the store while there is nothing to do: `docs/catalog-costs.md` promises these numbers.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::{AtomicI64, Ordering};

use emberkeep_archive::{CountingStore, DrillState, ObjectStore, StoreOperation, StoreTraffic};
use emberkeep_service::clock::Clock;

use super::*;
use crate::fixture::{Archive, NOW_MS, TODAY, times};
use crate::{Merger, MergerSettings, Upkeep, UpkeepMetrics, UpkeepSettings};

/// A clock that goes when it is told to.
#[derive(Debug)]
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// An archive of some merged days in which nothing is due.
async fn at_rest(days: i32) -> Archive {
    let archive = Archive::new();
    for day in TODAY - 3 - days..TODAY - 3 {
        archive
            .merged("a", day, &[("x", times(day, 3))], &[], i64::from(day + 1) * 86_400_000)
            .await;
    }
    archive
}

/// Requests to write, to list and to read, of an hour in which it looks each minute.
async fn hour(archive: &Archive, settings: KeepingSettings) -> [u64; 3] {
    let (store, traffic) = CountingStore::wrap(Arc::clone(archive.catalog.store()));
    let clock = Arc::new(Hand(AtomicI64::new(NOW_MS)));
    let upkeep = upkeep(&store, archive, settings, &clock);
    // The first pass learns what is there.
    upkeep.pass().await.unwrap();
    let before = counted(&traffic);
    for _ in 0..60 {
        clock.0.fetch_add(60_000, Ordering::Relaxed);
        assert_eq!(upkeep.pass().await.unwrap(), crate::upkeep::Pass::default());
    }
    let after = counted(&traffic);
    std::array::from_fn(|i| after[i] - before[i])
}

fn upkeep(store: &Arc<dyn ObjectStore>, archive: &Archive, settings: KeepingSettings, clock: &Arc<Hand>) -> Upkeep {
    let scratch = archive.path().with_file_name("scratch");
    let merger = Merger::new(Arc::clone(store), MergerSettings::new(scratch));
    let settings = UpkeepSettings {
        keeping: settings,
        ..UpkeepSettings::default()
    };
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    Upkeep::new(Arc::clone(store), merger, settings, clock, UpkeepMetrics::default())
}

fn counted(traffic: &StoreTraffic) -> [u64; 3] {
    let sum = |of: &[StoreOperation]| of.iter().map(|operation| traffic.requests(*operation)).sum();
    [
        sum(&[StoreOperation::Put, StoreOperation::Create]),
        sum(&[StoreOperation::List]),
        sum(&[StoreOperation::Get, StoreOperation::GetRange, StoreOperation::Head]),
    ]
}

/// Each minute it looks at the newest root, each ten minutes at everything else.
#[tokio::test]
async fn an_hour_without_work_is_a_fixed_number_of_listings_and_writes_nothing() {
    let with = |quota_bytes: Option<u64>, scrub_bytes_per_day: Option<u64>, tables: Tables| KeepingSettings {
        quota_bytes,
        scrub_bytes_per_day,
        tables,
        ..KeepingSettings::default()
    };
    let kinds = [
        ("retention and collection", with(None, None, Tables::Off), 60 + 6 * 12),
        ("with a quota", with(Some(1 << 40), None, Tables::Off), 60 + 6 * 13),
        (
            "with a scrub that has no budget left",
            with(None, Some(0), Tables::Off),
            60 + 6 * 14,
        ),
        ("with open tables", with(None, None, Tables::Published), 2 * 60 + 6 * 12),
    ];
    let (small, large) = (at_rest(5).await, at_rest(40).await);
    for (name, settings, most) in kinds {
        let [puts, lists, gets] = hour(&small, settings.clone()).await;
        assert_eq!(puts, 0, "{name}");
        assert!((60..=most).contains(&lists), "{name}: {lists} listings, not {most}");
        let of_large = hour(&large, settings).await;
        assert_eq!(
            (of_large[0], of_large[1]),
            (0, lists),
            "{name}: it grows with the archive"
        );
        assert!(
            of_large[2] <= gets + 6 * 45,
            "{name}: more than each retained root is read: {of_large:?}"
        );
    }
}

#[tokio::test]
async fn a_look_at_what_drills_have_proven_is_one_listing() {
    let archive = at_rest(1).await;
    let (store, traffic) = CountingStore::wrap(Arc::clone(archive.catalog.store()));
    DrillState::load(&Catalog::new(store)).await.unwrap();
    assert_eq!(counted(&traffic), [0, 1, 0]);
}
