//! A catalog is made anew from files, masks and locks, whatever is lost; and never without need.

#![expect(clippy::unwrap_used, reason = "tests")]

mod replacing;

use std::collections::BTreeSet;
use std::path::Path;

use emberkeep_archive::{Catalog, StoreConfig, Ulid};
use emberkeep_model::{TenantId, TimeRange, parse_selector};

use super::*;
use crate::deletion::{DeleteRequest, delete, undelete};
use crate::fixture::{Archive, DAY_MS, NOW_MS, TODAY, times};
use crate::locks::{LockRequest, lock};

/// Removes all that is not files, masks and locks, as the worst accident would.
fn lose_the_catalog(archive: &Path) {
    for folder in ["roots", "manifests", "log", "condemned", "receivers"] {
        let _ = std::fs::remove_dir_all(archive.join("_archive").join(folder));
    }
}

/// The archive as a process sees it that has never looked before.
fn anew(archive: &Archive) -> Catalog {
    Catalog::new(StoreConfig::directory(archive.path()).open().unwrap())
}

async fn rebuilt(archive: &Archive) -> (Rebuild, BTreeSet<Ulid>) {
    let catalog = anew(archive);
    let found = survey(&catalog).await.unwrap();
    rebuild(&catalog, found.clone(), Consent::Missing, NOW_MS)
        .await
        .unwrap();
    let live = anew(archive).live().await.unwrap();
    (found, live.parts().map(|part| part.ulid).collect())
}

/// Two flushes that were merged, one that was not, and a day of another tenant.
async fn example() -> (Archive, BTreeSet<Ulid>, Vec<Ulid>) {
    let archive = Archive::new();
    let day = TODAY - 3;
    let (early, late) = (times(day, 20), times(day, 40)[20..].to_vec());
    let first = archive.flush(&[("a", "x", early.clone())], NOW_MS - 2 * DAY_MS).await;
    let second = archive.flush(&[("a", "x", late.clone())], NOW_MS - 2 * DAY_MS).await;
    let third = archive
        .flush(&[("a", "x", times(TODAY, 5)), ("b", "y", times(TODAY, 5))], NOW_MS)
        .await;
    let all = [early, late].concat();
    let merged = archive
        .merged("a", day, &[("x", all)], &[first, second], NOW_MS - 2 * DAY_MS)
        .await;
    let other = archive
        .merged("b", day, &[("x", times(day, 7))], &[], NOW_MS - DAY_MS)
        .await;
    (archive, BTreeSet::from([third, merged, other]), vec![first, second])
}

#[tokio::test]
async fn the_same_parts_are_live_as_before() {
    let (archive, live, replaced) = example().await;
    let before = archive.catalog.live().await.unwrap().by_ulid();
    lose_the_catalog(&archive.path());
    let (found, parts) = rebuilt(&archive).await;
    assert_eq!((parts, found.replaced.clone()), (live, replaced));
    assert!(found.unusable.is_empty() && found.doubtful.is_empty() && found.newest_root == 0);
    for part in &found.parts {
        let known = &before[&part.ulid];
        assert_eq!(
            (&part.tenants, part.day, part.level),
            (&known.tenants, known.day, known.level)
        );
        assert_eq!(
            (part.part, part.receiver.as_ref(), part.bytes()),
            (known.part, known.receiver.as_ref(), known.bytes())
        );
        if part.level > 0 {
            assert_eq!(part.committed_at, known.committed_at);
        }
    }
    // The receiver goes on after its last file, which nobody may name again.
    assert_eq!(found.watermarks["r"].seq, 1_000_003);
}

