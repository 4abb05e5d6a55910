//! Encryption as a user sees it: what a real Prometheus sent is nowhere to be found in the files, comes back all the same, and without the
//! right key there is an error that names it and nothing else happens.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::compaction::{HOUR, MIDNIGHT, batch};
use crate::minio::{Minio, Sender, policy, reads_equal};
use crate::peers::Prometheus;
use crate::process::{Emberkeep, Process, emberkeep, eventually, free_port, output, signal};
use crate::prometheus::{same_answers, source_config};
use crate::wire::{self, Samples, V2_TYPE};

/// Names and values that are shorter may stand in encrypted bytes by chance, or in what is clear for another reason.
const CANARY_BYTES: usize = 12;

/// A place for data, and for configurations with different keys.
pub(crate) struct Site {
    scratch: tempfile::TempDir,
    pub(crate) data: PathBuf,
}

impl Site {
    pub(crate) fn new() -> Result<Self> {
        let scratch = tempfile::tempdir()?;
        let data = scratch.path().join("emberkeep");
        Ok(Self { scratch, data })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// The flag for a configuration with some keys, of which one is written with. A key is `id` or `id=secret`.
    pub(crate) fn keys(&self, write: Option<&str>, keys: &[&str]) -> Result<String> {
        let mut yaml = String::from("encryption:\n");
        if let Some(write) = write {
            yaml.push_str(&format!("  write_key: {write}\n"));
        }
        yaml.push_str("  keys:\n");
        for key in keys {
            let (id, secret) = key.split_once('=').unwrap_or((key, key));
            let file = self.path(&format!("{secret}.key"));
            let digits: String = secret
                .bytes()
                .cycle()
                .take(32)
                .map(|byte| format!("{byte:02x}"))
                .collect();
            std::fs::write(&file, digits)?;
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600))?;
            yaml.push_str(&format!("    - {{id: {id}, file: {}}}\n", file.display()));
        }
        let file = self.path(&format!("{}-{}.yml", write.unwrap_or("clear"), keys.join("-")));
        std::fs::write(&file, yaml)?;
        Ok(format!("--config.file={}", file.display()))
    }

    /// Configurations that lack the key `k-1`, and what is said about it.
    fn lacking(&self) -> Result<[(String, &'static str); 3]> {
        let nothing = self.path("nothing.yml");
        std::fs::write(&nothing, "{}")?;
        Ok([
            (format!("--config.file={}", nothing.display()), "key `k-1` is needed"),
            (self.keys(Some("k-2"), &["k-2"])?, "key `k-1` is needed"),
            (self.keys(Some("k-1"), &["k-1=other"])?, "key `k-1` is not the one"),
        ])
    }

    /// Runs a command that must fail for want of a key, and must have changed nothing.
    fn refused(&self, command: &[&str], config: &str, said: &str) -> Result<()> {
        let before = listed(&self.data)?;
        let storage = format!("--storage.path={}", self.data.display());
        let failure = output(emberkeep(command).arg(&storage).arg(config));
        let failure = format!(
            "{:?}",
            failure
                .err()
                .with_context(|| format!("{command:?} works without a key"))?
        );
        ensure!(failure.contains(said), "{command:?} does not say `{said}`: {failure}");
        for word in ["corrupt", "damage", "quarantine"] {
            ensure!(!failure.contains(word), "{command:?} speaks of `{word}`: {failure}");
        }
        ensure!(
            listed(&self.data)? == before,
            "{command:?} changed something without a key"
        );
        Ok(())
    }
}

/// All files below a directory with what is in them; not the locks.
fn listed(directory: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let (mut folders, mut files) = (vec![directory.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.ends_with("lock") => {}
                false => files.push((path.clone(), std::fs::read(&path)?)),
            }
        }
    }
    files.sort();
    Ok(files)
}

