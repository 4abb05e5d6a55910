//! Fifty real `kill -9` under load: whatever was answered with 204 is there afterwards, and nothing that was never sent.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use anyhow::{Result, ensure};
use emberkeep_proto::messages::prometheus as v1;
use parking_lot::Mutex;
use prost::Message;

use crate::corpus::{drain, duckdb_samples};
use crate::process::Emberkeep;
use crate::wire::{self, V1_TYPE};

const KILLS: usize = 50;
const SENDERS: usize = 4;
const SERIES: i64 = 20;

/// One request with a timestamp of its own on each series.
fn body(timestamp: i64) -> Result<Vec<u8>> {
    let timeseries = (0..SERIES).map(|n| v1::TimeSeries {
        labels: vec![
            v1::Label {
                name: "__name__".to_owned(),
                value: "load".to_owned(),
            },
            v1::Label {
                name: "n".to_owned(),
                value: n.to_string(),
            },
        ],
        samples: vec![v1::Sample {
            value: (timestamp * SERIES + n) as f64,
            timestamp,
        }],
        ..Default::default()
    });
    let request = v1::WriteRequest {
        timeseries: timeseries.collect(),
        ..Default::default()
    };
    Ok(snap::raw::Encoder::new().compress_vec(&request.encode_to_vec())?)
}

/// What the senders know.
#[derive(Default)]
struct Sent {
    next: AtomicI64,
    acknowledged: Mutex<BTreeSet<i64>>,
    stop: AtomicBool,
}

async fn send(url: String, sent: Arc<Sent>) -> Result<()> {
    let client = wire::client();
    while !sent.stop.load(Ordering::Relaxed) {
        let timestamp = sent.next.fetch_add(1, Ordering::Relaxed) + 1;
        // A killed server breaks connections: such a request is simply not acknowledged.
        if let Ok((204, ..)) = wire::post(&client, &url, V1_TYPE, body(timestamp)?).await {
            sent.acknowledged.lock().insert(timestamp);
        } else {
            tokio::task::yield_now().await;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_kills_under_load_lose_nothing_acknowledged() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let arguments = ["--flush.interval=300ms", "--fold.interval=200ms"];
    let mut server = Emberkeep::start(scratch.path(), &arguments)?;
    let sent = Arc::new(Sent::default());
    let senders: Vec<_> = (0..SENDERS)
        .map(|_| tokio::spawn(send(server.url("/api/v1/write"), sent.clone())))
        .collect();
    for kill in 0..KILLS {
        // Between 3 and 60 acknowledged requests after each start, so that kills fall into writes, flushes and commits alike.
        let wanted = sent.acknowledged.lock().len() + 3 + (kill * 7) % 57;
        let client = &sent;
        crate::process::eventually(|| async move {
            let now = client.acknowledged.lock().len();
            ensure!(now >= wanted, "{now} of {wanted} requests acknowledged");
            Ok(())
        })
        .await?;
        server = server.kill_and_restart()?;
    }
    sent.stop.store(true, Ordering::Relaxed);
    for sender in senders {
        sender.await??;
    }
    drain(server)?;
    let found = duckdb_samples(scratch.path(), "anonymous")?;
    let acknowledged = sent.acknowledged.lock().clone();
    ensure!(
        acknowledged.len() > KILLS * 3,
        "too little load: {}",
        acknowledged.len()
    );
    let sent_up_to = sent.next.load(Ordering::Relaxed);
    ensure!(found.len() as i64 == SERIES, "{} series", found.len());
    for (labels, by_time) in &found {
        let n: i64 = labels
            .iter()
            .find(|(name, _)| name == "n")
            .map_or("", |l| &l.1)
            .parse()?;
        for timestamp in &acknowledged {
            let expected = ((timestamp * SERIES + n) as f64).to_bits();
            ensure!(
                by_time.get(timestamp) == Some(&(expected, 0)),
                "acknowledged {timestamp} of {labels:?} is lost"
            );
        }
        ensure!(
            by_time.keys().all(|t| (1..=sent_up_to).contains(t)),
            "something was never sent"
        );
    }
    Ok(())
}
