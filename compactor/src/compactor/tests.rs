//! Tests of the fold loop: gaps, races, a store that fails and heals, a damaged record.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::time::Duration;

use emberkeep_archive::{CommitRecord, Committed, StoreConfig, WalRange, commit};
use emberkeep_service::clock::ManualClock;
use emberkeep_service::metrics::{Exposition, Metrics as Exposed};
use tempfile::TempDir;

use super::*;

const NOW_MS: i64 = 1_795_168_800_000;

fn store(path: &Path) -> Arc<dyn ObjectStore> {
    StoreConfig::directory(path.to_owned()).open().unwrap()
}

fn compactor(store: Arc<dyn ObjectStore>) -> Compactor {
    let settings = Settings {
        fold_interval: Duration::from_millis(1),
        retry_min: Duration::from_millis(1),
        retry_max: Duration::from_millis(4),
    };
    Compactor::new(store, settings, Arc::new(ManualClock::new(NOW_MS)))
}

/// Commits an empty record, as a receiver does whose whole range was refused.
async fn commit_record(store: &dyn ObjectStore, receiver: &str, seq: u64) {
    let record = CommitRecord {
        nonce: fresh_nonce(),
        receiver: receiver.to_owned(),
        epoch: 1,
        seq,
        wal: WalRange {
            id: "00112233445566778899aabbccddeeff".to_owned(),
            from: seq,
            to: seq + 1,
        },
        committed_at: NOW_MS,
        newest_arrival: NOW_MS,
        parts: Vec::new(),
    };
    assert_eq!(commit(store, &record).await.unwrap(), Committed::Done);
}

/// A store that can be taken away: with a link to itself where its directory was, no call can succeed, not even for root, and
/// nothing looks like an archive that is merely empty.
struct Breakable {
    scratch: TempDir,
}

impl Breakable {
    fn new() -> Self {
        Self {
            scratch: tempfile::tempdir().unwrap(),
        }
    }

    fn store(&self) -> Arc<dyn ObjectStore> {
        store(&self.scratch.path().join("archive"))
    }

    fn take_away(&self) {
        std::fs::rename(
            self.scratch.path().join("archive"),
            self.scratch.path().join("elsewhere"),
        )
        .unwrap();
        std::os::unix::fs::symlink("archive", self.scratch.path().join("archive")).unwrap();
    }

    fn bring_back(&self) {
        std::fs::remove_file(self.scratch.path().join("archive")).unwrap();
        std::fs::rename(
            self.scratch.path().join("elsewhere"),
            self.scratch.path().join("archive"),
        )
        .unwrap();
    }
}

#[tokio::test]
async fn folds_what_there_is_and_then_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let store = store(scratch.path());
    let compactor = compactor(store.clone());
    compactor.ready().unwrap_err();
    assert_eq!(
        compactor.fold_all().await.unwrap(),
        0,
        "an empty archive has nothing to fold"
    );
    compactor.ready().unwrap();
    for seq in 1..=3 {
        commit_record(&*store, "a", seq).await;
    }
    commit_record(&*store, "b", 1).await;
    // A gap: record 2 is not visible yet, so 3 must wait.
    commit_record(&*store, "b", 3).await;
    let root = compactor.fold_once().await.unwrap().unwrap();
    let marks: Vec<(&str, u64)> = root
        .watermarks
        .iter()
        .map(|(name, mark)| (name.as_str(), mark.seq))
        .collect();
    assert_eq!((root.n, root.created_at, marks), (1, NOW_MS, vec![("a", 3), ("b", 1)]));
    assert_eq!(compactor.fold_all().await.unwrap(), 0);
    commit_record(&*store, "b", 2).await;
    assert_eq!(compactor.fold_all().await.unwrap(), 1);
    let view = Catalog::new(store).refresh().await.unwrap();
    assert_eq!((view.root_n, view.committed["b"]), (2, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn lost_races_are_normal() {
    let scratch = tempfile::tempdir().unwrap();
    let store = store(scratch.path());
    let mut folding = Vec::new();
    for number in 0..4 {
        let (store, compactor) = (store.clone(), compactor(store.clone()));
        folding.push(tokio::spawn(async move {
            let mut roots = 0;
            for seq in 1..=5 {
                commit_record(&*store, &format!("r{number}"), seq).await;
                roots += compactor.fold_all().await.unwrap();
            }
            roots
        }));
    }
    let mut roots = 0;
    for task in folding {
        roots += task.await.unwrap();
    }
    let view = Catalog::new(store).refresh().await.unwrap();
    assert_eq!(view.root_n, roots, "each root was made by exactly one compactor");
    assert_eq!(view.committed.values().copied().collect::<Vec<_>>(), [5; 4]);
}

#[tokio::test]
async fn a_store_that_fails_and_heals() {
    let breakable = Breakable::new();
    let store = breakable.store();
    commit_record(&*store, "a", 1).await;
    let compactor = Arc::new(compactor(store.clone()));
    let mut exposed = Exposed::new("compactor");
    compactor.register(exposed.registry());
    breakable.take_away();

    let shutdown = Shutdown::new();
    let mut state = compactor.state.subscribe();
    let running = {
        let (compactor, shutdown) = (compactor.clone(), shutdown.clone());
        tokio::spawn(async move { compactor.run(&shutdown).await })
    };
    within_bound(state.wait_for(|state| matches!(state, State::Failing { failures: 3.., .. })))
        .await
        .unwrap();
    assert!(
        compactor.ready().unwrap_err().contains("object store"),
        "{:?}",
        compactor.ready()
    );
    let out = exposed.expose(Exposition::Text);
    assert!(
        out.contains("emberkeep_compactor_last_fold_timestamp_seconds 0"),
        "{out}"
    );
    assert!(out.contains("emberkeep_compactor_roots_total 0\n"), "{out}");

    breakable.bring_back();
    within_bound(state.wait_for(|state| matches!(state, State::Working)))
        .await
        .unwrap();
    compactor.ready().unwrap();
    let out = exposed.expose(Exposition::Text);
    let failures = out
        .lines()
        .find_map(|line| line.strip_prefix("emberkeep_compactor_fold_failures_total "))
        .unwrap();
    assert!(failures.parse::<u64>().unwrap() >= 3, "{out}");
    assert!(out.contains("emberkeep_compactor_roots_total 1\n"), "{out}");
    assert!(out.contains("emberkeep_compactor_root_number 1\n"), "{out}");
    assert!(
        out.contains(&format!(
            "emberkeep_compactor_last_fold_timestamp_seconds {}",
            NOW_MS / 1000
        )),
        "{out}"
    );

    shutdown.trigger();
    running.await.unwrap();
}

#[tokio::test]
async fn a_damaged_record_is_no_trouble_of_the_store() {
    let scratch = tempfile::tempdir().unwrap();
    let store = store(scratch.path());
    commit_record(&*store, "a", 1).await;
    let folder = scratch.path().join("_archive/log");
    let record = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    std::fs::write(&record, "{}").unwrap();
    let error = compactor(store).fold_once().await.unwrap_err();
    assert!(!error.is_transient(), "{error}");
    assert!(error.to_string().contains("_archive/log/a."), "{error}");
}

/// A test that waits for what never happens fails instead of hanging; nothing is measured by it.
async fn within_bound<T>(work: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(Duration::from_secs(120), work).await;
    waited.expect("it happens long before")
}
