//! The steps of a drill: choose, export, verify, open, ask the source.
//!
//! Each is a command of the reader, run as a child process, and ends the drill when it does not prove what it should. Everything is
//! answered from one root, which is pinned: what comes into the archive meanwhile, and what retention takes out of it, is no difference.

use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, Instant};

use emberkeep_archive::{Catalog, HeldPin, Live};
use emberkeep_service::time_expr::format_rfc3339;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::Value;

use super::child::{BoundedChild, Deadline, Ended};
use super::choice::{Subject, choose};
use super::error::Stop;
use super::peer::RestoredPrometheus;
use super::program::ReaderProgram;
use super::report::{DrillReport, PrometheusProof, SourceProof, Step};
use super::run::Wish;
use super::scratch::{Scratch, blocks, size};
use super::{DrillError, DrillSettings};

/// How long the pin outlives the longest drill.
const PIN_MARGIN: Duration = Duration::from_secs(600);

/// Choices that may turn out to hold nothing: parts say from when to when they reach, and not what is in between.
const ATTEMPTS: usize = 24;

/// How often the size of what is written is looked at.
const MEASURE_EVERY: Duration = Duration::from_millis(500);

/// Room that stays free on the disk.
const ROOM_LEFT: u64 = 256 << 20;

/// Memory of an export beside a server.
const EXPORT_MEMORY: &str = "--max-memory=256MB";

/// A drill at work.
#[derive(Debug)]
pub(super) struct Running<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) settings: &'a DrillSettings,
    pub(super) program: ReaderProgram,
    pub(super) scratch: &'a Scratch,
    pub(super) deadline: Deadline,
    pub(super) now_ms: i64,
}

