//! The catalog against races, lost answers, stalls and gaps.

#![expect(clippy::unwrap_used, reason = "tests")]

mod changing;
mod collecting;
mod costs;
mod faults;
mod folding;
mod history;
mod pins;
mod rebuilding;
mod receiving;
mod undo;
mod viewing;

use std::collections::BTreeMap;
use std::sync::Arc;

use object_store::{ObjectStore, ObjectStoreExt};
use ulid::Ulid;

use super::{
    Catalog, Change, CommitRecord, Committed, FileEntry, Live, Lock, Mask, MatcherText, PartEntry, Removal, Root,
    WalRange, Watermark, apply, commit,
};
use crate::part::{TenantSummary, part_number};
use crate::{ArchiveError, FileKind, fresh_nonce, names};

/// An entry whose files need not exist: the catalog never opens them.
pub(crate) fn entry_of(receiver: &str, seq: u64, ulid: Ulid) -> PartEntry {
    let file = |kind| FileEntry {
        kind,
        path: names::level0(receiver, seq, ulid, kind).to_string(),
        rows: 10,
        bytes: 1000,
        crc32c: 7,
    };
    let tenant = TenantSummary {
        min_time: 1000,
        max_time: 2000,
        series: 2,
        samples: 10,
        ..TenantSummary::default()
    };
    PartEntry {
        ulid,
        part: part_number(ulid),
        level: 0,
        receiver: Some(receiver.to_owned()),
        min_time: 1000,
        max_time: 2000,
        tenants: BTreeMap::from([("anonymous".to_owned(), tenant)]),
        committed_at: 3000,
        day: None,
        masks: 0,
        merge: None,
        rules: vec![],
        files: [FileKind::Samples, FileKind::Series].map(file).to_vec(),
    }
}

pub(crate) fn record_of(receiver: &str, epoch: u64, seq: u64, ulid: Ulid) -> CommitRecord {
    CommitRecord {
        nonce: format!("nonce of {ulid}"),
        receiver: receiver.to_owned(),
        epoch,
        seq,
        wal: WalRange {
            id: "w".to_owned(),
            from: seq * 10,
            to: seq * 10 + 10,
        },
        committed_at: 3000,
        newest_arrival: 2500,
        parts: vec![entry_of(receiver, seq, ulid)],
    }
}

pub(crate) fn root_of(n: u64, records: &[CommitRecord]) -> Root {
    let mark = |record: &CommitRecord| {
        (
            record.receiver.clone(),
            Watermark {
                seq: record.seq,
                epoch: record.epoch,
            },
        )
    };
    Root {
        n,
        nonce: format!("root {n}"),
        created_at: 4000,
        watermarks: records.iter().map(mark).collect(),
        level0: records.iter().flat_map(|record| record.parts.clone()).collect(),
        ..Root::empty()
    }
}

/// An entry of a part of one day, of the tenant `anonymous`.
pub(crate) fn compacted_entry(ulid: Ulid, day: i32) -> PartEntry {
    let from = i64::from(day) * 86_400_000;
    let mut entry = entry_of("r", 1, ulid);
    (entry.level, entry.receiver, entry.day) = (1, None, Some(day));
    (entry.min_time, entry.max_time) = (from + 1000, from + 2000);
    (entry.masks, entry.merge) = (3, Some("m".to_owned()));
    for file in &mut entry.files {
        file.path = format!("{}/tenant=anonymous/date=x/{ulid}.parquet", file.kind.as_str());
    }
    for tenant in entry.tenants.values_mut() {
        (tenant.min_time, tenant.max_time) = (from + 1000, from + 2000);
    }
    entry
}

pub(crate) fn mask_of(id: &str) -> Mask {
    Mask {
        id: id.to_owned(),
        number: 0,
        tenant: "anonymous".to_owned(),
        matchers: vec![MatcherText {
            name: "job".to_owned(),
            op: "=~".to_owned(),
            value: "a|b".to_owned(),
        }],
        from: 1000,
        to: 1500,
        reason: "asked for by the customer".to_owned(),
        who: "ops".to_owned(),
        created_at: 3000,
    }
}

pub(crate) fn lock_of(id: &str) -> Lock {
    Lock {
        id: id.to_owned(),
        tenant: Some("anonymous".to_owned()),
        from: 1000,
        to: 1500,
        reason: "audit".to_owned(),
        who: "ops".to_owned(),
        created_at: 3000,
    }
}

/// A part of a day, and its files in the store.
async fn put_compacted(store: &dyn ObjectStore, ulid: u128, day: i32) -> PartEntry {
    let mut entry = compacted_entry(Ulid(ulid), day);
    (entry.masks, entry.merge) = (0, None);
    put_files(store, &entry).await;
    entry
}

/// Files of the sizes that the entry says.
async fn put_files(store: &dyn ObjectStore, entry: &PartEntry) {
    for file in &entry.files {
        let bytes = vec![0; usize::try_from(file.bytes).unwrap()];
        store.put(&file.location().unwrap(), bytes.into()).await.unwrap();
    }
}

/// Whether all files of the part are there.
async fn has_files(store: &dyn ObjectStore, entry: &PartEntry) -> bool {
    let paths = entry.files.iter().map(|file| file.location().unwrap());
    let heads = paths.map(|path| async move { store.head(&path).await.is_ok() });
    futures::future::join_all(heads)
        .await
        .into_iter()
        .all(|is_there| is_there)
}

/// Adds parts, without asking.
async fn add(catalog: &Catalog, parts: &[PartEntry], now_ms: i64) -> Root {
    let change = Change {
        add: parts.to_vec(),
        ..Change::default()
    };
    land(catalog, change, now_ms).await
}

/// Removes a part, without asking.
async fn remove(catalog: &Catalog, why: Removal, part: &PartEntry, now_ms: i64) -> Root {
    let mut change = Change::default();
    change.removing(why, part.ulid);
    land(catalog, change, now_ms).await
}

async fn land(catalog: &Catalog, change: Change, now_ms: i64) -> Root {
    let decide = |_: &Live| Ok::<_, ArchiveError>(Some(change.clone()));
    apply(catalog, &fresh_nonce(), now_ms, decide).await.unwrap().unwrap()
}

/// Names of live parts, by what the newest root says.
async fn live_ulids(store: &Arc<impl ObjectStore>) -> Vec<u128> {
    let live = Catalog::new(store.clone()).live().await.unwrap();
    live.by_ulid().keys().map(|ulid| ulid.0).collect()
}

/// Commits a record that nothing disputes.
async fn commit_one(store: &dyn ObjectStore, receiver: &str, epoch: u64, seq: u64) {
    // No two parts have one name.
    let of_receiver = receiver
        .bytes()
        .map(u128::from)
        .sum::<u128>()
        .abs_diff(u128::from(b'r'));
    let record = record_of(receiver, epoch, seq, Ulid(of_receiver * 1000 + u128::from(seq)));
    assert_eq!(commit(store, &record).await.unwrap(), Committed::Done);
}
