//! Changing keys: nothing is lost, nothing live needs the old key, and what still does is said, with a date.

#![expect(clippy::unwrap_used, reason = "tests")]

mod kills;

use std::sync::Arc;
use std::time::Duration;

use emberkeep_archive::{
    CollectSettings, Format, KeyError, Lock, Mask, MatcherText, PartReader, Quarantined, Rebuild, ScanKinds, ScanQuery,
    collect,
};
use emberkeep_model::{SeriesRuns, TenantId, TimeRange};
use emberkeep_service::clock::SystemClock;

use super::*;
use crate::MergerSettings;
use crate::fixture::{Archive, DAY_MS, NOW_MS, TODAY, keys, times};
use crate::guard::Consent;
use crate::retention::{Retention, RetentionMetrics, expire};

const WINDOW: Duration = Duration::from_secs(7 * 86_400);

/// Tenant, series, time: all rows that a process with these keys reads.
async fn rows(archive: &Archive) -> Vec<(String, String, i64)> {
    let live = archive.catalog.live().await.unwrap();
    let mut rows = Vec::new();
    for part in live.parts() {
        let reader = PartReader::open(Arc::clone(archive.catalog.store()), part)
            .await
            .unwrap();
        for tenant in part.tenants.keys() {
            let query = ScanQuery {
                tenant: TenantId::parse(tenant).unwrap(),
                range: TimeRange::ALL,
                matchers: [].into(),
                kinds: ScanKinds::All,
            };
            let mut scan = reader.scan(query, 1000);
            while let Some(next) = scan.next().await.unwrap() {
                let mut runs = SeriesRuns::default();
                scan.samples(next.samples, TimeRange::ALL, &mut runs.samples)
                    .await
                    .unwrap();
                let times = runs.samples.timestamps.iter();
                rows.extend(times.map(|&time| (tenant.clone(), next.labels.to_string(), time)));
            }
        }
    }
    rows.sort();
    rows
}

async fn rekey(archive: &Archive) -> Result<Rekeyed, RekeyError> {
    let scratch = archive.path().with_file_name("scratch");
    let merger = Merger::new(Arc::clone(archive.catalog.store()), MergerSettings::new(scratch));
    let rekey = Rekey {
        catalog: &archive.catalog,
        merger: &merger,
        plan: PlanSettings::default(),
        clock: &SystemClock,
    };
    rekey.run().await
}

async fn needed(archive: &Archive) -> Vec<StillNeeded> {
    let found = KeyUse::survey(&archive.catalog, &mut HashMap::new()).await.unwrap();
    let write = Keys::of(&**archive.catalog.store()).await;
    still_needed(&found, write.write_id(), WINDOW)
}

/// An archive with everything: flushes, merged parts that were split, a lock, a mask, something that was removed.
async fn filled(archive: Archive) -> Archive {
    let store = Arc::clone(archive.catalog.store());
    Format::load_or_create(&*store, NOW_MS).await.unwrap();
    archive
        .merged(
            "a",
            TODAY - 9,
            &[("old", times(TODAY - 9, 5))],
            &[],
            NOW_MS - 8 * DAY_MS,
        )
        .await;
    archive
        .flush(&[("a", "x", times(TODAY, 5)), ("b", "y", times(TODAY, 7))], NOW_MS)
        .await;
    archive.flush(&[("a", "x", times(TODAY - 1, 50))], NOW_MS).await;
    let mut halves = Vec::new();
    for job in ["left", "right"] {
        let jobs = [(job, times(TODAY - 2, 9))];
        halves.push(archive.compacted("b", TODAY - 2, &jobs, &[], NOW_MS));
    }
    let merge = halves[0].ulid.to_string();
    halves.iter_mut().for_each(|half| half.merge = Some(merge.clone()));
    let change = Change {
        add: halves,
        masks: vec![mask()],
        locks: vec![lock()],
        ..Change::default()
    };
    apply(&archive.catalog, &fresh_nonce(), NOW_MS, |_| {
        Ok::<_, ArchiveError>(Some(change.clone()))
    })
    .await
    .unwrap()
    .unwrap();
    let config = emberkeep_service::config::FileConfig::parse("retention: {keep: 5d}", "x").unwrap();
    let retention = Retention::from_config(&config.retention).unwrap();
    let metrics = RetentionMetrics::default();
    let expired = expire(&archive.catalog, &retention, &metrics, Consent::Given, NOW_MS);
    expired.await.unwrap().root.unwrap();
    archive
}

