//! Compaction as a user sees it: whatever is merged, killed in the middle, or merged twice at once, every answer stays the same.

use anyhow::{Result, ensure};
use emberkeep_proto::messages::write_v2 as v2;

use crate::gauges::Gauges;
use crate::process::{Emberkeep, Process, emberkeep, eventually, free_port};
use crate::requests::Requests;
use crate::wire::{self, Samples, V2_TYPE};

/// A midnight long ago: each window has ended, and so has each day.
pub(crate) const MIDNIGHT: i64 = 1_750_032_000_000;
pub(crate) const HOUR: i64 = 3_600_000;

/// Flushes and merges as fast as they can.
const FAST: [&str; 5] = [
    "--flush.interval=200ms",
    "--fold.interval=200ms",
    "--compact.interval=200ms",
    "--compact.settle=0s",
    "--log.level=info",
];

/// Some hours of some series; each batch overlaps the one before, says some of it again, and contradicts a little.
pub(crate) fn batch(number: i64) -> Result<Vec<u8>> {
    let mut request = Requests::new();
    let (name, text, instance) = (
        request.symbol("__name__"),
        request.symbol("merged_total"),
        request.symbol("instance"),
    );
    for series in 0..20 {
        let value = request.symbol(&format!("host-{series}"));
        let samples = (0..40).map(|i| {
            let step = number * 30 + i;
            v2::Sample {
                value: if i == 35 {
                    f64::from_bits(0x7ff0_0000_0000_0002)
                } else {
                    step as f64 + series as f64 / 8.0
                },
                timestamp: MIDNIGHT + step * HOUR / 10,
                start_timestamp: if series % 2 == 0 { 0 } else { MIDNIGHT },
            }
        });
        let series = v2::TimeSeries {
            labels_refs: vec![name, text, instance, value],
            samples: samples.collect(),
            ..Default::default()
        };
        request.push(&series, &[]);
    }
    request.body()
}

async fn send(client: &reqwest::Client, server: &Emberkeep, number: i64, sent: &mut Samples) -> Result<()> {
    let body = batch(number)?;
    wire::decode_v2(&body, sent)?;
    let (status, _, text) = wire::post(client, &server.url("/api/v1/write"), V2_TYPE, body).await?;
    ensure!(status == 204, "{status} {text}");
    Ok(())
}

/// Everything that was sent comes back, nothing else and nothing twice; 503 as long as the log is replayed.
async fn same(client: &reqwest::Client, server: &Emberkeep, sent: &Samples) -> Result<()> {
    eventually(|| async move {
        let replaying = Gauges::scrape(client, server).await?.of("receiver_replay_running")?;
        ensure!(replaying == 0.0, "the log is being replayed");
        Ok(())
    })
    .await?;
    same_now(client, server, sent).await
}

async fn same_now(client: &reqwest::Client, server: &Emberkeep, sent: &Samples) -> Result<()> {
    let url = server.url("/api/v1/read");
    let found = wire::read_samples(
        client,
        &url,
        MIDNIGHT - HOUR,
        MIDNIGHT + 1000 * HOUR,
        wire::everything(),
    )
    .await?;
    match wire::difference(&wire::without_starts(sent), &wire::without_starts(&found)) {
        None => Ok(()),
        Some(difference) => anyhow::bail!("{difference}"),
    }
}

/// Waits until all is merged: nothing of level 0 is left, and nothing is due.
async fn merged(client: &reqwest::Client, server: &Emberkeep) -> Result<Gauges> {
    eventually(|| async move {
        let now = Gauges::scrape(client, server).await?;
        ensure!(now.of("receiver_head_series")? == 0.0, "something is in the head");
        ensure!(now.of("receiver_staging_bytes")? == 0.0, "something is staged");
        ensure!(
            now.of("archive_parts{level=\"0\"}")? == 0.0,
            "parts of level 0 are left"
        );
        ensure!(now.of("archive_parts{level=\"2\"}")? > 0.0, "no day is merged");
        ensure!(now.of("compactor_jobs_due")? == 0.0, "merges are due");
        Ok(now)
    })
    .await
}