/// The first of some texts that stands in a file below a directory.
fn seen(directory: &Path, canaries: &[String]) -> Result<Option<String>> {
    let first = |text: &[u8]| u16::from_le_bytes([text[0], text[1]]);
    let mut by_start: Vec<Vec<&[u8]>> = vec![Vec::new(); 1 << 16];
    for canary in canaries {
        by_start[usize::from(first(canary.as_bytes()))].push(canary.as_bytes());
    }
    for (path, bytes) in listed(directory)? {
        for at in 0..bytes.len().saturating_sub(CANARY_BYTES) {
            let rest = &bytes[at..];
            let mut candidates = by_start[usize::from(first(rest))].iter();
            if let Some(canary) = candidates.find(|canary| rest.starts_with(canary)) {
                return Ok(Some(format!(
                    "`{}` in {}",
                    String::from_utf8_lossy(canary),
                    path.display()
                )));
            }
        }
    }
    Ok(None)
}

/// Names of metrics and values of labels that the source has.
async fn canaries(client: &reqwest::Client, source: &Prometheus) -> Result<Vec<String>> {
    let mut canaries = vec!["merged_total".to_owned()];
    for label in ["__name__", "instance", "handler", "goversion", "dialer_name"] {
        let values = source
            .get(client, &format!("/api/v1/label/{label}/values"), &[])
            .await?;
        let values = values
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|value| value.as_str());
        canaries.extend(values.filter(|value| value.len() >= CANARY_BYTES).map(str::to_owned));
    }
    ensure!(
        canaries.len() > 300,
        "only {} names and values to look for",
        canaries.len()
    );
    Ok(canaries)
}

/// What was sent of a time long ago comes back.
async fn same_batches(client: &reqwest::Client, server: &Emberkeep, sent: &Samples) -> Result<()> {
    let url = server.url("/api/v1/read");
    let (start, end) = (MIDNIGHT - HOUR, MIDNIGHT + 1000 * HOUR);
    let found = wire::read_samples(client, &url, start, end, wire::everything()).await?;
    match wire::difference(&wire::without_starts(sent), &wire::without_starts(&found)) {
        None => Ok(()),
        Some(difference) => anyhow::bail!("{difference}"),
    }
}

/// A Prometheus that has nothing of its own.
fn reading(site: &Site, name: &str, archive: &Emberkeep) -> Result<Prometheus> {
    let url = archive.url("/api/v1/read");
    let config = format!("remote_read: [{{url: \"{url}\", read_recent: true}}]");
    Prometheus::start(name, &site.path(name), &config, &[])
}

/// Ends a server after all it has is committed.
fn drain(archive: Emberkeep) -> Result<()> {
    let mut process = archive.process;
    signal(process.pid(), "USR1")?;
    ensure!(process.wait()?.success(), "it ends with an error:\n{}", process.log());
    for word in ["ERROR", "damage", "quarantine"] {
        ensure!(!process.log().contains(word), "{}", process.log());
    }
    Ok(())
}

fn compactor(site: &Site, command: &[&str], config: &str) -> Result<String> {
    let storage = format!("--storage.path={}", site.data.display());
    output(emberkeep(["compactor"]).args(command).arg(config).arg(storage))
}

