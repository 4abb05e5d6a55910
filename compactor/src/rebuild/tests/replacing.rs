//! Merged inputs that must not stay away, though something looks as if they could: all of their rows are there again.

use std::sync::Arc;

use emberkeep_archive::{CondemnedList, PartEntry, Removal, names, seal_envelope};

use super::*;
use crate::job_result::{JobResult, commit_results};
use crate::merger::{Merger, MergerSettings};
use crate::plan::{PlanSettings, plan};
use crate::undo::{Target, undo};

/// Rows in live parts, equal ones as often as they are there.
async fn live_rows(archive: &Archive) -> u64 {
    let live = anew(archive).live().await.unwrap();
    live.parts().map(|part| part.samples()).sum()
}

/// A day of which half of the rows are deleted: the root before, and what a merge that is not committed made of it.
async fn half_deleted(archive: &Archive) -> (u64, String, JobResult) {
    let day = TODAY - 3;
    let rows = [("a", "debug", times(day, 20)), ("a", "x", times(day, 20))];
    archive.flush(&rows, NOW_MS - 2 * DAY_MS).await;
    let before = archive.catalog.live().await.unwrap().root_n();
    let request = DeleteRequest {
        tenant: TenantId::parse("a").unwrap(),
        matchers: parse_selector("{job=\"debug\"}").unwrap(),
        range: TimeRange::ALL,
        reason: "asked for".to_owned(),
        who: "ops".to_owned(),
    };
    let deleted = delete(&archive.catalog, &request, 100, Consent::Given, NOW_MS).await;
    let (live, store) = (archive.catalog.live().await.unwrap(), archive.catalog.store());
    let jobs = plan(store, &live, &PlanSettings::default().at_once(), &[], NOW_MS).await;
    let scratch = tempfile::tempdir().unwrap();
    let merger = Merger::new(Arc::clone(store), MergerSettings::new(scratch.path().to_owned()));
    let made = merger.run(&jobs.unwrap()[0]).await.unwrap();
    assert_eq!((made.rows_read, made.deleted), (40, 20));
    (before, deleted.unwrap().0.id, made)
}

/// Damages the newest root.
async fn lose_the_root(archive: &Archive) {
    let newest = archive.catalog.live().await.unwrap().root_n();
    std::fs::write(archive.path().join(names::root(newest).as_ref()), b"lost").unwrap();
}

#[tokio::test]
async fn a_deletion_that_was_taken_back_after_its_rows_were_rewritten_deletes_nothing() {
    let archive = Archive::new();
    let (before, _, made) = half_deleted(&archive).await;
    let landed = commit_results(&archive.catalog, &[made], NOW_MS).await.unwrap();
    assert_eq!((landed.landed, live_rows(&archive).await), (1, 20));
    undo(&archive.catalog, Target::Root(before), NOW_MS).await.unwrap();
    assert_eq!(
        live_rows(&archive).await,
        40 + 20,
        "what was taken back lies beside what was kept"
    );
    lose_the_root(&archive).await;
    // The list of what the rewriting removed is still there, and so is all that came instead.
    rebuilt(&archive).await;
    let live = anew(&archive).live().await.unwrap();
    assert_eq!((live_rows(&archive).await, live.masks().len()), (40 + 20, 0));
}

#[tokio::test]
async fn a_list_whose_root_never_was_deletes_nothing() {
    let archive = Archive::new();
    let (_, mask, made) = half_deleted(&archive).await;
    // The committer wrote it, and lost the race for its root against whoever took the deletion back.
    let list = CondemnedList {
        nonce: "n".to_owned(),
        why: Removal::Rewritten,
        parts: archive
            .catalog
            .live()
            .await
            .unwrap()
            .parts()
            .map(|part| PartEntry::clone(part))
            .collect(),
        paths: vec![],
        by: made.outputs.iter().map(|part| part.ulid.to_string()).collect(),
    };
    let path = archive.path().join(names::condemned(&Ulid(9).to_string()).as_ref());
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, seal_envelope(&list).unwrap()).unwrap();
    undelete(&archive.catalog, &mask, NOW_MS).await.unwrap();
    assert_eq!(live_rows(&archive).await, 40);
    lose_the_root(&archive).await;
    let (found, _) = rebuilt(&archive).await;
    assert_eq!((found.replaced.len(), found.doubtful.len()), (0, 1));
    assert_eq!(live_rows(&archive).await, 40 + 20);
}

#[tokio::test]
async fn a_deletion_in_force_hides_the_rows_of_what_is_kept_in_doubt() {
    let archive = Archive::new();
    let (_, _, made) = half_deleted(&archive).await;
    commit_results(&archive.catalog, &[made], NOW_MS).await.unwrap();
    lose_the_root(&archive).await;
    rebuilt(&archive).await;
    let live = anew(&archive).live().await.unwrap();
    let [mask] = live.masks() else {
        panic!("{:?}", live.masks())
    };
    assert!(live.parts().all(|part| part.masks < mask.number && mask.concerns(part)));
}

#[tokio::test]
async fn two_runs_of_a_job_that_made_the_same_half_are_no_proof_of_the_other() {
    let day = TODAY - 1;
    let (early, late) = (times(day, 20), times(day, 40)[20..].to_vec());
    let at = NOW_MS - DAY_MS / 2;
    for (halves, is_proof) in [
        ([("x", &early), ("x", &early)], false),
        ([("x", &early), ("x", &late)], true),
    ] {
        let archive = Archive::new();
        let input = archive.flush(&[("a", "x", times(day, 40))], at).await;
        let made = halves.map(|(job, times)| archive.compacted("a", day, &[(job, times.clone())], &[input], at));
        lose_the_catalog(&archive.path());
        let (found, parts) = rebuilt(&archive).await;
        let mut expected: BTreeSet<Ulid> = made.iter().map(|part| part.ulid).collect();
        if !is_proof {
            expected.insert(input);
        }
        assert_eq!((parts, found.doubtful.is_empty()), (expected, is_proof), "{halves:?}");
    }
}
