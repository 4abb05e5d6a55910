//! A receiver's commits: numbers, nonces, epochs.

use std::sync::Arc;

use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use ulid::Ulid;

use super::super::{Catalog, Committed, Format, claim_epoch, commit, fold, next_sequence};
use super::faults::{FaultyStore, PutFault};
use super::{commit_one, record_of};
use crate::{ArchiveError, fresh_nonce, names};

#[tokio::test]
async fn numbers_follow_the_log_and_the_root() {
    let store = Arc::new(InMemory::new());
    assert_eq!(next_sequence(&*store, "r").await.unwrap().seq, 1);
    commit_one(&*store, "r", 1, 1).await;
    commit_one(&*store, "r", 1, 2).await;
    commit_one(&*store, "other", 1, 1).await;
    let next = next_sequence(&*store, "r").await.unwrap();
    assert_eq!(
        (next.seq, next.newest_record.unwrap().seq, next.root_created_at),
        (3, 2, None)
    );

    // When the log is gone, the watermark still knows.
    fold(&*store, &Catalog::new(store.clone()), &fresh_nonce(), 99)
        .await
        .unwrap()
        .unwrap();
    for seq in [1, 2] {
        store.delete(&names::log_record("r", seq)).await.unwrap();
    }
    let next = next_sequence(&*store, "r").await.unwrap();
    assert_eq!(
        (next.seq, next.newest_record, next.root_created_at),
        (3, None, Some(99))
    );
}

#[tokio::test]
async fn an_ambiguous_answer_is_settled_by_the_nonce() {
    let store = FaultyStore::default();
    for (seq, faults) in [
        (1, &[PutFault::FailAfter][..]),
        (2, &[PutFault::FailBefore]),
        (3, &[PutFault::PretendExists]),
        (4, &[PutFault::FailBefore, PutFault::PretendExists]),
        (5, &[PutFault::PretendExists, PutFault::FailAfter]),
    ] {
        store.fail_puts(faults);
        commit_one(&store, "r", 1, seq).await;
        // Asked again, it is still ours.
        commit_one(&store, "r", 1, seq).await;
    }
    store.fail_puts(&[PutFault::FailBefore; 3]);
    let record = record_of("r", 1, 6, Ulid(6));
    assert!(commit(&store, &record).await.unwrap_err().is_transient());
    assert_eq!(commit(&store, &record).await.unwrap(), Committed::Done);
}

#[tokio::test]
async fn the_same_flush_committed_again_after_a_restart_is_known_by_its_nonce() {
    let store = InMemory::new();
    let record = record_of("r", 1, 1, Ulid(1));
    assert_eq!(commit(&store, &record).await.unwrap(), Committed::Done);
    let again = super::CommitRecord {
        committed_at: record.committed_at + 5,
        epoch: 2,
        ..record
    };
    assert_eq!(commit(&store, &again).await.unwrap(), Committed::Done);
}

#[tokio::test]
async fn a_lower_epoch_is_our_past_and_a_higher_one_fences() {
    let store = InMemory::new();
    let theirs = record_of("r", 2, 1, Ulid(1));
    assert_eq!(commit(&store, &theirs).await.unwrap(), Committed::Done);
    let later = record_of("r", 3, 1, Ulid(2));
    assert_eq!(
        commit(&store, &later).await.unwrap(),
        Committed::AdoptedEarlier(Box::new(theirs))
    );
    let earlier = record_of("r", 1, 1, Ulid(3));
    assert_eq!(commit(&store, &earlier).await.unwrap(), Committed::Fenced { epoch: 2 });
}

