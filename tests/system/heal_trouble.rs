//! Healing when something is in the way: a pass that is killed, and a source that has to be asked over TLS and with a password.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::heal::{HISTORY, count, heal, url};
use crate::peers::Prometheus;
use crate::process::{Process, emberkeep, eventually, output};
use crate::seed::{begin, blocks, diff, history};

/// An archive in which something lies, but none of the history.
fn almost_empty(scratch: &Path) -> Result<PathBuf> {
    let (archive, first) = (scratch.join("archive"), scratch.join("first"));
    std::fs::create_dir_all(&first)?;
    let text = format!("# TYPE first gauge\nfirst 1 {}\n# EOF\n", begin()? / 1000);
    blocks(&text, &first)?;
    let mut seed = emberkeep(["compactor", "seed", "--storage.path"]);
    output(seed.arg(&archive).arg("--from").arg(&first))?;
    Ok(archive)
}

/// A Prometheus that holds the history and nothing else.
fn holder(scratch: &Path, flags: &[&str]) -> Result<Prometheus> {
    let home = scratch.join("source");
    std::fs::create_dir_all(home.join("data"))?;
    blocks(&history()?, &home.join("data"))?;
    let flags = [&["--storage.tsdb.retention.time=10y"][..], flags].concat();
    Prometheus::start("source", &home, "{}", &flags)
}

/// How much time of the source passes have compared, milliseconds, by what they remember.
fn compared(archive: &Path) -> Result<i64> {
    let mut compared = 0;
    for entry in std::fs::read_dir(archive.join("compactor/heal-once"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let state: Value = serde_json::from_slice(&std::fs::read(path)?)?;
            let ranges = state["checked"].as_array().context("a list")?.iter();
            let lengths = ranges.filter_map(|range| Some(range[1].as_i64()? - range[0].as_i64()?));
            compared += lengths.sum::<i64>();
        }
    }
    Ok(compared)
}

#[tokio::test]
async fn a_killed_pass_keeps_what_it_healed_and_nothing_comes_twice() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let archive = almost_empty(scratch.path())?;
    let source = holder(scratch.path(), &[])?;
    let source_url = url(&source);
    let mut before = 0;
    for _ in 0..4 {
        // About seven windows of two hours each second; each life gets further than the one before.
        let mut slow = emberkeep([
            "compactor",
            "heal",
            "--samples-per-second=20000",
            "--source",
            &source_url,
        ]);
        let process = Process::start("heal", slow.arg("--storage.path").arg(&archive))?;
        before = eventually(|| async {
            let now = compared(&archive)?;
            ensure!(now > before, "{now} ms are compared, {before} before");
            Ok(now)
        })
        .await?;
        process.kill()?;
    }
    let (code, report, said) = heal(&archive, &source_url, &[])?;
    ensure!(code == Some(0), "{said}");
    let healed = count(&report, "healed");
    ensure!(
        0 < healed && healed < HISTORY,
        "{healed} of {HISTORY} were left to the last: {report}"
    );
    ensure!(count(&report, "rows") == HISTORY, "{report}");
    let (code, report) = diff(&archive, &source_url, &["--ignore-extra"])?;
    ensure!(code == Some(0) && count(&report, "equal_rows") == HISTORY, "{report}");
    let (code, again, said) = heal(&archive, &source_url, &[])?;
    ensure!(code == Some(0), "{said}");
    ensure!(count(&again, "healed") == 0 && count(&again, "holes") == 0, "{again}");
    Ok(())
}

#[tokio::test]
async fn a_source_behind_tls_and_a_password_is_healed_from() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let archive = almost_empty(scratch.path())?;
    // Made for this test, with an authority of its own; the password is `test`.
    let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/system/testdata/tls");
    let web = scratch.path().join("web.yml");
    std::fs::write(
        &web,
        format!(
            "tls_server_config: {{cert_file: {0}/server.pem, key_file: {0}/server.key}}\n\
             basic_auth_users: {{heal: $2b$12$hNf2lSsxfm0.i4a.1kVpSOVyBCfIB51VRjgBUyv6kdnyTlgWj81Ay}}\n",
            made.display()
        ),
    )?;
    let source = holder(scratch.path(), &[&format!("--web.config.file={}", web.display())])?;
    let source_url = format!("https://127.0.0.1:{}", source.port);
    let (password, wrong) = (scratch.path().join("password"), scratch.path().join("wrong"));
    std::fs::write(&password, "test\n")?;
    std::fs::write(&wrong, "guessed\n")?;
    let trusted = format!("--source.tls-ca={}", made.join("authority.pem").display());
    let user = "--source.basic-auth.username=heal";
    let of = |file: &Path| format!("--source.basic-auth.password-file={}", file.display());
    let (right, wrong) = (of(&password), of(&wrong));
    for (flags, why) in [
        (&[user, &right][..], "certificate"),
        (&[&trusted], "401"),
        (&[&trusted, user, &wrong], "401"),
    ] {
        let (code, _, said) = heal(&archive, &source_url, flags)?;
        ensure!(code == Some(1) && said.contains(why), "{flags:?}: {said}");
        ensure!(!said.contains("guessed") && !said.contains("panicked"), "{said}");
    }
    let flags = [trusted.as_str(), user, &right];
    let (code, report, said) = heal(&archive, &source_url, &flags)?;
    ensure!(
        code == Some(0) && count(&report, "healed") == HISTORY,
        "{report} {said}"
    );
    let (code, report) = diff(&archive, &source_url, &[&flags[..], &["--ignore-extra"]].concat())?;
    ensure!(code == Some(0) && count(&report, "equal_rows") == HISTORY, "{report}");
    Ok(())
}
