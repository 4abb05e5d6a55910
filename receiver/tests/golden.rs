//! Local files of the first version open for ever: a receiver starts on them, serves what they hold and commits it once.
//!
//! `v1` has a staged part. `v1-log` has a log of two requests, one of each protocol, whose verdicts count float samples alone: each
//! refuses some, and holds histograms, exemplars and metadata that were not kept.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::sync::Arc;

use emberkeep_archive::{Catalog, ObjectStore, StoreConfig};
use emberkeep_disk::RealFs;
use emberkeep_model::head::{HeadAnswer, HeadKinds, HeadQuery};
use emberkeep_model::{MatchOp, Matcher, TenantId, TimeRange};
use emberkeep_receiver::{Components, Pause, Receiver, Settings};
use emberkeep_service::clock::ManualClock;
use prometheus_client::registry::Registry;

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

async fn start(files: &str, scratch: &Path) -> (Arc<Receiver>, Arc<dyn ObjectStore>) {
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(files);
    copy(&files, &scratch.join("data"));
    let store = StoreConfig::directory(scratch.join("bucket")).open().unwrap();
    let components = Components {
        fs: Arc::new(RealFs),
        store: store.clone(),
        clock: Arc::new(ManualClock::new(1_795_227_300_000)),
        on_fatal: Box::new(|error| panic!("{error}")),
        pause: Pause::default(),
        stop: Arc::default(),
    };
    let settings = Settings::new(scratch.join("data"));
    let mut registry = Registry::default();
    let receiver = Receiver::start(components, settings, &mut registry).await.unwrap();
    receiver.replayed().await.unwrap();
    (receiver, store)
}

async fn read(receiver: &Receiver, kinds: HeadKinds, name: &str) -> HeadAnswer {
    let head = receiver.head();
    let query = HeadQuery {
        tenant: TenantId::default(),
        range: TimeRange::ALL,
        matchers: Arc::new([Matcher::new("__name__", MatchOp::Regex, name).unwrap()]),
        kinds,
    };
    tokio::task::spawn_blocking(move || head.read(&query))
        .await
        .unwrap()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_of_version_1_goes_on() {
    let scratch = tempfile::tempdir().unwrap();
    let (receiver, store) = start("v1", scratch.path()).await;
    receiver.drain().await.unwrap();
    let answer = read(&receiver, HeadKinds::Samples, "golden").await;
    assert_eq!(answer.position.receiver, "4bjs4q5qnpyzv606mkjvz69ff1");
    assert_eq!(answer.position.committed, 1);
    assert!(answer.series.is_empty(), "what is committed has left the head");
    let view = Catalog::new(store).refresh().await.unwrap();
    assert_eq!(view.parts.iter().map(|part| part.samples()).sum::<u64>(), 3);
    receiver.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_whose_verdicts_know_floats_alone_is_replayed_as_it_was_acknowledged() {
    let scratch = tempfile::tempdir().unwrap();
    let (receiver, store) = start("v1-log", scratch.path()).await;
    let answer = read(&receiver, HeadKinds::Samples, "log_.*").await;
    let t = 1_795_000_000_000;
    let series: Vec<_> = answer.series.iter().collect();
    let found: Vec<_> = series
        .iter()
        .flat_map(|series| {
            assert!(series.runs.histograms.is_empty() && series.labels.value_of("job") == "gold");
            let rows = series.runs.samples.iter();
            rows.map(|sample| {
                let name = series.labels.metric_name();
                (name, sample.timestamp - t, sample.value, sample.start_timestamp)
            })
        })
        .collect();
    assert_eq!(
        found,
        [
            ("log_v1", 0, 1.5, 0),
            ("log_v1", 1000, 2.5, 0),
            ("log_v1", 2000, 3.5, 0),
            ("log_v1_b", 0, 7.5, 0),
            ("log_v2", 0, 1.25, t - 5000),
            ("log_v2", 1000, 2.25, t - 5000),
            ("log_v2", 4000, 4.25, 0),
        ]
    );
    for kinds in [HeadKinds::Exemplars, HeadKinds::Metadata] {
        let answer = read(&receiver, kinds, "log_.*").await;
        assert!(answer.series.is_empty() && answer.metadata.is_empty());
    }
    receiver.drain().await.unwrap();
    let view = Catalog::new(store).refresh().await.unwrap();
    assert_eq!(view.parts.iter().map(|part| part.samples()).sum::<u64>(), 7);
    receiver.shutdown().await;
}