#[tokio::test]
async fn a_receiver_that_stalled_past_a_collection_does_not_believe_its_success() {
    let store = Arc::new(InMemory::new());
    for seq in 1..=3 {
        commit_one(&*store, "r", 2, seq).await;
    }
    fold(&*store, &Catalog::new(store.clone()), &fresh_nonce(), 0)
        .await
        .unwrap()
        .unwrap();
    for seq in 1..=2 {
        store.delete(&names::log_record("r", seq)).await.unwrap();
    }
    let zombie = record_of("r", 1, 1, Ulid(9));
    assert_eq!(commit(&*store, &zombie).await.unwrap(), Committed::Fenced { epoch: 2 });
    let outrun = record_of("r", 3, 2, Ulid(10));
    assert_eq!(
        commit(&*store, &outrun).await.unwrap(),
        Committed::Outrun { watermark: 3 }
    );
}

#[tokio::test]
async fn a_number_that_a_twin_with_a_lower_epoch_used_and_that_is_collected_is_not_believed() {
    let store = Arc::new(InMemory::new());
    for seq in 1..=2 {
        commit_one(&*store, "r", 1, seq).await;
    }
    fold(&*store, &Catalog::new(store.clone()), &fresh_nonce(), 0)
        .await
        .unwrap()
        .unwrap();
    // The twin goes on, so that its record 2 is not the newest one and goes; we have a higher epoch, and stalled before record 2.
    commit_one(&*store, "r", 1, 3).await;
    for seq in 1..=2 {
        store.delete(&names::log_record("r", seq)).await.unwrap();
    }
    let ours = record_of("r", 2, 2, Ulid(9));
    assert_eq!(
        commit(&*store, &ours).await.unwrap(),
        Committed::Outrun { watermark: 2 },
        "nobody will ever read it"
    );
    assert_eq!(next_sequence(&*store, "r").await.unwrap().seq, 4);
}

#[tokio::test]
async fn a_record_folded_before_the_check_is_still_a_success() {
    let store = Arc::new(InMemory::new());
    let record = record_of("r", 1, 1, Ulid(1));
    commit(&*store, &record).await.unwrap();
    fold(&*store, &Catalog::new(store.clone()), &fresh_nonce(), 0)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(commit(&*store, &record).await.unwrap(), Committed::Done);
}

#[tokio::test]
async fn a_record_may_only_name_files_under_its_own_number() {
    let store = InMemory::new();
    let mut record = record_of("r", 1, 5, Ulid(1));
    record.seq = 6;
    assert!(matches!(commit(&store, &record).await, Err(ArchiveError::Invalid(_))));
    let bad = super::CommitRecord {
        receiver: "a/b".to_owned(),
        parts: vec![],
        ..record
    };
    assert!(matches!(commit(&store, &bad).await, Err(ArchiveError::Invalid(_))));
}

#[tokio::test]
async fn every_incarnation_gets_its_own_epoch() {
    let store = FaultyStore::default();
    assert_eq!(claim_epoch(&store, "r", "a").await.unwrap(), 1);
    assert_eq!(
        claim_epoch(&store, "r", "a").await.unwrap(),
        1,
        "an attempt whose answer was lost"
    );
    store.fail_puts(&[PutFault::PretendExists, PutFault::FailAfter]);
    assert_eq!(claim_epoch(&store, "r", "b").await.unwrap(), 2);
    assert_eq!(claim_epoch(&store, "other", "c").await.unwrap(), 1);

    let store = Arc::new(InMemory::new());
    let claims = (0..16).map(|i| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { claim_epoch(&*store, "r", &format!("n{i}")).await.unwrap() })
    });
    let mut epochs: Vec<u64> = futures::future::try_join_all(claims).await.unwrap();
    epochs.sort_unstable();
    assert_eq!(epochs, (1..=16).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_bucket_becomes_one_archive_whoever_comes_first() {
    let store = Arc::new(InMemory::new());
    assert_eq!(Format::load(&*store).await.unwrap(), None);
    let makers = (0..8).map(|i| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { Format::load_or_create(&*store, i).await.unwrap() })
    });
    let formats = futures::future::try_join_all(makers).await.unwrap();
    assert!(formats.iter().all(|format| *format == formats[0]));
    assert_eq!(Format::load(&*store).await.unwrap().unwrap(), formats[0]);
}
