//! `replay`: everything is sent once to an endpoint, in time order for each series, whatever the endpoint answers meanwhile.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use emberkeep_model::{TenantId, TimeRange};
use emberkeep_proto::messages::prometheus as wire;
use emberkeep_reader::export::progress;
use emberkeep_reader::replay::Replay;
use emberkeep_reader::{Query, ReaderError, ReplicaLabels, Selection, Sources};
use prost::Message;
use tokio::sync::Mutex;

use crate::support::{Rows, TestArchive, labels, sample};

/// A receiver that answers by a script; then it takes everything.
#[derive(Default)]
struct Receiver {
    script: Vec<(StatusCode, &'static str)>,
    asked: AtomicUsize,
    taken: Mutex<BTreeMap<String, Vec<(i64, u64)>>>,
    /// Newest sample of all series so far, and how far behind it a sample came.
    newest: Mutex<(i64, i64)>,
}

async fn take(State(receiver): State<Arc<Receiver>>, headers: HeaderMap, body: Bytes) -> Response {
    let at = receiver.asked.fetch_add(1, Ordering::SeqCst);
    if let Some((status, said)) = receiver.script.get(at).filter(|(status, _)| !status.is_success()) {
        return (*status, [("retry-after", "0")], *said).into_response();
    }
    assert_eq!(headers["x-prometheus-remote-write-version"], "0.1.0");
    assert_eq!(headers["x-scope-orgid"], "new");
    let mut raw = Vec::new();
    emberkeep_proto::snappy::decompress_capped(&body, 16 << 20, &mut raw).unwrap();
    let request = wire::WriteRequest::decode(raw.as_slice()).unwrap();
    let mut taken = receiver.taken.lock().await;
    let mut newest = receiver.newest.lock().await;
    for series in request.timeseries {
        let name: Vec<String> = series
            .labels
            .iter()
            .map(|label| format!("{}={}", label.name, label.value))
            .collect();
        let of_series = taken.entry(name.join(",")).or_default();
        for sample in series.samples {
            newest.1 = newest.1.max(newest.0 - sample.timestamp);
            newest.0 = newest.0.max(sample.timestamp);
            of_series.push((sample.timestamp, sample.value.to_bits()));
        }
    }
    StatusCode::NO_CONTENT.into_response()
}

async fn serve(receiver: &Arc<Receiver>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new()
        .route("/push", post(take))
        .with_state(Arc::clone(receiver));
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}/push")
}

const HOUR: i64 = 3_600_000;

async fn archive() -> (TestArchive, Rows) {
    let mut archive = TestArchive::new();
    let mut rows = Rows::new();
    for series in ["a", "b", "c"] {
        for n in 0..3_000 {
            let at = 1_000 * HOUR + n * 5_000;
            rows.push((
                TenantId::default(),
                labels(&[("__name__", "m"), ("s", series), ("x", "1")]),
                sample(at, n as f64),
            ));
        }
    }
    archive.flush(&rows).await;
    (archive, rows)
}

async fn replay(archive: &TestArchive, to: &str, state: &Path, arguments: &str) -> Result<u64, ReaderError> {
    let replay = Replay {
        query: Query {
            tenant: TenantId::default(),
            range: TimeRange {
                start: 0,
                end: 5_000 * HOUR,
            },
            selection: Selection::all(),
        },
        to: to.to_owned(),
        tenant: Some("new".to_owned()),
        stripped: ReplicaLabels::new(["x".to_owned()]).unwrap(),
        arguments: vec![arguments.to_owned()],
        state: state.to_owned(),
        rate: None,
        shards: 3,
        slice_ms: HOUR / 2,
    };
    let mut err = Vec::new();
    let sources = Sources::new(archive.store.clone(), Vec::new());
    replay.run(&sources, &mut err, &progress()).await
}

fn expected() -> BTreeMap<String, Vec<(i64, u64)>> {
    let samples: Vec<(i64, u64)> = (0..3_000)
        .map(|n| (1_000 * HOUR + n * 5_000, (n as f64).to_bits()))
        .collect();
    ["a", "b", "c"]
        .into_iter()
        .map(|series| (format!("__name__=m,s={series}"), samples.clone()))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_sent_in_the_order_of_time() {
    let (archive, _) = archive().await;
    let receiver = Arc::new(Receiver {
        script: vec![
            (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            (StatusCode::OK, ""),
            (StatusCode::TOO_MANY_REQUESTS, "slowly"),
        ],
        ..Receiver::default()
    });
    let to = serve(&receiver).await;
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state.json");
    assert_eq!(replay(&archive, &to, &state, "x").await.unwrap(), 9_000);
    assert_eq!(*receiver.taken.lock().await, expected());
    // A slice and no more, so that a receiver with a short memory takes everything.
    assert!(receiver.newest.lock().await.1 <= HOUR / 2);
    assert!(!state.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_ends_it_and_the_same_command_goes_on() {
    let (archive, _) = archive().await;
    // Five slices of 360 samples and three series are one request for each shard that has any.
    let mut script = vec![(StatusCode::OK, ""); 4];
    script.push((StatusCode::BAD_REQUEST, "out of bounds"));
    let receiver = Arc::new(Receiver {
        script,
        ..Receiver::default()
    });
    let to = serve(&receiver).await;
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state.json");
    let error = replay(&archive, &to, &state, "x").await.err().unwrap().to_string();
    assert!(error.contains("400") && error.contains("out of bounds"), "{error}");
    let other = replay(&archive, &to, &state, "y").await.err().unwrap().to_string();
    assert!(other.contains("another replay"), "{other}");
    replay(&archive, &to, &state, "x").await.unwrap();
    let mut taken = receiver.taken.lock().await.clone();
    // What was taken of the interrupted slice comes again, and equal samples are one.
    for samples in taken.values_mut() {
        samples.sort_unstable();
        samples.dedup();
    }
    assert_eq!(taken, expected());
}
