//! An HA pair: two senders that differ in their replica label, one series on reading, both exactly on export.

use anyhow::{Result, ensure};
use emberkeep_proto::messages::prometheus as v1;
use prost::Message;

use crate::process::{Emberkeep, emberkeep, output};
use crate::wire::{self, V1_TYPE};

/// A midnight long ago.
const START: i64 = 1_750_032_000_000;

/// A counter as one replica scrapes it: each 15 s, the second one 7 s later.
fn body(replica: &str, offset: i64, scrapes: impl Iterator<Item = i64>) -> Result<Vec<u8>> {
    let label = |name: &str, value: &str| v1::Label {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let samples = scrapes.map(|i| v1::Sample {
        value: (i * 15_000 + offset) as f64,
        timestamp: START + i * 15_000 + offset,
    });
    let series = v1::TimeSeries {
        labels: vec![
            label("__name__", "requests_total"),
            label("job", "web"),
            label("replica", replica),
        ],
        samples: samples.collect(),
        ..Default::default()
    };
    let request = v1::WriteRequest {
        timeseries: vec![series],
        ..Default::default()
    };
    Ok(snap::raw::Encoder::new().compress_vec(&request.encode_to_vec())?)
}

#[tokio::test]
async fn a_pair_is_one_series_on_reading_and_two_on_export() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let data = scratch.path().join("data");
    let server = Emberkeep::start(&data, &["--dedup.replica-label=replica", "--flush.interval=200ms"])?;
    let client = wire::client();
    let write = server.url("/api/v1/write");
    // The first one is away from scrape 100 to 139.
    let away = |i: &i64| !(100..140).contains(i);
    for sent in [body("a", 0, (0..240).filter(away))?, body("b", 7_000, 0..240)?] {
        ensure!(wire::post(&client, &write, V1_TYPE, sent).await?.0 == 204);
    }
    let read = async |parameters: &str| {
        let url = server.url(&format!("/api/v1/read{parameters}"));
        wire::read_samples(&client, &url, START, START + 86_400_000, wire::everything()).await
    };
    let raw = read("?dedup=false").await?;
    let counts: Vec<usize> = raw.values().map(|samples| samples.len()).collect();
    ensure!(counts == [200, 240], "{counts:?}");
    let merged = read("").await?;
    ensure!(merged.len() == 1, "{:?}", merged.keys());
    let (labels, samples) = merged.first_key_value().expect("there is one");
    ensure!(labels.iter().all(|(name, _)| name != "replica"), "{labels:?}");
    // 100 of the first, and, from the first one behind two intervals on, the second.
    let expected: Vec<i64> = (0..100)
        .map(|i| START + i * 15_000)
        .chain((101..240).map(|i| START + i * 15_000 + 7_000))
        .collect();
    ensure!(
        samples.keys().copied().eq(expected.iter().copied()),
        "{:?}",
        samples.len()
    );
    ensure!(
        samples
            .iter()
            .all(|(at, (bits, _))| f64::from_bits(*bits) == (at - START) as f64),
        "values are given as they are"
    );
    ensure!(
        read("?replica_label=nothing").await?.len() == 2,
        "the request says otherwise"
    );

    // Export gives either replica exactly, whatever the server merges.
    for (replica, count) in [("a", 200), ("b", 240)] {
        let target = scratch.path().join(format!("restored-{replica}"));
        let report = output(
            emberkeep(["reader", "export-tsdb", "--from=1750032000", "--to=1750118400"])
                .arg(format!("--storage.path={}", data.display()))
                .arg(format!("--head-url=http://127.0.0.1:{}", server.port))
                .arg(format!("--match={{replica=\"{replica}\"}}"))
                .arg(format!("--output={}", target.display())),
        )?;
        ensure!(report.contains(&count.to_string()), "{report}");
    }
    Ok(())
}