#[tokio::test]
async fn nothing_can_be_seen_and_everything_comes_back() -> Result<()> {
    let (site, client) = (Site::new()?, wire::client());
    let first = site.keys(Some("k-1"), &["k-1"])?;
    let intervals = ["--flush.interval=4s", "--fold.interval=1s"];
    // Of a time long ago, so that it can be merged.
    let archive = Emberkeep::start(&site.data, &[&first, intervals[0], intervals[1]])?;
    let mut old = Samples::new();
    for number in 0..6 {
        let body = batch(number)?;
        wire::decode_v2(&body, &mut old)?;
        let answer = wire::post(&client, &archive.url("/api/v1/write"), V2_TYPE, body).await?;
        ensure!(answer.0 == 204, "{answer:?}");
    }
    drain(archive)?;
    let archive = Emberkeep::start(&site.data, &[&first, intervals[0], intervals[1]])?;
    let config = source_config(&archive, "io.prometheus.write.v2.Request");
    let source = Prometheus::start("source", &site.path("source"), &config, &[])?;
    let sent = |wanted: f64| {
        let (source, client) = (&source, &client);
        eventually(move || async move {
            let sent = source
                .value(client, "sum(prometheus_remote_storage_samples_total)")
                .await?;
            ensure!(sent >= wanted, "{sent} samples were sent");
            Ok(sent)
        })
    };
    let before = sent(6000.0).await?;
    let canaries = canaries(&client, &source).await?;

    // Log, staging and archive as a power cut leaves them.
    let killed = archive.kill()?;
    ensure!(
        seen(&site.data, &canaries)?.is_none(),
        "{:?}",
        seen(&site.data, &canaries)?
    );
    for (config, said) in site.lacking()? {
        site.refused(&[], &config, said)?;
        site.refused(&["compactor", "run", "--once"], &config, said)?;
    }
    let archive = killed.restart()?;
    let before = sent(before + 4000.0).await?;
    let archive = archive.kill_and_restart()?;
    sent(before + 6000.0).await?;
    let end = source.value(&client, "vector(time())").await?.floor() - 1.0;
    let start = end - 20.0;
    source.has_sent_beyond(&client, end).await?;
    same_batches(&client, &archive, &old).await?;
    same_answers(
        &client,
        &source,
        &reading(&site, "read-1", &archive)?,
        "remote read",
        start,
        end,
    )
    .await?;

    // All of it in the bucket, merged where it can be.
    drain(archive)?;
    compactor(&site, &["run", "--once"], &first)?;
    ensure!(site.data.join("archive/samples").exists(), "nothing was merged");
    ensure!(
        seen(&site.data, &canaries)?.is_none(),
        "{:?}",
        seen(&site.data, &canaries)?
    );
    let blocks = site.path("restored");
    let (export, output_flag) = (
        ["reader", "export-tsdb", "--from=-1h"],
        format!("--output={}", blocks.display()),
    );
    let exporting = [export[0], export[1], export[2], &output_flag];
    for (config, said) in site.lacking()? {
        site.refused(&exporting, &config, said)?;
        site.refused(&["compactor", "rebuild"], &config, said)?;
        site.refused(&["compactor", "scrub"], &config, said)?;
        site.refused(&["compactor", "rollback", "--to-root=1"], &config, said)?;
        site.refused(&["compactor", "rekey"], &config, said)?;
        not_read(&site, &client, &config, said).await?;
    }
    let storage = format!("--storage.path={}", site.data.display());
    output(emberkeep(exporting).arg(&storage).arg(&first))?;
    let path = format!("--storage.tsdb.path={}", blocks.display());
    let retention = "--storage.tsdb.retention.time=100y";
    let restored = Prometheus::start("restored", &site.path("third"), "{}", &[&path, retention])?;
    same_answers(&client, &source, &restored, "restored blocks", start, end).await?;

    // Another key, and then only that one.
    let told = compactor(&site, &["rekey"], &site.keys(Some("k-2"), &["k-1", "k-2"])?)?;
    for said in ["key `k-2` is written with", "key `k-1` is still needed", "until 20"] {
        ensure!(told.contains(said), "`rekey` does not say `{said}`:\n{told}");
    }
    ensure!(
        !told.contains("until they are written again"),
        "something live is under the old key:\n{told}"
    );
    let second = site.keys(Some("k-2"), &["k-2"])?;
    let archive = Emberkeep::start(&site.data, &[&second, intervals[0], intervals[1]])?;
    same_batches(&client, &archive, &old).await?;
    same_answers(
        &client,
        &source,
        &reading(&site, "read-2", &archive)?,
        "another key",
        start,
        end,
    )
    .await?;
    drain(archive)?;
    ensure!(
        seen(&site.data, &canaries)?.is_none(),
        "{:?}",
        seen(&site.data, &canaries)?
    );

    // Back to clear: now the same search finds something, and no key is needed.
    let told = compactor(&site, &["rekey"], &site.keys(None, &["k-2"])?)?;
    ensure!(told.contains("what is written is clear"), "{told}");
    ensure!(
        seen(&site.data.join("archive"), &canaries)?.is_some(),
        "the search finds nothing in clear files"
    );
    let archive = Emberkeep::start(&site.data, &intervals)?;
    same_batches(&client, &archive, &old).await?;
    same_answers(
        &client,
        &source,
        &reading(&site, "read-3", &archive)?,
        "clear",
        start,
        end,
    )
    .await
}