#[tokio::test]
async fn answers_stay_the_same_while_parts_are_merged_killed_and_merged_again() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let client = wire::client();
    let mut sent = Samples::new();
    let mut server = Emberkeep::start(scratch.path(), &FAST)?;
    for number in 0..24 {
        send(&client, &server, number, &mut sent).await?;
        same(&client, &server, &sent).await?;
        // In the middle of flushes, folds and merges.
        if number % 4 == 3 {
            server = server.kill_and_restart()?;
        }
    }
    let now = merged(&client, &server).await?;
    same(&client, &server, &sent).await?;
    ensure!(now.of("archive_quarantined_parts")? == 0.0, "something was quarantined");
    // What is late goes into its day, by other compactors beside the server's own.
    let objstore = format!(
        "--objstore.config={{type: FILESYSTEM, config: {{directory: \"{}\"}}}}",
        scratch.path().join("archive").display()
    );
    let others: Result<Vec<Process>> = (0..2)
        .map(|i| {
            let mut command = emberkeep(["compactor", &objstore]);
            command
                .arg(format!("--web.listen-address=127.0.0.1:{}", free_port()?))
                .arg(format!(
                    "--storage.path={}",
                    scratch.path().join(format!("other-{i}")).display()
                ))
                .args(&FAST[1..4]);
            let mut process = Process::start("compactor", &mut command)?;
            process.wait_for_line("listening")?;
            Ok(process)
        })
        .collect();
    for number in [2, 9, 17, 3, 10, 18] {
        send(&client, &server, number, &mut sent).await?;
        send(&client, &server, number + 100, &mut sent).await?;
        same(&client, &server, &sent).await?;
    }
    merged(&client, &server).await?;
    same(&client, &server, &sent).await?;
    for other in others? {
        ensure!(other.terminate()?.success(), "a compactor ended badly");
    }
    let server = server.kill_and_restart()?;
    same(&client, &server, &sent).await
}

#[tokio::test]
async fn a_plan_is_spread_over_processes_and_lands_in_one_root() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let client = wire::client();
    let mut sent = Samples::new();
    // A server that merges nothing by itself within the test.
    let server = Emberkeep::start(
        scratch.path(),
        &[
            "--flush.interval=200ms",
            "--fold.interval=200ms",
            "--compact.interval=1d",
        ],
    )?;
    for number in 0..4 {
        send(&client, &server, number * 10, &mut sent).await?;
        let (client, server) = (&client, &server);
        eventually(|| async move {
            let commits = Gauges::scrape(client, server).await?.of("receiver_commits_total")?;
            ensure!(commits > number as f64, "{commits} commits");
            Ok(())
        })
        .await?;
    }
    let storage = format!("--storage.path={}", scratch.path().display());
    let command = |name: &str, more: &[&str]| {
        let mut command = emberkeep(["compactor", name, &storage]);
        command.args(more);
        crate::process::output(&mut command)
    };
    let plan = eventually(|| async {
        let plan = command("plan", &["--json", "--compact.settle=0s"])?;
        ensure!(plan.lines().count() >= 4, "{} jobs", plan.lines().count());
        Ok(plan)
    })
    .await?;
    let mut results = Vec::new();
    for (number, job) in plan.lines().enumerate() {
        let (job_file, result_file) = (
            scratch.path().join(format!("job-{number}")),
            scratch.path().join(format!("result-{number}")),
        );
        std::fs::write(&job_file, job)?;
        let job_file = job_file.display().to_string();
        // An engine that loses a worker runs its job again; only what is committed counts.
        command("job", &["--job", &job_file])?;
        std::fs::write(&result_file, command("job", &["--job", &job_file])?)?;
        results.push(result_file.display().to_string());
    }
    let files: Vec<&str> = results.iter().map(String::as_str).collect();
    let said = command("commit", &files)?;
    ensure!(
        said.contains(&format!("{} results are live, 0 came too late", files.len())),
        "{said}"
    );
    let said = command("commit", &files)?;
    ensure!(
        said.contains(&format!("no root: 0 results are live, {} came too late", files.len())),
        "{said}"
    );
    same(&client, &server, &sent).await
}
