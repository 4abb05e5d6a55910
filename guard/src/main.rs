//! Guards the hot path against getting slower: counts instructions per sample with valgrind's callgrind and compares them with the
//! committed figures of `guard/instructions.txt`. A stage that takes more than a tenth more fails, with both figures.
//!
//! Instructions and not time, because a count is the same on a busy machine. What it cannot see: caches, branches, system calls,
//! the disk; those are the benches' matter. `guard/run` builds this and runs it.
//!
//! The program is optimised as a release is, but for the optimisation across crates, which changes few figures by more than some percent.
//! A stage holds all that its functions call, and may be more than the bench of a similar name times. `decode-1.0` is a whole request judged:
//! the walk over the entries (about 700 of its instructions, which the bench `decode/1.0/known` times at some 30 ns: a processor of today
//! does four to five of them in a cycle), the hash of the labels (135), the lookup with the comparison of the labels (270), and the batch.

mod baseline;
mod profile;
mod requests;
mod stage;
mod work;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use emberkeep_service::problem::{self, Outcome};

use crate::baseline::Figures;
use crate::profile::Profile;
use crate::stage::STAGES;
use crate::work::{MARKER, Phase};

/// Name of the file in which the work says on what it ran.
const FEATURES: &str = "features";

/// Counts instructions per sample and compares them with the committed ones.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Option<Task>,
    /// The committed figures.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.txt"))]
    baseline: PathBuf,
    /// Take what is counted now as the new baseline.
    #[arg(long)]
    accept: bool,
    /// The program valgrind.
    #[arg(long, default_value = "valgrind")]
    valgrind: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// What is counted: runs under callgrind.
    #[command(hide = true)]
    Work {
        /// An empty directory.
        directory: PathBuf,
    },
}

fn main() -> ExitCode {
    problem::conclude("guard", run(Cli::parse()))
}

fn run(cli: Cli) -> Result<Outcome> {
    if let Some(Task::Work { directory }) = cli.command {
        std::fs::write(directory.join(FEATURES), features())?;
        work::run(&directory.join("data"))?;
        return Ok(Outcome::Done);
    }
    let now = count(&cli.valgrind)?;
    if cli.accept {
        std::fs::write(&cli.baseline, now.text()).with_context(|| cli.baseline.display().to_string())?;
        say(&format!("{}new baseline: {}\n", now.text(), cli.baseline.display()));
        return Ok(Outcome::Done);
    }
    let shown = cli.baseline.display();
    let text = std::fs::read_to_string(&cli.baseline)
        .with_context(|| format!("`{shown}` cannot be read; `guard/run --accept` writes it"))?;
    let baseline = Figures::parse(&text).with_context(|| format!("`{shown}`"))?;
    let judged = now.against(&baseline);
    say(&format!("instructions per sample\n{}", judged.report));
    for improved in &judged.improved {
        say(&format!("better: {improved}; hold it by `guard/run --accept`\n"));
    }
    let mut failures = judged.failures.join("\n");
    if baseline.taken_with != now.taken_with {
        let note = format!(
            "the baseline was taken with\n  {}\nand this run was with\n  {}\nwhich by itself can make a difference",
            baseline.taken_with.join("\n  "),
            now.taken_with.join("\n  ")
        );
        say(&format!("{note}\n"));
        failures = format!("{failures}\n{note}");
    }
    ensure!(
        judged.failures.is_empty(),
        "{failures}\nIf this is what the change is worth, `guard/run --accept` makes it the new baseline; say why in the commit"
    );
    Ok(Outcome::Done)
}

/// One run of the work under callgrind.
fn count(valgrind: &Path) -> Result<Figures> {
    let scratch = tempfile::tempdir()?;
    let (out, directory) = (scratch.path().join("callgrind"), scratch.path().join("work"));
    std::fs::create_dir(&directory)?;
    let mut command = Command::new(valgrind);
    command
        .args([
            "--tool=callgrind",
            "--quiet",
            "--compress-strings=no",
            "--compress-pos=no",
        ])
        .arg(format!("--dump-before={MARKER}"))
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(std::env::current_exe()?)
        .arg("work")
        .arg(&directory)
        .stdin(Stdio::null());
    let status = command
        .status()
        .with_context(|| format!("cannot run `{}`", valgrind.display()))?;
    ensure!(status.success(), "{command:?} ended with {status}");
    let mut profiles = Vec::new();
    for (number, phase) in Phase::ALL.iter().enumerate() {
        let path = format!("{}.{}", out.display(), number + 1);
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("what callgrind wrote for {phase:?}, `{path}`"))?;
        profiles.push(Profile::parse(&text).with_context(|| format!("{phase:?}"))?);
    }
    let mut figures = Figures {
        taken_with: vec![
            format!("valgrind: {}", first_line(Command::new(valgrind).arg("--version"))?),
            format!("compiler: {}", first_line(Command::new("rustc").arg("--version"))?),
            format!("processor: {}", std::fs::read_to_string(directory.join(FEATURES))?),
        ],
        ..Figures::default()
    };
    for stage in &STAGES {
        figures.stages.insert(stage.name.to_owned(), stage.figure(&profiles)?);
    }
    Ok(figures)
}

fn first_line(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// What the processor can, as far as the product's choices of instructions depend on it. Under valgrind that is less than without.
fn features() -> String {
    #[cfg(target_arch = "x86_64")]
    let found = [
        ("sse4.2", std::arch::is_x86_feature_detected!("sse4.2")),
        ("pclmulqdq", std::arch::is_x86_feature_detected!("pclmulqdq")),
        ("avx", std::arch::is_x86_feature_detected!("avx")),
        ("avx2", std::arch::is_x86_feature_detected!("avx2")),
        ("bmi2", std::arch::is_x86_feature_detected!("bmi2")),
        ("aes", std::arch::is_x86_feature_detected!("aes")),
        ("vpclmulqdq", std::arch::is_x86_feature_detected!("vpclmulqdq")),
        ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
    ];
    #[cfg(target_arch = "aarch64")]
    let found = [
        ("crc", std::arch::is_aarch64_feature_detected!("crc")),
        ("pmull", std::arch::is_aarch64_feature_detected!("pmull")),
        ("sha3", std::arch::is_aarch64_feature_detected!("sha3")),
    ];
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let found: [(&str, bool); 0] = [];
    let names: Vec<&str> = found
        .iter()
        .filter(|(_, is_there)| *is_there)
        .map(|(name, _)| *name)
        .collect();
    format!("{}: {}", std::env::consts::ARCH, names.join(" "))
}

/// Writes to standard output. Whoever closed it needs no report; the exit status says what matters.
fn say(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}
