//! History that a Prometheus has already comes into the archive, by blocks and by remote read, once and whole; and `reader diff` says so,
//! or says what is different.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::peers::{CURRENT, Prometheus};
use crate::process::{Process, emberkeep, eventually, output, peer};
use crate::requests::now_ms;
use crate::wire;

pub(crate) const HOUR: i64 = 3_600_000;
pub(crate) const DAY: i64 = 24 * HOUR;

/// Series of the history, and the distance of their samples.
pub(crate) const SERIES: i64 = 24;
pub(crate) const STEP: i64 = 60_000;

/// Samples that were deleted at the source.
const DELETED: i64 = HOUR / STEP;

/// A midnight three days ago: the history ends a day ago, before the head of any server.
pub(crate) fn begin() -> Result<i64> {
    Ok((now_ms()? / DAY - 3) * DAY)
}

fn value(series: i64, step: i64) -> f64 {
    match (series + step) % 97 {
        0 => f64::NAN,
        1 => f64::NEG_INFINITY,
        _ => step as f64 / 8.0 + series as f64,
    }
}

/// Makes blocks of a text in the OpenMetrics format.
pub(crate) fn blocks(text: &str, directory: &Path) -> Result<()> {
    let file = directory.with_extension("om");
    std::fs::write(&file, text)?;
    let mut promtool = Command::new(peer(&format!("{CURRENT}/promtool"))?);
    promtool.args(["tsdb", "create-blocks-from", "openmetrics", "--quiet"]);
    output(promtool.arg(&file).arg(directory))?;
    Ok(())
}

pub(crate) fn history() -> Result<String> {
    let (begin, mut text) = (begin()?, String::from("# TYPE seeded gauge\n"));
    for series in 0..SERIES {
        for step in 0..2 * DAY / STEP {
            let time = begin + step * STEP + series;
            let value = match value(series, step) {
                value if value.is_nan() => "NaN".to_owned(),
                value if value.is_infinite() => "-Inf".to_owned(),
                value => value.to_string(),
            };
            // A label that sorts behind an external one in some series, and before it in others.
            let more = if series % 2 == 0 { "" } else { ",b=\"x\"" };
            writeln!(
                text,
                "seeded{{a=\"{series}\"{more}}} {value} {}.{:03}",
                time / 1000,
                time % 1000
            )?;
        }
    }
    text.push_str("# EOF\n");
    Ok(text)
}

/// A Prometheus with history of several blocks that scrapes itself, and the blocks of its snapshot.
struct Source {
    server: Prometheus,
    data: std::path::PathBuf,
    snapshot: std::path::PathBuf,
}

impl Source {
    async fn start(scratch: &Path, client: &reqwest::Client) -> Result<Self> {
        let data = scratch.join("source").join("data");
        std::fs::create_dir_all(&data)?;
        blocks(&history()?, &data)?;
        let config = "global: {scrape_interval: 1s, scrape_timeout: 1s, external_labels: {aa: first, replica: \"1\"}}\nscrape_configs:\n- job_name: self\n  scrape_native_histograms: true\n  static_configs: [{targets: [\"127.0.0.1:SELF_PORT\"]}]\n";
        let extra = ["--web.enable-admin-api", "--storage.tsdb.retention.time=10y"];
        let server = Prometheus::start("source", &scratch.join("source"), config, &extra)?;
        eventually(|| async {
            let scraped = server.value(client, "count_over_time(up[1m])").await?;
            ensure!(scraped >= 5.0, "{scraped} scrapes");
            Ok(())
        })
        .await?;
        let admin = format!("http://127.0.0.1:{}/api/v1/admin/tsdb", server.port);
        // An hour of one series is deleted and still in its block.
        let (start, end) = (begin()? / 1000 + 5 * 3600, begin()? / 1000 + 6 * 3600 - 1);
        let deleted = format!("{admin}/delete_series?match[]=seeded{{a=%223%22}}&start={start}&end={end}");
        ensure!(client.post(deleted).send().await?.status() == 204, "a deletion");
        let url = format!("{admin}/snapshot");
        let answer: Value = serde_json::from_str(&client.post(url).send().await?.text().await?)?;
        let name = answer["data"]["name"].as_str().context("a snapshot has a name")?;
        Ok(Self {
            snapshot: data.join("snapshots").join(name),
            data,
            server,
        })
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.server.port)
    }
}