impl Running<'_> {
    /// Goes through all steps; what was done stands in the report.
    pub(super) async fn carry_through(&self, wish: &Wish, report: &mut DrillReport) -> Result<(), Stop> {
        let live = self.catalog.live().await?;
        let Some(root) = live.root() else {
            let what = "nothing was ever folded in this archive: see --objstore.config-file and --storage.path";
            return Err(DrillError::Nothing(what.to_owned()).into());
        };
        report.root = root.n;
        report.as_of = format_rfc3339(root.created_at);
        let lifetime = self.deadline.limit.saturating_add(PIN_MARGIN);
        let pin = HeldPin::hold(self.catalog, root.n, lifetime, "drill", self.now_ms).await?;
        let outcome = self.until_something_is_found(&live, wish, report).await;
        pin.release(self.catalog).await;
        outcome
    }

    async fn until_something_is_found(&self, live: &Live, wish: &Wish, report: &mut DrillReport) -> Result<(), Stop> {
        let mut random = StdRng::seed_from_u64(report.seed);
        for _ in 0..ATTEMPTS {
            let most = self.settings.max_bytes;
            let chosen = choose(self.catalog, live, wish, most, (&mut random, self.now_ms)).await?;
            if let Some(subject) = chosen {
                match self.prove(&subject, report).await {
                    Err(Stop::Empty) => self.scratch.empty()?,
                    outcome => return outcome,
                }
            }
            if wish.range.is_some() {
                let what = "the archive has no sample of that selection in that range";
                return Err(DrillError::Nothing(what.to_owned()).into());
            }
        }
        let what = format!("{ATTEMPTS} windows were chosen, and none of them holds a sample");
        Err(DrillError::Nothing(what).into())
    }

    async fn prove(&self, subject: &Subject, report: &mut DrillReport) -> Result<(), Stop> {
        report.tenant = subject.tenant.to_string();
        (report.from, report.to) = (subject.range.start, subject.range.end);
        report.selector.clone_from(&subject.selector);
        report.estimate_bytes = subject.estimate;
        report.steps.clear();
        room(self.scratch.work(), subject.estimate, self.settings.max_bytes)?;
        let exported = self.scratch.work().join("blocks");
        let restored = self.export(subject, &exported, report).await?;
        self.verify(subject, &exported, report).await?;
        let started = self.open(subject, &exported, report).await?;
        report.restore_seconds = (restored + started).as_secs_f64();
        report.seconds_per_gigabyte =
            (report.bytes > 0).then(|| report.restore_seconds * (1_u64 << 30) as f64 / report.bytes as f64);
        self.ask_source(subject, report).await
    }

    /// Writes blocks, as a restore would; how long it took.
    async fn export(&self, subject: &Subject, exported: &Path, report: &mut DrillReport) -> Result<Duration, Stop> {
        let what = "reader export-tsdb";
        let mut arguments = self.arguments(subject, report);
        arguments.extend(["--parallel=2".into(), EXPORT_MEMORY.into(), "--output".into()]);
        arguments.push(exported.into());
        let most = self.settings.max_bytes;
        let mut measured_at = Instant::now();
        let is_small = || {
            if measured_at.elapsed() < MEASURE_EVERY {
                return Ok(());
            }
            measured_at = Instant::now();
            within(size(exported), most)
        };
        let started = Instant::now();
        let ended = self.reader("export-tsdb", arguments, is_small).await?;
        let took = step(report, what, started);
        if ended.code != Some(0) {
            return Err(failed(what, &ended).into());
        }
        (report.blocks, report.bytes) = (blocks(exported), size(exported));
        within(report.bytes, most)?;
        match report.blocks {
            0 => Err(Stop::Empty),
            _ => Ok(took),
        }
    }

    /// Compares the blocks with the archive.
    async fn verify(&self, subject: &Subject, exported: &Path, report: &mut DrillReport) -> Result<(), Stop> {
        let what = "reader verify";
        let mut arguments = self.arguments(subject, report);
        arguments.extend(["--jobs=1", "--max-findings=10", "--output=json", "--exported"].map(OsString::from));
        arguments.push(exported.into());
        let started = Instant::now();
        let ended = self.reader("verify", arguments, || Ok(())).await?;
        step(report, what, started);
        let answer = parsed(what, &ended)?;
        let checked = |name: &str| answer["checked"][name].as_u64().unwrap_or(0);
        (report.series, report.rows) = (checked("compared_series"), checked("compared_rows"));
        match ended.code {
            Some(2) => {
                let first = &answer["findings"][0];
                let text = |name: &str| first[name].as_str().unwrap_or_default().to_owned();
                Err(Stop::Different(format!(
                    "{what}: {} differences, the first in `{}`: expected {}, found {}",
                    answer["differences"],
                    text("object"),
                    text("expected"),
                    text("found")
                )))
            }
            Some(0) if answer["verdict"] == "proven" && report.rows > 0 => Ok(()),
            _ => Err(failed(what, &ended).into()),
        }
    }

    /// Starts a Prometheus on the blocks and compares its answers with the archive's; how long it took until it answered.
    async fn open(&self, subject: &Subject, exported: &Path, report: &mut DrillReport) -> Result<Duration, Stop> {
        let Some(program) = &self.settings.prometheus else {
            return Ok(Duration::ZERO);
        };
        let started = Instant::now();
        let prometheus = RestoredPrometheus::start(program, exported, self.scratch.work(), self.deadline).await?;
        let took = step(report, "prometheus: until it answers", started);
        let source = [OsString::from("--source"), prometheus.url().into()];
        let what = "reader diff with the restored Prometheus";
        let answer = self.diff(what, subject, source.into(), report).await?;
        report.prometheus = Some(PrometheusProof {
            version: prometheus.version().to_owned(),
            rows: answer.rows,
        });
        prometheus.stop().await?;
        if answer.rows < report.rows {
            return Err(Stop::Different(format!(
                "{what}: it answered {} rows, {} were restored",
                answer.rows, report.rows
            )));
        }
        Ok(took)
    }

    /// Compares the archive with the live source, as far as that holds the window.
    async fn ask_source(&self, subject: &Subject, report: &mut DrillReport) -> Result<(), Stop> {
        let Some(source) = &self.settings.source else {
            return Ok(());
        };
        let mut arguments = vec![OsString::from("--source"), OsString::from(&source.url)];
        arguments.extend(source.arguments.iter().cloned());
        // The archive may have what the source has deleted, and what others have sent.
        arguments.push("--ignore-extra".into());
        let answer = self
            .diff("reader diff with the live source", subject, arguments, report)
            .await?;
        report.source = Some(SourceProof {
            url: source.url.clone(),
            rows: (answer.rows > 0).then_some(answer.rows),
            from: answer.from,
        });
        Ok(())
    }

    async fn diff(
        &self,
        what: &str,
        subject: &Subject,
        source: Vec<OsString>,
        report: &mut DrillReport,
    ) -> Result<Compared, Stop> {
        let mut arguments = self.arguments(subject, report);
        arguments.extend(["--max-listed=10", "--output=json"].map(OsString::from));
        arguments.extend(source);
        let started = Instant::now();
        let ended = self.reader("diff", arguments, || Ok(())).await?;
        step(report, what, started);
        let answer = parsed(what, &ended)?;
        match ended.code {
            Some(0) if answer["equal"] == true => Ok(Compared {
                rows: answer["equal_rows"].as_u64().unwrap_or(0),
                from: answer["from"].as_i64().unwrap_or(subject.range.start),
            }),
            Some(2) => {
                let rows = |name: &str| answer["rows"][name].as_u64().unwrap_or(0);
                let series = answer["listed"][0]["series"].as_str().unwrap_or("unknown");
                Err(Stop::Different(format!(
                    "{what}: {} series differ ({} rows missing, {} extra, {} unequal), the first is `{series}`",
                    answer["differing_series"],
                    rows("missing"),
                    rows("extra"),
                    rows("unequal"),
                )))
            }
            _ => Err(failed(what, &ended).into()),
        }
    }

    /// What every command of the reader is told: which archive, which moment of it, what of it.
    fn arguments(&self, subject: &Subject, report: &DrillReport) -> Vec<OsString> {
        let mut arguments = self.settings.archive.clone();
        let text = |flag: &str, value: &str| OsString::from(format!("{flag}={value}"));
        arguments.extend([
            text("--as-of", &report.as_of),
            text("--tenant", subject.tenant.as_str()),
            text("--from", &format_rfc3339(subject.range.start)),
            text("--to", &format_rfc3339(subject.range.end)),
        ]);
        arguments.extend(subject.selector.iter().map(|selector| text("--match", selector)));
        arguments
    }

    async fn reader(
        &self,
        name: &str,
        arguments: Vec<OsString>,
        may_go_on: impl FnMut() -> Result<(), DrillError>,
    ) -> Result<Ended, DrillError> {
        let mut command = self.program.command(name);
        command.args(arguments);
        let child = BoundedChild::spawn(command, &format!("reader {name}"), self.scratch.work())?;
        child.end(self.deadline, may_go_on).await
    }
}

