//! A data directory that the last program without histograms has left behind is read by this one: a root, a commit record above it, a staged part
//! and a log, each made by one life of that program.
//!
//! In each life it took one request of 1.0 and one of 2.0 with the series of [`expected`], and with a histogram and an exemplar that it could not
//! store. It told the 2.0 sender so with a 400 and wrote that into its log; a newer program does not decide anew.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use crate::corpus::{drain, duckdb_samples};
use crate::process::{Emberkeep, eventually, output};
use crate::wire::{self, Samples};

/// Copies the golden directory: a test must not change it.
fn golden(to: &Path) -> Result<PathBuf> {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/system/testdata/floats-only");
    let data = to.join("data");
    output(Command::new("cp").arg("-r").arg(from).arg(&data))?;
    // Empty folders do not survive in a repository.
    std::fs::create_dir_all(data.join("wal"))?;
    Ok(data)
}

/// What each life was sent and answered for as stored.
fn expected() -> Samples {
    let mut samples = Samples::new();
    let lives = ["committed", "recorded", "staged", "logged"];
    for (life, base) in lives.into_iter().zip([1_000_000_i64, 2_000_000, 3_000_000, 4_000_000]) {
        let mut add = |name: &str, timestamp: i64, bits: u64, start: i64| {
            let pairs = [("__name__", name), ("life", life)].map(|(n, v)| (n.to_owned(), v.to_owned()));
            let labels = wire::normal(pairs.into_iter());
            wire::add(&mut samples, &labels, timestamp, bits, start);
        };
        add("old_one", base + 1, 1.0_f64.to_bits(), 0);
        add("old_one", base + 2, 0x8000_0000_0000_0000, 0);
        add("old_one", base + 3, 0x7ff0_0000_0000_0002, 0);
        add("größe Ω", base - 1_000_000_000_000, 0x7ff8_0000_0000_0001, 0);
        add("old_two", base + 1, 2.0_f64.to_bits(), base - 500);
        add("old_two", base + 2, 0.1_f64.to_bits(), 0);
        add("old_mixed", base + 7, 3.0_f64.to_bits(), 0);
    }
    samples
}

#[tokio::test]
async fn what_the_program_before_histograms_left_behind_is_read_and_nothing_is_decided_anew() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let data = golden(scratch.path())?;
    let client = wire::client();
    let server = Emberkeep::start(&data, &[])?;
    let expected = expected();
    let plain = wire::without_starts(&expected);
    let url = server.url("/api/v1/read");
    // It takes writes before it has replayed its log; until then a read gets 503.
    let found = eventually(|| wire::read_samples(&client, &url, i64::MIN, i64::MAX, wire::everything())).await?;
    let difference = wire::difference(&plain, &found);
    ensure!(difference.is_none(), "remote read: {difference:?}");
    let parameters = [("query", "{life=~\".+\"}"), ("start", "0"), ("end", "10000000")];
    let exemplars = reqwest::Url::parse_with_params(&server.url("/api/v1/query_exemplars"), parameters)?;
    let exemplars = client.get(exemplars).send().await?.text().await?;
    ensure!(
        exemplars.contains("\"data\":[]"),
        "exemplars that were left out: {exemplars}"
    );
    drain(server)?;
    let found = duckdb_samples(&data, "anonymous")?;
    let difference = wire::difference(&expected, &found);
    ensure!(difference.is_none(), "DuckDB: {difference:?}");
    Ok(())
}