fn seed(archive: &Path, arguments: &[&str]) -> Command {
    let mut command = emberkeep(["compactor", "seed", "-o", "json", "--storage.path"]);
    command.arg(archive).args(arguments);
    command
}

pub(crate) fn run(command: &mut Command) -> Result<Output> {
    Ok(command.stdin(Stdio::null()).output()?)
}

/// The report of a seed that must succeed.
pub(crate) fn seeded(archive: &Path, arguments: &[&str]) -> Result<Value> {
    Ok(serde_json::from_str(&output(&mut seed(archive, arguments))?)?)
}

pub(crate) fn sum(report: &Value, field: &str) -> u64 {
    let windows = report["windows"].as_array().map_or(&[][..], Vec::as_slice);
    windows.iter().filter_map(|window| window[field].as_u64()).sum()
}

/// The exit code and the report of a comparison up to an hour ago.
pub(crate) fn diff(archive: &Path, source: &str, more: &[&str]) -> Result<(Option<i32>, Value)> {
    let from = (begin()? / 1000).to_string();
    let mut command = emberkeep(["reader", "diff", "-o", "json", "--source", source, "--from", &from]);
    command.arg("--storage.path").arg(archive).args(more);
    let output = run(&mut command)?;
    let report = serde_json::from_slice(&output.stdout);
    let report = report.with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    Ok((output.status.code(), report))
}

#[tokio::test]
async fn history_is_seeded_once_and_whole_however_often_it_is_killed() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let client = wire::client();
    let source = Source::start(scratch.path(), &client).await?;
    let archive = scratch.path().join("archive");
    let snapshot = source.snapshot.display().to_string();

    let refused = run(&mut seed(&archive, &["--from", &source.data.display().to_string()]))?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(refused.status.code() == Some(1) && said.contains("snapshot"), "{said}");

    let arguments = [
        "--from",
        &snapshot,
        "--external-label",
        "aa=first",
        "--external-label",
        "replica=1",
    ];
    for attempt in 0..10_u64 {
        let mut process = Process::start("seed", &mut seed(&archive, &arguments))?;
        // Wherever it is by then: each life gets somewhat further.
        let bound = Duration::from_millis(40 + 90 * attempt);
        let _ = tokio::time::timeout(bound, process.ended()).await;
        process.kill()?;
    }
    let report = seeded(&archive, &arguments)?;
    let rows = sum(&report, "samples") + sum(&report, "histograms");
    ensure!(rows > u64::try_from(SERIES * 2 * DAY / STEP)?, "{report}");
    ensure!(sum(&report, "histograms") > 0, "the source has native histograms");
    let again = seeded(&archive, &arguments)?;
    ensure!(sum(&again, "written") == 0 && sum(&again, "held") == rows, "{again}");

    // What was scraped after the snapshot is not in it.
    let to = ((begin()? + 2 * DAY + HOUR) / 1000).to_string();
    let (code, report) = diff(&archive, &source.url(), &["--to", &to])?;
    ensure!(code == Some(0) && report["equal"] == true, "{report}");
    ensure!(
        report["equal_rows"].as_i64() == Some(SERIES * 2 * DAY / STEP - DELETED),
        "{report}"
    );

    // Through the source's remote read, into another archive, up to now: the same, and its head as well.
    let other = scratch.path().join("other");
    let from = (begin()? / 1000).to_string();
    let by_url = [
        "--from-url",
        &source.url(),
        "--min-time",
        &from,
        "--slice",
        "7h",
        "--samples-per-second",
        "10000000",
    ];
    let report = seeded(&other, &by_url)?;
    ensure!(sum(&report, "written") >= rows, "{report}");
    let end = report["windows"]
        .as_array()
        .and_then(|windows| windows.last()?["to"].as_i64());
    let end = end.context("the last window has an end")? / 1000 - 1;
    let (code, report) = diff(&other, &source.url(), &["--to", &end.to_string()])?;
    ensure!(code == Some(0), "{report}");
    ensure!(
        report["equal_rows"].as_u64() > Some(SERIES.unsigned_abs() * 2880),
        "{report}"
    );

    // And back into a Prometheus, which answers as the source does.
    let restored = scratch.path().join("restored").join("data");
    let mut export = emberkeep(["reader", "export-tsdb", "--from", &from, "--to", &to, "--storage.path"]);
    output(export.arg(&archive).arg("--output").arg(&restored))?;
    let flags = [
        format!("--storage.tsdb.path={}", restored.display()),
        "--storage.tsdb.retention.time=10y".to_owned(),
    ];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let restored = Prometheus::start("restored", &scratch.path().join("restored"), "global: {}", &flags)?;
    let (mut answers, until) = (Vec::new(), begin()? + 2 * DAY);
    for port in [source.server.port, restored.port] {
        let url = format!("http://127.0.0.1:{port}/api/v1/read");
        answers.push(wire::read_samples(&client, &url, begin()?, until, wire::everything()).await?);
    }
    let found = answers.pop().context("two answers")?;
    match wire::difference(&answers[0], &found) {
        None => Ok(()),
        Some(difference) => anyhow::bail!("{difference}"),
    }
}

