//! What the catalog costs: requests, objects and bytes, of many receivers at once and of a year.
//!
//! The bounds here are what `docs/catalog-costs.md` promises. `EMBERKEEP_COSTS` names a file into which the measured figures are written.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use emberkeep_model::TenantId;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use ulid::Ulid;

use super::super::{Catalog, Change, CollectSettings, CommitRecord, Committed, Removal, collect, commit, fold};
use super::faults::{FaultyStore, Requests};
use super::{FileEntry, PartEntry, TenantSummary, add, entry_of, land, put_files, record_of};
use crate::part::TimeSpan;
use crate::{FileKind, fresh_nonce, names};

/// A day in milliseconds.
const DAY: i64 = 86_400_000;

/// Tenants of each receiver.
const TENANTS: [&str; 3] = ["team-payments", "team-search", "platform"];

/// Receivers of the year.
const RECEIVERS: u64 = 4;

/// Hours of the last day that are lived through.
const HOURS: u64 = 8;

/// Flushes of each of them in an hour.
const FLUSHES: u64 = 12;

#[tokio::test]
async fn a_hundred_receivers_that_flush_in_the_same_second_cost_each_other_nothing() {
    let store = Arc::new(FaultyStore::default());
    let catalog = Catalog::new(store.clone());
    for round in 1..=3 {
        store.take_requests();
        let commits = (0..100).map(|i| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let record = record_of(&format!("r{i}"), 1, round, Ulid(u128::from(round) * 1000 + i));
                commit(&*store, &record).await.unwrap()
            })
        });
        for outcome in futures::future::try_join_all(commits).await.unwrap() {
            assert_eq!(outcome, Committed::Done, "nobody ever competes with another receiver");
        }
        // One creation each, one look at the newest root, and no second attempt.
        let gets = if round == 1 { 0 } else { 100 };
        assert_eq!(
            store.take_requests(),
            Requests {
                puts: 100,
                gets,
                lists: 100
            }
        );
        let root = fold(&*store, &catalog, &fresh_nonce(), 10).await.unwrap().unwrap();
        assert_eq!(
            (root.n, root.level0.len()),
            (round, usize::try_from(round).unwrap() * 100)
        );
        // One root takes them all. The committer reads each record once, and the root before, which it made itself.
        let gets = 100 + usize::from(round > 1);
        assert_eq!(
            store.take_requests(),
            Requests {
                puts: 1,
                gets,
                lists: 3
            }
        );
    }
    let view = catalog.refresh().await.unwrap();
    assert_eq!((view.parts.len(), view.committed.len()), (300, 100));
    let listed = store.inner.head(&names::root(3)).await.unwrap();
    assert!(listed.size < 64 << 10, "{} bytes of a root of 300 flushes", listed.size);
}

/// An entry as a flush or a merge makes it: all five files, the tenants given, numbers as long as real ones.
fn realistic(ulid: Ulid, tenants: &[&str], from: i64, to: i64, path: impl Fn(FileKind) -> Path) -> PartEntry {
    let held = TenantSummary {
        min_time: from,
        max_time: to,
        series: 123_456,
        samples: 7_407_360,
        histograms: 12_345,
        exemplars: 1_234,
        metadata: 567,
        exemplar_times: Some(TimeSpan {
            min_time: from,
            max_time: to,
        }),
        metadata_times: Some(TimeSpan {
            min_time: from,
            max_time: to,
        }),
    };
    let file = |kind| FileEntry {
        kind,
        path: path(kind).to_string(),
        rows: 7_407_360,
        bytes: 1,
        crc32c: 0xdead_beef,
    };
    let mut entry = entry_of("r", 1, ulid);
    (entry.min_time, entry.max_time, entry.committed_at) = (from, to, to);
    entry.tenants = tenants.iter().map(|tenant| ((*tenant).to_owned(), held)).collect();
    entry.files = FileKind::ALL.map(file).to_vec();
    entry
}

fn merged(level: u32, tenant: &str, from: i64, to: i64) -> PartEntry {
    let (ulid, id) = (Ulid::generate(), TenantId::parse(tenant).unwrap());
    let day = i32::try_from(from.div_euclid(DAY)).unwrap();
    PartEntry {
        level,
        receiver: None,
        day: Some(day),
        merge: Some(ulid.to_string()),
        ..realistic(ulid, &[tenant], from, to, |kind| names::compacted(kind, &id, day, ulid))
    }
}