/// A reader that lacks the key answers no query, and says why.
async fn not_read(site: &Site, client: &reqwest::Client, config: &str, said: &str) -> Result<()> {
    let port = free_port()?;
    let mut command = emberkeep(["reader"]);
    command
        .arg(format!("--storage.path={}", site.data.display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg(config);
    let mut process = Process::start("reader", &mut command)?;
    process.wait_for_line("reader is listening")?;
    let url = format!("http://127.0.0.1:{port}/api/v1/read");
    let answer = wire::read_samples(client, &url, 0, MIDNIGHT, wire::everything()).await;
    let refused = format!("{:?}", answer.err().context("it answers without the key")?);
    ensure!(refused.contains("503") && refused.contains(said), "{refused}");
    process.kill()
}

#[tokio::test]
async fn what_a_dead_receiver_left_is_adopted_with_its_key_alone() -> Result<()> {
    let (site, client) = (Site::new()?, wire::client());
    let config = site.keys(Some("k-1"), &["k-1"])?;
    let bucket = format!(
        "--objstore.config={{type: FILESYSTEM, config: {{directory: \"{}\"}}}}",
        site.path("bucket").display()
    );
    let archive = Emberkeep::start(&site.data, &[&config, &bucket])?;
    let mut sent = Samples::new();
    let body = batch(0)?;
    wire::decode_v2(&body, &mut sent)?;
    let answer = wire::post(&client, &archive.url("/api/v1/write"), V2_TYPE, body).await?;
    ensure!(answer.0 == 204, "{answer:?}");
    archive.process.kill()?;

    for (config, said) in site.lacking()? {
        let before = listed(&site.data)?;
        let adopted = output(
            emberkeep(["receiver", "adopt"])
                .arg(&site.data)
                .args([&bucket, &config]),
        );
        let failure = format!("{:?}", adopted.err().context("it is adopted without the key")?);
        ensure!(failure.contains(said), "it does not say `{said}`: {failure}");
        ensure!(listed(&site.data)? == before, "something was changed without the key");
    }
    let both = site.keys(Some("k-2"), &["k-1", "k-2"])?;
    output(emberkeep(["receiver", "adopt"]).arg(&site.data).args([&bucket, &both]))?;
    let other = site.path("other");
    let reader = Emberkeep::start(&other, &[&both, &bucket])?;
    same_batches(&client, &reader, &sent).await
}

/// On real S3, where the compactor's usual key may not write what is the receivers'.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_keys_says_what_it_has_no_right_to_write() -> Result<()> {
    let site = Site::new()?;
    let minio = Minio::start(&site.path("minio")).await?;
    minio.user("compactor", &policy("compactor")?)?;
    let first = site.keys(Some("k-1"), &["k-1"])?;
    let root = minio.objstore_of_root();
    let server = Emberkeep::start(&site.data, &[&first, &root, "--flush.interval=200ms"])?;
    let sender = Sender::start(server.port);
    sender.further(20).await?;
    let expected = sender.end().await?;
    drain(server)?;
    let both = site.keys(Some("k-2"), &["k-1", "k-2"])?;
    let partly = compactor(&site, &["rekey", &minio.objstore_of("compactor")], &both);
    let partly = format!("{:?}", partly.err().context("everything was written")?);
    for said in [
        "exit status: 2",
        "the store does not let some objects",
        "deploy/iam/rekey.json",
    ] {
        ensure!(partly.contains(said), "{partly}");
    }
    // The policy for it gives what is missing, and no more is needed.
    minio.user("rekey", &policy("rekey")?)?;
    let told = compactor(&site, &["rekey", &minio.objstore_of("rekey")], &both)?;
    ensure!(told.contains("written again: 0 parts"), "{told}");
    ensure!(!told.contains("until they are written again"), "{told}");
    let second = site.keys(Some("k-2"), &["k-2"])?;
    let server = Emberkeep::start(&site.data, &[&second, &root])?;
    reads_equal(server.port, &expected).await
}