/// What a comparison without a difference says.
struct Compared {
    rows: u64,
    from: i64,
}

fn step(report: &mut DrillReport, what: &str, started: Instant) -> Duration {
    let took = started.elapsed();
    report.steps.push(Step {
        what: what.to_owned(),
        seconds: took.as_secs_f64(),
    });
    took
}

/// Refuses when the disk would be left with little: whatever else is on it must not suffer.
fn room(place: &Path, estimate: u64, most: u64) -> Result<(), DrillError> {
    let found = rustix::fs::statvfs(place).map_err(|error| DrillError::local(place)(error.into()))?;
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let needed = estimate.saturating_mul(2).min(most).saturating_add(ROOM_LEFT);
    match free < needed {
        true => Err(DrillError::Room {
            place: place.display().to_string(),
            free,
            needed,
        }),
        false => Ok(()),
    }
}

fn within(bytes: u64, limit: u64) -> Result<(), DrillError> {
    match bytes > limit {
        true => Err(DrillError::TooLarge { bytes, limit }),
        false => Ok(()),
    }
}

fn failed(what: &str, ended: &Ended) -> DrillError {
    DrillError::Failed {
        what: what.to_owned(),
        said: ended.said(),
    }
}

/// The answer of a command that ended with code 0 or 2.
fn parsed(what: &str, ended: &Ended) -> Result<Value, DrillError> {
    if !matches!(ended.code, Some(0 | 2)) {
        return Err(failed(what, ended));
    }
    serde_json::from_slice(&ended.stdout).map_err(|error| DrillError::Answer {
        what: what.to_owned(),
        reason: error.to_string(),
    })
}