/// A flush of each receiver at a moment, and one fold.
async fn flush_all(store: &FaultyStore, committer: &Catalog, seq: u64, now_ms: i64) {
    for receiver in (0..RECEIVERS).map(|i| format!("receiver-{i}")) {
        let ulid = Ulid::generate();
        let path = |kind| names::level0(&receiver, seq, ulid, kind);
        let part = realistic(ulid, &TENANTS, now_ms - 300_000, now_ms, path);
        let part = PartEntry {
            receiver: Some(receiver.clone()),
            ..part
        };
        put_files(store, &part).await;
        let record = CommitRecord {
            parts: vec![part],
            committed_at: now_ms,
            ..record_of(&receiver, 1, seq, ulid)
        };
        assert_eq!(commit(store, &record).await.unwrap(), Committed::Done);
    }
    fold(store, committer, &fresh_nonce(), now_ms).await.unwrap().unwrap();
}

/// Replaces all parts of a level that are wholly older than a moment by parts of the next one: one for each tenant and window.
async fn merge(store: &FaultyStore, catalog: &Catalog, level: u32, window: i64, now_ms: i64) {
    let live = catalog.live().await.unwrap();
    let inputs: Vec<_> = live
        .parts()
        .filter(|part| part.level == level && part.max_time <= now_ms)
        .collect();
    let mut change = Change::default();
    let mut windows = BTreeMap::new();
    for input in inputs {
        change.removing(Removal::Compacted, input.ulid);
        for tenant in input.tenants.keys() {
            windows.insert((tenant.clone(), (input.max_time - 1).div_euclid(window)), ());
        }
    }
    for (tenant, n) in windows.into_keys() {
        let part = merged(level + 1, &tenant, n * window, n * window + window - 1);
        put_files(store, &part).await;
        change.add.push(part);
    }
    if !change.is_empty() {
        land(catalog, change, now_ms).await;
    }
}

async fn sizes(store: &FaultyStore, prefix: &Path) -> Vec<u64> {
    let listed: Vec<_> = store.inner.list(Some(prefix)).try_collect().await.unwrap();
    listed.into_iter().map(|object| object.size).collect()
}

/// Requests of one activity, and how often it runs in an hour.
struct Activity {
    name: &'static str,
    hourly: f64,
    each: Requests,
}