fn mask() -> Mask {
    Mask {
        id: Ulid(1).to_string(),
        number: 0,
        tenant: "a".to_owned(),
        matchers: vec![MatcherText {
            name: "job".to_owned(),
            op: "=".to_owned(),
            value: "nobody".to_owned(),
        }],
        from: i64::MIN,
        to: i64::MAX,
        reason: String::new(),
        who: String::new(),
        created_at: NOW_MS,
    }
}

fn lock() -> Lock {
    Lock {
        id: Ulid(2).to_string(),
        tenant: Some("b".to_owned()),
        from: i64::MIN,
        to: i64::MAX,
        reason: String::new(),
        who: String::new(),
        created_at: NOW_MS,
    }
}

/// From one key to another, from clear to encrypted, and back.
#[tokio::test]
async fn everything_live_comes_under_the_new_key_and_nothing_changes() {
    for (old, new) in [(Some("k-1"), Some("k-2")), (None, Some("k-2")), (Some("k-1"), None)] {
        let ids: Vec<&str> = [old, new].into_iter().flatten().collect();
        let only: Vec<&str> = new.into_iter().collect();
        let archive = filled(Archive::new().with_keys(keys(old, &ids))).await;
        let before = rows(&archive).await;
        assert_eq!(before.len(), 5 + 7 + 50 + 2 * 9);

        let archive = archive.with_keys(keys(new, &ids));
        let done = rekey(&archive).await.unwrap();
        assert_eq!((done.parts, done.left.len()), (4, 0), "{old:?} -> {new:?}");
        assert!(done.root.is_some() && done.objects > 0);
        assert_eq!(rows(&archive).await, before);
        let again = rekey(&archive).await.unwrap();
        assert_eq!(
            (again.parts, again.objects, again.root),
            (0, 0, None),
            "nothing is left to do"
        );

        // Whatever is live can be read without the old key, and what is not says until when it is needed.
        let archive = archive.with_keys(keys(new, &only));
        assert_eq!(rows(&archive).await, before);
        let live = archive.catalog.live().await.unwrap();
        assert_eq!((live.masks()[0].id.clone(), live.locks()), (mask().id, &[lock()][..]));
        let merges: BTreeSet<_> = live
            .parts()
            .filter(|part| part.day == Some(TODAY - 2))
            .map(|p| p.merge.clone())
            .collect();
        assert_eq!(merges.len(), 1, "parts of one merge stay parts of one merge");
        assert!(merges.first().unwrap().is_some());
        let first = Format::load(&**archive.catalog.store())
            .await
            .unwrap()
            .unwrap()
            .encryption;
        assert_eq!(first.map(|first| first.key).as_deref(), new);
        let archive = archive.with_keys(keys(new, &ids));
        let waiting = needed(&archive).await;
        assert!(
            waiting
                .iter()
                .all(|needed| needed.key.as_deref() == old && needed.until.is_some()),
            "{waiting:?}"
        );
        let removed = waiting.iter().find(|needed| needed.what.starts_with("files")).unwrap();
        assert!(removed.count > 8 && removed.bytes > 0, "{removed:?}");
        let until = removed.until.unwrap();

        // When it is over, nothing needs the old key.
        for at in [until + 1, until + DAY_MS] {
            age(&archive, at);
            collect(&archive.catalog, &CollectSettings::default(), at)
                .await
                .unwrap();
        }
        assert_eq!(needed(&archive).await, []);
        let archive = archive.with_keys(keys(new, &only));
        assert_eq!(rows(&archive).await, before);
        let rebuild = Rebuild::survey(&archive.catalog).await.unwrap();
        assert_eq!(
            (rebuild.masks.len(), rebuild.locks.len(), rebuild.unusable.len()),
            (1, 1, 0)
        );
    }
}

/// Makes everything in the store but the newest root older than the windows of a collection at a time.
fn age(archive: &Archive, at: i64) {
    let old = std::time::SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(at - 9 * DAY_MS).unwrap());
    let mut folders = vec![archive.path().join("_archive")];
    while let Some(folder) = folders.pop() {
        let mut entries: Vec<_> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        entries.sort();
        if folder.ends_with("roots") {
            // The newest sorts first.
            entries.remove(0);
        }
        for path in entries {
            match path.is_dir() {
                true => folders.push(path),
                false => std::fs::File::open(path).unwrap().set_modified(old).unwrap(),
            }
        }
    }
}

