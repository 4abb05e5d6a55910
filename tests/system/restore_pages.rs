//! The commands of `docs/restore.md`, run as they stand there: a page that is wrong on the worst day is worse than none.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use emberkeep_proto::messages::prometheus as v1;
use prost::Message;

use crate::blocks::Blocks;
use crate::corpus::drain;
use crate::peers::Prometheus;
use crate::process::{Emberkeep, emberkeep, output};
use crate::requests::now_ms;
use crate::seed::{DAY, SERIES, STEP, begin, blocks, history};
use crate::wire::{V1_TYPE, client, everything, post, read_samples};

/// Samples that were received, of one series.
const RECEIVED: i64 = 200;

/// Samples of the history that the source holds.
const HISTORY: i64 = SERIES * 2 * DAY / STEP;

/// The lines of all fences that are marked `sh`, each with the title above it.
fn commands(page: &str) -> Vec<(String, String)> {
    let (mut title, mut in_fence, mut found) = (String::new(), false, Vec::new());
    for line in page.lines() {
        match line {
            "```sh" => in_fence = true,
            "```" => in_fence = false,
            _ if in_fence => found.push((title.clone(), line.to_owned())),
            _ => {
                if let Some(name) = line.strip_prefix("## ") {
                    title = name.to_owned();
                }
            }
        }
    }
    found
}

/// What stands in fences that no test runs: only what starts the other program.
fn not_run(page: &str) -> Vec<&str> {
    let (mut fence, mut found) = (None, Vec::new());
    for line in page.lines() {
        match (fence, line.strip_prefix("```")) {
            (None, language) => fence = language,
            (Some(_), Some(_)) => fence = None,
            (Some("sh"), None) => {}
            (Some(_), None) => found.push(line),
        }
    }
    found
}

/// The words of a line, with the variables of the page; quotes are those of one word.
fn words(line: &str, variables: &BTreeMap<&str, String>) -> Result<Vec<String>> {
    let word = |word: &str| match word.starts_with('$') {
        true => variables
            .get(word)
            .cloned()
            .with_context(|| format!("{word} in `{line}`")),
        false => Ok(word.trim_matches('\'').to_owned()),
    };
    line.split(' ').map(word).collect()
}

/// What a command that worked has said, by the command.
fn proof(line: &str) -> &'static str {
    let proofs = [
        ("export-tsdb", "MIN TIME"),
        ("replay", "samples sent to"),
        ("coverage", "SOURCE"),
        ("heal", "are healed"),
        ("diff", "equal: "),
        ("verify", "proven"),
        ("seed --dry-run", " samples"),
        ("seed", "are new"),
        ("rebuild", "become live"),
        ("masks", "by mistake"),
        ("undelete", "holds no more"),
        ("rollback --dry-run", "would bring back"),
        ("rollback", "brought back"),
    ];
    let says = |words: &str| words.split(' ').all(|word| line.split(' ').any(|other| other == word));
    proofs
        .iter()
        .find(|(words, _)| says(words))
        .map_or("no proof", |(_, proof)| proof)
}

/// The word after another one.
fn word_after(text: &str, before: &str) -> Option<String> {
    let rest = text.split(before).nth(1)?;
    let word = rest.split([' ', '`', ',', '\n']).next()?;
    Some(word.to_owned())
}