#[tokio::test]
async fn a_year_in_one_catalog_stays_small_and_cheap() {
    let store = Arc::new(FaultyStore::default());
    let (committer, compactor) = (Catalog::new(store.clone()), Catalog::new(store.clone()));
    // All days but the last are there as their merge left them: two parts of each tenant, split by series.
    for fortnight in 0..26 {
        let end = (fortnight + 1) * 14 * DAY;
        store.set_clock(end);
        let days =
            (fortnight * 14..end / DAY).flat_map(|day| TENANTS.iter().flat_map(move |tenant| [(day, tenant); 2]));
        let parts: Vec<_> = days
            .map(|(day, tenant)| merged(2, tenant, day * DAY, day * DAY + DAY - 1))
            .collect();
        for part in &parts {
            put_files(&*store, part).await;
        }
        add(&compactor, &parts, end).await;
    }
    // A week before the last day: every two hours a merge touched a day, and left a manifest that is superseded.
    for hour in (0..144).step_by(2) {
        let at = 358 * DAY + hour * 3_600_000;
        store.set_clock(at);
        let part = merged(2, TENANTS[0], at, at + 7_199_999);
        put_files(&*store, &part).await;
        add(&compactor, &[part], at).await;
        store.set_clock(at + 3_600_000);
        let change = Change {
            released: vec!["none".to_owned()],
            ..Change::default()
        };
        land(&compactor, change, at + 3_600_000).await;
    }
    // The last day as it is lived: a flush every five minutes, merged every two hours, collected every hour, at last merged to a day.
    let (begin, settings) = (364 * DAY, CollectSettings::default());
    let mut activities = Vec::new();
    let mut largest_root = 0;
    let mut collected = Requests {
        puts: 0,
        gets: 0,
        lists: 0,
    };
    let (mut seq, mut now) = (0, begin);
    for hour in 1..=HOURS {
        for _ in 0..FLUSHES {
            (seq, now) = (seq + 1, now + 300_000);
            store.set_clock(now);
            flush_all(&store, &committer, seq, now).await;
        }
        let newest = Catalog::new(store.clone()).live().await.unwrap().root_n();
        largest_root = largest_root.max(store.inner.head(&names::root(newest)).await.unwrap().size);
        if hour % 2 == 0 {
            merge(&store, &compactor, 0, 2 * 3_600_000, now).await;
        }
        store.take_requests();
        collect(&compactor, &settings, now).await.unwrap();
        collected = store.take_requests();
    }
    let live = compactor.live().await.unwrap();
    assert_eq!(
        live.parts().filter(|part| part.level == 1).count(),
        usize::try_from(HOURS).unwrap() / 2 * TENANTS.len()
    );
    store.take_requests();
    flush_all(&store, &committer, seq + 1, now + 1000).await;
    let flushed = store.take_requests();
    merge(&store, &compactor, 1, DAY, now).await;
    let merged_day = store.take_requests();
    fold(&*store, &committer, &fresh_nonce(), now).await.unwrap();
    store.take_requests();
    fold(&*store, &committer, &fresh_nonce(), now).await.unwrap();
    let idle_fold = store.take_requests();
    let reader = Catalog::new(store.clone());
    reader.refresh().await.unwrap();
    let cold = store.take_requests();
    reader.refresh().await.unwrap();
    let warm = store.take_requests();
    assert_eq!((warm.gets, warm.lists), (0, 2));
    assert_eq!((idle_fold.puts, idle_fold.gets, idle_fold.lists), (0, 0, 2));
    activities.push(Activity {
        name: "4 flushes of 5 files, and their fold",
        hourly: 12.0,
        each: flushed,
    });
    activities.push(Activity {
        name: "looks of the committer without news, every 15 s",
        hourly: 228.0,
        each: idle_fold,
    });
    activities.push(Activity {
        name: "refreshes of one reader, every 15 s",
        hourly: 240.0,
        each: warm,
    });
    let news = Requests {
        puts: 0,
        gets: 2,
        lists: 0,
    };
    activities.push(Activity {
        name: "what that reader reads anew (root, manifest)",
        hourly: 12.5,
        each: news,
    });
    activities.push(Activity {
        name: "merges of 2 h and of a day, 3 tenants",
        hourly: 13.0 / 24.0,
        each: merged_day,
    });
    activities.push(Activity {
        name: "collections, one an hour",
        hourly: 1.0,
        each: collected,
    });

    let year = compactor.live().await.unwrap();
    let days = sizes(&store, &names::manifests()).await;
    let newest = year.root_n();
    let root = store.inner.head(&names::root(newest)).await.unwrap().size;
    let archive = sizes(&store, &Path::from("_archive")).await;
    let level0 = sizes(&store, &Path::from("_archive/level0")).await.len();
    let (objects, bytes) = (archive.len() - level0, archive.iter().sum::<u64>() - level0 as u64);
    let named: Vec<u64> = {
        let listed: Vec<_> = store.inner.list(Some(&names::manifests())).try_collect().await.unwrap();
        let is_named = |path: &Path| {
            year.manifests()
                .iter()
                .any(|entry| names::manifest(&entry.name) == *path)
        };
        listed
            .into_iter()
            .filter(|object| is_named(&object.location))
            .map(|object| object.size)
            .collect()
    };
    assert_eq!((year.manifests().len(), named.len()), (365, 365));

    let mut table = String::new();
    let (mut monthly_writes, mut monthly_reads) = (0.0, 0.0);
    for Activity { name, hourly, each } in &activities {
        let [puts, gets, lists] =
            [each.puts, each.gets, each.lists].map(|count| hourly * f64::from(u32::try_from(count).unwrap()));
        let (writes, reads) = ((puts + lists) * 730.0, gets * 730.0);
        let dollars = writes * 5e-6 + reads * 0.4e-6;
        (monthly_writes, monthly_reads) = (monthly_writes + writes, monthly_reads + reads);
        writeln!(table, "| {name} | {puts:.0} | {lists:.0} | {gets:.0} | {dollars:.2} |").unwrap();
    }
    let dollars = monthly_writes * 5e-6 + monthly_reads * 0.4e-6;
    let manifests: u64 = named.iter().sum();
    let text = format!(
        "newest root {root} bytes, largest {largest_root}; 365 manifests {manifests} bytes, {} of them and older ones kept; cold look {cold:?}\n\
         {objects} objects of the catalog, {bytes} bytes; {dollars:.2} $ a month\n{table}",
        days.len(),
    );
    if let Ok(path) = std::env::var("EMBERKEEP_COSTS") {
        std::fs::write(path, &text).unwrap();
    }
    // What the documentation promises.
    assert!(root < 64 << 10 && largest_root < 128 << 10, "{text}");
    assert!(manifests < 4 << 20 && bytes < 64 << 20 && objects < 2500, "{text}");
    assert!(
        cold.gets < 500 && collected.gets < 500 && collected.lists < 12,
        "{text}"
    );
    assert!(dollars < 10.0, "{text}");
}