#[tokio::test]
async fn planted_differences_are_found_and_intended_ones_are_not() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let client = wire::client();
    let source = Source::start(scratch.path(), &client).await?;
    let (archive, url) = (scratch.path().join("archive"), source.url());
    let (from, to) = ((begin()? / 1000).to_string(), ((begin()? + 2 * DAY) / 1000).to_string());
    // All but one series, and of that one all but some hours.
    let range = ["--from-url", &url, "--min-time", &from, "--max-time", &to];
    seeded(
        &archive,
        &[&range[..], &["--match", "seeded{a!=\"5\",a!=\"7\"}"]].concat(),
    )?;
    let until = ((begin()? + 2 * DAY - 3 * HOUR) / 1000).to_string();
    let short = [
        "--from-url",
        &url,
        "--min-time",
        &from,
        "--max-time",
        &until,
        "--match",
        "seeded{a=\"7\"}",
    ];
    seeded(&archive, &short)?;

    let compare = |more: &[&str]| diff(&archive, &url, &[&["--match", "seeded", "--to", &to], more].concat());
    let (code, report) = compare(&[])?;
    let whole = 2 * DAY / STEP;
    let missing = whole + 3 * HOUR / STEP;
    ensure!(code == Some(2) && report["equal"] == false, "{report}");
    ensure!(report["rows"]["missing"].as_i64() == Some(missing), "{report}");
    ensure!(
        report["rows"]["extra"] == 0 && report["rows"]["unequal"] == 0,
        "{report}"
    );

    // What the sender leaves out is not missing.
    let rules = scratch.path().join("rules.yml");
    std::fs::write(
        &rules,
        "- source_labels: [__name__, a]\n  regex: seeded;(5|7)\n  action: drop\n",
    )?;
    let (_, report) = compare(&["--dropped-by", &rules.display().to_string()])?;
    ensure!(
        report["explained"]["left_out_by_sender"].as_i64() == Some(missing),
        "{report}"
    );

    // One value, one more sample, one more series: a block says what the source does not.
    let planted = scratch.path().join("planted");
    std::fs::create_dir_all(&planted)?;
    let second = |time: i64| format!("{}.{:03}", time / 1000, time % 1000);
    let at = begin()? + 100 * STEP;
    let text = format!(
        "# TYPE seeded gauge\nseeded{{a=\"2\"}} 1e300 {}\nseeded{{a=\"4\"}} 1 {}\nseeded{{a=\"none\"}} 1 {}\n# EOF\n",
        second(at + 2),
        second(at + 5),
        second(at)
    );
    blocks(&text, &planted)?;
    let block = [
        "--from",
        &planted.display().to_string(),
        "--external-label=aa=first",
        "--external-label=replica=1",
    ];
    seeded(&archive, &block)?;
    let without = ["--match", "seeded{a!=\"5\",a!=\"7\"}", "--to", &to];
    let (code, report) = diff(&archive, &url, &without)?;
    ensure!(code == Some(2), "{report}");
    let rows = &report["rows"];
    ensure!(
        rows["unequal"] == 1 && rows["extra"] == 2 && rows["missing"] == 0,
        "{report}"
    );
    ensure!(report["listed"].as_array().map_or(0, Vec::len) == 3, "{report}");

    // Deleted here on purpose: not a difference either.
    let mut delete = emberkeep([
        "compactor",
        "delete",
        "--match",
        "{a=~\"2|4|none\"}",
        "--reason",
        "test",
        "--yes",
        "--storage.path",
    ]);
    output(delete.arg(&archive))?;
    let (code, report) = diff(&archive, &url, &without)?;
    ensure!(code == Some(0), "{report}");
    ensure!(
        report["explained"]["deleted_in_archive"].as_i64() == Some(2 * whole),
        "{report}"
    );
    Ok(())
}
