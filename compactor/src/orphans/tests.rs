//! What is an orphan and what only looks like one, and that orphans go through the same window as everything else.

#![expect(clippy::unwrap_used, reason = "tests")]

use emberkeep_archive::{ArchiveError, Change, CollectSettings, Removal, apply, collect, find_orphans, fresh_nonce};

use super::*;
use crate::fixture::{Archive, DAY_MS, NOW_MS, TODAY, times};

#[test]
fn only_old_unfinished_files_go() {
    let scratch = tempfile::tempdir().unwrap();
    assert_eq!(remove_unfinished(scratch.path(), Duration::ZERO).unwrap(), 0);
    std::fs::create_dir(scratch.path().join(".tmp")).unwrap();
    std::fs::write(scratch.path().join(".tmp/a"), b"x").unwrap();
    std::fs::write(scratch.path().join("b"), b"x").unwrap();
    assert_eq!(remove_unfinished(scratch.path(), LEFTOVER_AGE).unwrap(), 0);
    assert_eq!(remove_unfinished(scratch.path(), Duration::ZERO).unwrap(), 1);
    assert!(scratch.path().join("b").exists() && !scratch.path().join(".tmp/a").exists());
}

/// A copy of a file under the name that another sequence would give it.
fn copy_of_flush(archive: &Archive, seq: u64) -> String {
    let folder = archive.path().join("_archive/level0/r");
    let first = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap();
    let name = first.file_name().into_string().unwrap();
    let copy = format!("{seq:020}-{}", name.split_once('-').unwrap().1);
    std::fs::copy(first.path(), folder.join(&copy)).unwrap();
    format!("_archive/level0/r/{copy}")
}

#[tokio::test]
async fn only_what_can_never_become_live_is_an_orphan() {
    let archive = Archive::new();
    let day = TODAY - 3;
    let flushed = archive.flush(&[("a", "x", times(day, 5))], NOW_MS - 3 * DAY_MS).await;
    let merged = archive
        .merged("a", day, &[("x", times(day, 5))], &[flushed], NOW_MS - 2 * DAY_MS)
        .await;
    let removed = archive
        .merged("a", day, &[("y", times(day, 5))], &[], NOW_MS - 2 * DAY_MS)
        .await;
    let nonce = fresh_nonce();
    let remove = apply(&archive.catalog, &nonce, NOW_MS, |_| {
        let mut change = Change::default();
        change.removing(Removal::Expired, removed);
        Ok::<_, ArchiveError>(Some(change))
    });
    remove.await.unwrap();
    // Live, condemned by a merge, condemned by retention: none of them is an orphan.
    assert_eq!(
        find_orphans(&archive.catalog, NOW_MS).await.unwrap().paths,
        Vec::<String>::new()
    );

    let left_by_flush = copy_of_flush(&archive, 1).clone();
    assert!(
        find_orphans(&archive.catalog, NOW_MS).await.unwrap().paths.is_empty(),
        "that is the flush itself"
    );
    let not_yet = copy_of_flush(&archive, 2);
    let old_job = archive.compacted("a", day, &[("x", times(day, 5))], &[merged], NOW_MS - 2 * DAY_MS);
    archive.compacted("a", day, &[("x", times(day, 5))], &[merged], NOW_MS - DAY_MS + 1);
    std::fs::create_dir_all(archive.path().join("samples/_delta_log")).unwrap();
    std::fs::write(archive.path().join("samples/_delta_log/0.json"), b"{}").unwrap();
    let found = find_orphans(&archive.catalog, NOW_MS).await.unwrap();
    let mut expected: Vec<String> = old_job.files.iter().map(|file| file.path.clone()).collect();
    expected.sort();
    assert_eq!((&found.paths, found.bytes), (&expected, old_job.bytes()));
    assert_eq!((found.young, found.foreign), (3, 1));
    assert!(!found.paths.contains(&not_yet) && !found.paths.contains(&left_by_flush));

    // Another record takes the number and names nothing of it.
    archive.flush(&[("a", "x", times(day + 1, 5))], NOW_MS - DAY_MS).await;
    let metrics = OrphanMetrics::default();
    let found = search(&archive.catalog, &metrics, NOW_MS).await.unwrap();
    assert!(found.paths.contains(&not_yet) && found.root.is_some());
    assert_eq!(metrics.files.get(), 3);
    assert!(
        search(&archive.catalog, &metrics, NOW_MS)
            .await
            .unwrap()
            .paths
            .is_empty(),
        "they are condemned"
    );

    // A job that wakes up now is refused, and after the window the files go.
    let nonce = fresh_nonce();
    let late = apply(&archive.catalog, &nonce, NOW_MS, |_| {
        Ok::<_, ArchiveError>(Some(Change {
            add: vec![old_job.clone()],
            ..Change::default()
        }))
    });
    let refused = late.await.unwrap_err().to_string();
    assert!(refused.contains("condemned"), "{refused}");
    let is_there = |path: &String| archive.path().join(path).exists();
    let settings = CollectSettings::default();
    collect(&archive.catalog, &settings, NOW_MS + 6 * DAY_MS).await.unwrap();
    assert!(found.paths.iter().all(is_there));
    collect(&archive.catalog, &settings, NOW_MS + 7 * DAY_MS).await.unwrap();
    assert!(!found.paths.iter().any(is_there));
    let live = archive.catalog.live().await.unwrap();
    assert!(live.by_ulid().contains_key(&merged));
    assert!(
        live.parts()
            .flat_map(|part| &part.files)
            .all(|file| is_there(&file.path))
    );
}
