//! Local files that version 1 wrote open for ever: a receiver starts on them, serves the staged samples and commits them once.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::sync::Arc;

use emberkeep_archive::{Catalog, StoreConfig};
use emberkeep_disk::RealFs;
use emberkeep_model::head::{HeadKinds, HeadQuery};
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

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_of_version_1_goes_on() {
    let scratch = tempfile::tempdir().unwrap();
    copy(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/v1"),
        &scratch.path().join("data"),
    );
    let store = StoreConfig::directory(scratch.path().join("bucket")).open().unwrap();
    let components = Components {
        fs: Arc::new(RealFs),
        store: store.clone(),
        clock: Arc::new(ManualClock::new(1_795_227_300_000)),
        on_fatal: Box::new(|error| panic!("{error}")),
        pause: Pause::default(),
        stop: Arc::default(),
    };
    let settings = Settings::new(scratch.path().join("data"));
    let receiver = Receiver::start(components, settings, &mut Registry::default())
        .await
        .unwrap();
    let head = receiver.head();
    let query = HeadQuery {
        tenant: TenantId::default(),
        range: TimeRange::ALL,
        matchers: Arc::new([Matcher::new("__name__", MatchOp::Equal, "golden").unwrap()]),
        kinds: HeadKinds::Samples,
    };
    receiver.drain().await.unwrap();
    let answer = tokio::task::spawn_blocking(move || head.read(&query))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(answer.position.receiver, "4bjs4q5qnpyzv606mkjvz69ff1");
    assert_eq!(answer.position.committed, 1);
    assert!(answer.series.is_empty(), "what is committed has left the head");
    let view = Catalog::new(store).refresh().await.unwrap();
    assert_eq!(view.parts.iter().map(|part| part.samples()).sum::<u64>(), 3);
    receiver.shutdown().await;
}
