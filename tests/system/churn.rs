//! Churn, accelerated: in each flush window a tenth of the series is new, as within a minute of a busy cluster. Nothing of a series outlives
//! the windows in which it appears: head, files per flush and resident memory stay as they are, however many series there were.

use anyhow::{Result, ensure};
use emberkeep_proto::messages::write_v2 as v2;

use crate::gauges::{Gauges, resident};
use crate::process::{Emberkeep, eventually};
use crate::requests::Requests;
use crate::wire::{self, V2_TYPE};

const WINDOWS: usize = 30;
/// Until here memory may still settle.
const SETTLED: usize = 15;
/// Series of a window, and how many of them the next one does not have.
const SERIES: usize = 3_000;
const NEW: usize = 300;

/// One scrape of the series of a window.
fn scrape(window: usize) -> Result<Vec<u8>> {
    let mut request = Requests::new();
    let (name, pod, text) = (
        request.symbol("__name__"),
        request.symbol("pod"),
        request.symbol("churn_total"),
    );
    for number in window * NEW..window * NEW + SERIES {
        // A label as long as those of real pods, and no other series has it.
        let value = request.fresh(&format!("deployment-with-a-long-name-5d8f9c7b6d-{number:08}"));
        let mut series = v2::TimeSeries {
            labels_refs: vec![name, text, pod, value],
            ..Default::default()
        };
        series.samples.push(v2::Sample {
            value: number as f64,
            timestamp: 1_750_000_000_000 + window as i64 * 60_000,
            start_timestamp: 0,
        });
        request.push(&series, &[]);
    }
    request.body()
}

/// Files that were uploaded by flushes.
fn uploaded(data: &std::path::Path) -> Result<usize> {
    let mut files = 0;
    for receiver in std::fs::read_dir(data.join("archive/_archive/level0"))? {
        files += std::fs::read_dir(receiver?.path())?.count();
    }
    Ok(files)
}

#[tokio::test]
async fn series_that_come_and_go_leave_nothing_in_memory() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let server = Emberkeep::start(scratch.path(), &["--flush.interval=200ms", "--fold.interval=500ms"])?;
    let client = wire::client();
    let empty = Gauges::scrape(&client, &server).await?.of("receiver_head_bytes")?;
    let (mut early, mut late) = (0, 0);
    for window in 0..WINDOWS {
        let (status, _, text) = wire::post(&client, &server.url("/api/v1/write"), V2_TYPE, scrape(window)?).await?;
        ensure!(status == 204, "{status} {text}");
        let (server, client) = (&server, &client);
        let now = eventually(|| async move {
            let now = Gauges::scrape(client, server).await?;
            let (commits, head, series) = (
                now.of("receiver_commits_total")?,
                now.of("receiver_head_bytes")?,
                now.of("receiver_head_series")?,
            );
            ensure!(commits > window as f64, "{commits} commits");
            ensure!(
                head <= empty && series == 0.0,
                "{head} bytes of {series} series are left in the head"
            );
            ensure!(now.of("receiver_staging_bytes")? == 0.0, "something is staged");
            Ok(now)
        })
        .await?;
        ensure!(
            now.of("receiver_commits_total")? == (window + 1) as f64,
            "one flush for each window"
        );
        let files = uploaded(scratch.path())?;
        ensure!(
            files == 2 * (window + 1),
            "{files} files of {} flushes: not series and samples each",
            window + 1
        );
        let most = if window < SETTLED { &mut early } else { &mut late };
        *most = resident(server)?.max(*most);
    }
    // A window is a few megabytes: the later ones do not fit in here when what they hold stays.
    let bound = early + early / 5;
    ensure!(
        late <= bound,
        "{late} bytes resident, {early} in the first {SETTLED} windows, bound {bound}"
    );
    Ok(())
}