#[tokio::test]
async fn what_was_removed_comes_back_after_a_change_of_keys() {
    let archive = filled(Archive::new().with_keys(keys(Some("k-1"), &["k-1"]))).await;
    let before = rows(&archive).await;
    let target = archive.catalog.live().await.unwrap().root_n() - 1;
    let archive = archive.with_keys(keys(Some("k-2"), &["k-1", "k-2"]));
    rekey(&archive).await.unwrap();
    let without = archive.with_keys(keys(Some("k-2"), &["k-2"]));
    emberkeep_archive::rollback(&without.catalog, target, &fresh_nonce(), NOW_MS)
        .await
        .unwrap()
        .unwrap();
    // The list is under the new key, the files that it names are not.
    let archive = without.with_keys(keys(Some("k-2"), &["k-1", "k-2"]));
    assert_eq!(rows(&archive).await.len(), before.len() + 5);
    assert_eq!(rekey(&archive).await.unwrap().parts, 1);
    let archive = archive.with_keys(keys(Some("k-2"), &["k-2"]));
    assert_eq!(rows(&archive).await.len(), before.len() + 5);
}

#[tokio::test]
async fn only_what_is_under_another_key_is_written_again() {
    let archive = Archive::new().with_keys(keys(Some("k-1"), &["k-1", "k-2"]));
    let old = archive
        .merged("a", TODAY - 3, &[("x", times(TODAY - 3, 5))], &[], NOW_MS)
        .await;
    let archive = archive.with_keys(keys(Some("k-2"), &["k-1", "k-2"]));
    let new = archive
        .merged("a", TODAY - 2, &[("x", times(TODAY - 2, 5))], &[], NOW_MS)
        .await;
    assert_eq!(rekey(&archive).await.unwrap().parts, 1);
    let live = archive.live().await;
    assert!(live.contains(&new) && !live.contains(&old), "{live:?}");
}

#[tokio::test]
async fn a_part_that_cannot_be_read_stays_and_is_named() {
    let archive = filled(Archive::new().with_keys(keys(Some("k-1"), &["k-1"]))).await;
    let live = archive.catalog.live().await.unwrap();
    let bad: Vec<Arc<emberkeep_archive::PartEntry>> = live.parts().filter(|part| part.level == 2).cloned().collect();
    let known = Quarantined {
        part: bad[0].ulid.to_string(),
        reason: "a test".to_owned(),
        at: NOW_MS,
    };
    apply(&archive.catalog, &fresh_nonce(), NOW_MS, |_| {
        Ok::<_, ArchiveError>(Some(Change {
            quarantined: vec![known.clone()],
            ..Change::default()
        }))
    })
    .await
    .unwrap();
    let file = archive.path().join(&bad[1].files[0].path);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let archive = archive.with_keys(keys(Some("k-2"), &["k-1", "k-2"]));
    let done = rekey(&archive).await.unwrap();
    assert_eq!(done.left.keys().collect::<Vec<_>>(), [&bad[0].ulid, &bad[1].ulid]);
    let waiting = needed(&archive).await;
    let live = waiting.iter().find(|needed| needed.what == "live parts").unwrap();
    assert_eq!((live.key.as_deref(), live.count, live.until), (Some("k-1"), 2, None));
    assert_eq!(
        archive.catalog.live().await.unwrap().quarantined().len(),
        1,
        "no part is quarantined by it"
    );
}

#[tokio::test]
async fn the_old_key_must_be_there() {
    let archive = Archive::new().with_keys(keys(Some("k-1"), &["k-1", "k-2"]));
    archive
        .merged("a", TODAY - 3, &[("x", times(TODAY - 3, 5))], &[], NOW_MS)
        .await;
    let archive = archive.with_keys(keys(Some("k-2"), &["k-1", "k-2"]));
    // The root is under the new key, the part is not.
    archive
        .merged("a", TODAY - 2, &[("x", times(TODAY - 2, 5))], &[], NOW_MS)
        .await;
    let manifests: Vec<_> = std::fs::read_dir(archive.path().join("_archive/manifests"))
        .unwrap()
        .collect();
    for manifest in manifests {
        let name = manifest.unwrap().file_name().into_string().unwrap();
        let path = emberkeep_archive::names::manifest(&name);
        reseal(&**archive.catalog.store(), &path).await.unwrap();
    }
    let archive = archive.with_keys(keys(Some("k-2"), &["k-2"]));
    let refused = rekey(&archive).await.unwrap_err();
    assert!(refused.to_string().contains("key `k-1` is needed"), "{refused}");
    assert!(matches!(
        refused,
        RekeyError::Job(JobError::Key {
            source: ArchiveError::Key {
                source: KeyError::Unknown { .. },
                ..
            },
            ..
        })
    ));
    assert!(archive.catalog.live().await.unwrap().quarantined().is_empty());
}