#[tokio::test]
async fn a_damaged_root_or_manifest_is_seen_and_a_good_one_is_left_alone() {
    let (archive, live, _) = example().await;
    let found = survey(&archive.catalog).await.unwrap();
    assert!(found.is_readable);
    let refused = rebuild(&archive.catalog, found.clone(), Consent::Missing, NOW_MS)
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("can be read"), "{refused}");
    let newest = archive.catalog.live().await.unwrap().root_n();
    for manifest in std::fs::read_dir(archive.path().join("_archive/manifests")).unwrap() {
        std::fs::write(manifest.unwrap().path(), b"lost").unwrap();
    }
    assert!(anew(&archive).live().await.is_err());
    let (found, parts) = rebuilt(&archive).await;
    assert_eq!((found.is_readable, found.newest_root, parts), (false, newest, live));
    assert!(
        anew(&archive).at_root(newest).await.is_err(),
        "what is older is not read any more"
    );
    // It can be used as before.
    archive.pass_over_numbers();
    archive.flush(&[("a", "x", times(TODAY, 6))], NOW_MS).await;
    assert_eq!(anew(&archive).live().await.unwrap().parts().count(), 4);
}

#[tokio::test]
async fn deletions_and_locks_hold_again_and_what_was_lifted_does_not() {
    let (archive, ..) = example().await;
    let request = |range| DeleteRequest {
        tenant: TenantId::parse("a").unwrap(),
        matchers: parse_selector("{job=\"x\"}").unwrap(),
        range,
        reason: "asked for".to_owned(),
        who: "ops".to_owned(),
    };
    let early = TimeRange { start: 0, end: 1 };
    let catalog = &archive.catalog;
    let (kept, _) = delete(catalog, &request(TimeRange::ALL), 100, Consent::Given, NOW_MS)
        .await
        .unwrap();
    let (lifted, _) = delete(catalog, &request(early), 100, Consent::Given, NOW_MS)
        .await
        .unwrap();
    undelete(catalog, &lifted.id, NOW_MS).await.unwrap();
    let locked = LockRequest {
        tenant: None,
        range: TimeRange { start: 5, end: 6 },
        reason: "audit".to_owned(),
        who: "ops".to_owned(),
    };
    let locked = lock(catalog, &locked, NOW_MS).await.unwrap().lock;
    lose_the_catalog(&archive.path());
    rebuilt(&archive).await;
    let live = anew(&archive).live().await.unwrap();
    assert_eq!((live.masks().len(), &live.masks()[0].id), (1, &kept.id));
    assert_eq!(live.locks(), [locked]);
    assert_eq!(
        live.parts().filter(|part| live.masks()[0].concerns(part)).count(),
        2,
        "of tenant a"
    );
}

#[tokio::test]
async fn what_a_crash_left_half_done_loses_nothing() {
    let (archive, mut live, _) = example().await;
    let day = TODAY - 1;
    let at = NOW_MS - DAY_MS / 2;
    // A merge that was split, of which one part was written and none committed.
    let input = archive
        .flush(&[("a", "x", times(day, 20)), ("a", "y", times(day, 20))], at)
        .await;
    let half = archive.compacted("a", day, &[("x", times(day, 20))], &[input], at);
    // A part of which one file was not written.
    let unfinished = archive.compacted("b", day, &[("x", times(day, 20))], &[], at);
    std::fs::remove_file(archive.path().join(&unfinished.files[0].path)).unwrap();
    lose_the_catalog(&archive.path());
    std::fs::write(archive.path().join("samples/notes.txt"), b"mine").unwrap();
    let (found, parts) = rebuilt(&archive).await;
    live.extend([input, half.ulid]);
    assert_eq!((parts, found.doubtful), (live, vec![half.ulid]));
    let left: Vec<_> = found.unusable.keys().cloned().collect();
    assert_eq!((left, found.foreign), (vec![unfinished.files[1].path.clone()], 1));
}

#[tokio::test]
async fn a_damaged_file_is_left_out_with_its_part() {
    let (archive, mut live, _) = example().await;
    let victim = archive.catalog.live().await.unwrap().parts().last().unwrap().clone();
    let series = victim.file(emberkeep_archive::FileKind::Series).unwrap();
    std::fs::write(archive.path().join(&series.path), b"PAR1").unwrap();
    lose_the_catalog(&archive.path());
    let (found, parts) = rebuilt(&archive).await;
    live.remove(&victim.ulid);
    assert!(found.unusable.contains_key(&series.path));
    assert!(live.is_subset(&parts));
}