async fn archive(data: &Path) -> Result<()> {
    let server = Emberkeep::start(data, &[])?;
    let end = now_ms()? - 3 * DAY;
    let label = |(name, value): (&str, &str)| v1::Label {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let request = v1::WriteRequest {
        timeseries: vec![v1::TimeSeries {
            labels: [("__name__", "up"), ("cluster", "a"), ("job", "node")]
                .map(label)
                .to_vec(),
            samples: (0..RECEIVED)
                .map(|n| v1::Sample {
                    value: 1.0,
                    timestamp: end - n * 60_000,
                })
                .collect(),
            ..v1::TimeSeries::default()
        }],
        ..v1::WriteRequest::default()
    };
    let body = emberkeep_proto::snappy::compress(&request.encode_to_vec());
    let (status, _, said) = post(&client(), &server.url("/api/v1/write"), V1_TYPE, body).await?;
    ensure!(status == 204, "{status}: {said}");
    drain(server)
}

/// The servers and directories that the page is about.
struct Ground {
    scratch: tempfile::TempDir,
    running: Prometheus,
    source: Prometheus,
    written: Emberkeep,
    variables: BTreeMap<&'static str, String>,
}

impl Ground {
    async fn new() -> Result<Self> {
        let scratch = tempfile::tempdir()?;
        let path = |name: &str| scratch.path().join(name);
        archive(&path("emberkeep")).await?;
        let running = Prometheus::start("server", &path("server"), "{}", &[])?;
        let (data, snapshot) = (path("source/data"), path("snapshot"));
        fs::create_dir_all(&data)?;
        fs::create_dir_all(&snapshot)?;
        blocks(&history()?, &data)?;
        let old = format!(
            "# TYPE old gauge\nold 1 {}\nold 2 {}\n# EOF\n",
            begin()? / 1000,
            begin()? / 1000 + 60
        );
        blocks(&old, &snapshot)?;
        let retention = ["--storage.tsdb.retention.time=10y"];
        let source = Prometheus::start("source", &path("source"), "{}", &retention)?;
        let written = Emberkeep::start(&path("written"), &[])?;
        let url = |server: &Prometheus| format!("http://127.0.0.1:{}", server.port);
        let store = |name: &str, directory: PathBuf| -> Result<String> {
            let directory = serde_json::to_string(&directory)?;
            let text = format!("type: FILESYSTEM\nconfig: {{directory: {directory}}}\n");
            fs::write(path(name), text)?;
            Ok(path(name).display().to_string())
        };
        let variables = BTreeMap::from([
            ("$STORE", store("store.yml", path("emberkeep/archive"))?),
            ("$NEW", store("new.yml", path("new"))?),
            ("$PROM", url(&running)),
            ("$SOURCE", url(&source)),
            ("$SNAPSHOT", snapshot.display().to_string()),
            ("$WRITE", written.url("/api/v1/write")),
            ("$FROM", "-10d".to_owned()),
            ("$TO", "-1d".to_owned()),
        ]);
        Ok(Self {
            scratch,
            running,
            source,
            written,
            variables,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn compactor(&self, arguments: &[&str]) -> Result<String> {
        let mut command = emberkeep(["compactor"]);
        let store = ["--objstore.config-file", &self.variables["$STORE"]];
        output(command.args(arguments).args(store).current_dir(self.scratch.path()))
    }

    /// Brings about what a section is about.
    fn begin(&mut self, title: &str) -> Result<()> {
        let data = match title {
            "Into a running server" => self.path("server/data"),
            _ => self.path("empty"),
        };
        self.variables.insert("$DATA", data.display().to_string());
        match title {
            "A lost prefix of the bucket" => {
                for folder in ["roots", "manifests", "log", "receivers"] {
                    let _ = fs::remove_dir_all(self.path("emberkeep/archive/_archive").join(folder));
                }
            }
            "Undo a wrong delete" => {
                self.compactor(&["run", "--once"])?;
                let said = self.compactor(&["delete", "--match=up", "--reason=by mistake", "--yes"])?;
                let id = word_after(&said, "compactor undelete ").context(said)?;
                self.variables.insert("$ID", id);
                // The rows are taken out of the files as well.
                self.compactor(&["run", "--once"])?;
                ensure!(self.received()? == 0, "nothing is deleted");
            }
            _ => {}
        }
        Ok(())
    }

    /// Samples of what was received, as they are in the archive now.
    fn received(&self) -> Result<usize> {
        let blocks = tempfile::tempdir()?;
        let mut export = emberkeep(["reader", "export-tsdb", "--from=-10d", "--match=up", "--output"]);
        let store = ["--objstore.config-file", &self.variables["$STORE"]];
        let table = output(export.arg(blocks.path()).args(store))?;
        match table.lines().count() {
            // The head of the table.
            1 => Ok(0),
            _ => Ok(Blocks::read(blocks.path())?.samples().count()),
        }
    }

    /// Runs a line; all that it said.
    fn run(&self, line: &str) -> Result<String> {
        // `reader` and `compactor` are commands of the one program, too.
        let mut command = emberkeep(words(line, &self.variables)?);
        let command = command.current_dir(self.scratch.path()).stdin(Stdio::null());
        let done = command.output()?;
        let said = [done.stdout, done.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let said = said.join("\n");
        // It shows what there is, and a gap is no failure.
        let is_shown = line.starts_with("reader coverage") && done.status.code() == Some(2);
        ensure!(
            done.status.success() || is_shown,
            "`{line}` ends with {}:\n{said}",
            done.status
        );
        Ok(said)
    }
}

#[tokio::test]
async fn every_command_of_the_page_works() -> Result<()> {
    let mut ground = Ground::new().await?;
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/restore.md"))?;
    let is_other = |line: &&str| line.starts_with("prometheus ");
    ensure!(not_run(&page).iter().all(is_other), "not run: {:?}", not_run(&page));
    let commands = commands(&page);
    ensure!(commands.len() >= 24, "{} commands", commands.len());
    let (mut last, mut said_by) = (String::new(), BTreeMap::new());
    for (title, line) in commands {
        if title != last {
            ground.begin(&title)?;
        }
        let said = ground.run(&line).with_context(|| title.clone())?;
        let proof = proof(&line);
        ensure!(
            said.contains(proof),
            "{title}: `{line}` does not say `{proof}`:\n{said}"
        );
        if let Some(root) = word_after(&said, "compactor rollback --to-root ") {
            ground.variables.insert("$ROOT", root);
        }
        said_by.insert(
            (title.clone(), line.split(' ').nth(1).unwrap_or_default().to_owned()),
            said,
        );
        last = title;
    }
    // And they did what the page says.
    let said = |title: &str, command: &str| said_by.get(&(title.to_owned(), command.to_owned())).cloned();
    let healed = said("A hole in the archive", "heal").context("it heals")?;
    ensure!(healed.contains(&format!("; {HISTORY} rows in ")), "{healed}");
    let again = said("A lost prefix of the bucket", "heal").context("it heals again")?;
    ensure!(again.contains("; 0 rows in 0 windows were missing"), "{again}");
    let seeded = said("A lost key", "seed").context("it seeds")?;
    ensure!(seeded.contains(&format!("{HISTORY} are new")), "{seeded}");
    let url = ground.written.url("/api/v1/read");
    let replayed = read_samples(&client(), &url, now_ms()? - 10 * DAY, now_ms()?, everything()).await?;
    let replayed: usize = replayed.values().map(BTreeMap::len).sum();
    ensure!(replayed as i64 == RECEIVED, "{replayed} samples are replayed");
    ensure!(ground.received()? as i64 == RECEIVED, "the delete is not undone");
    ground.running.process.terminate()?;
    ground.source.process.terminate()?;
    Ok(())
}
