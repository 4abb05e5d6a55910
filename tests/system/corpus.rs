//! The recorded corpus: what a plain prost decode of the bodies holds equals what remote read gives back and what DuckDB finds in the Parquet
//! files through the shipped views, bit for bit; and both protocols give the same.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::independent;
use crate::process::{Emberkeep, emberkeep, output, peer};
use crate::wire::{self, LabelSet, Samples, V1_TYPE, V2_TYPE};

/// Reads all rows of the shipped view with DuckDB: not one line of the product's code is between the files and the result.
const DUCKDB_SCRIPT: &str = r#"
import duckdb, struct, sys
view = open(sys.argv[1]).read()
db = duckdb.connect()
db.execute("SET TimeZone = 'UTC'")
db.execute(view)
tenant = sys.argv[2]
rows = db.execute("""
    select labels, epoch_ms(timestamp), value, coalesce(epoch_ms(start_timestamp), 0)
    from samples where tenant = ?""", [tenant])
out = sys.stdout
while batch := rows.fetchmany(50000):
    for labels, t, value, start in batch:
        if isinstance(labels, dict) and set(labels) == {"key", "value"} and isinstance(labels["key"], list):
            labels = dict(zip(labels["key"], labels["value"]))
        bits = struct.unpack("<Q", struct.pack("<d", value))[0]
        fields = [str(t), str(bits), str(start), str(len(labels))]
        for k, v in sorted(labels.items(), key=lambda kv: kv[0].encode()):
            fields += [k.encode().hex(), v.encode().hex()]
        out.write("\t".join(fields) + "\n")
"#;

/// All samples of a tenant as DuckDB sees them.
pub(crate) fn duckdb_samples(data: &Path, tenant: &str) -> Result<Samples> {
    let sql = output(emberkeep(["reader", "view", "--engine", "duckdb", "--storage.path"]).arg(data))?;
    let scratch = tempfile::tempdir()?;
    let (view, script) = (scratch.path().join("view.sql"), scratch.path().join("read.py"));
    std::fs::write(&view, sql)?;
    std::fs::write(&script, DUCKDB_SCRIPT)?;
    let mut python = std::process::Command::new(peer("python/bin/python")?);
    let rows = output(python.arg(&script).arg(&view).arg(tenant))?;
    let mut samples = Samples::new();
    for row in rows.lines() {
        let fields: Vec<&str> = row.split('\t').collect();
        let number = |i: usize| fields.get(i).with_context(|| format!("short row `{row}`"));
        let labels: Result<LabelSet> = fields[4..]
            .chunks(2)
            .map(|pair| Ok((unhex(pair[0])?, unhex(pair[1])?)))
            .collect();
        let value = (number(1)?.parse()?, number(2)?.parse()?);
        let before = samples.entry(labels?).or_default().insert(number(0)?.parse()?, value);
        ensure!(
            before.is_none(),
            "the view gives one timestamp of a series twice: {row}"
        );
    }
    Ok(samples)
}

fn unhex(text: &str) -> Result<String> {
    let bytes: Result<Vec<u8>, _> = (0..text.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16))
        .collect();
    Ok(String::from_utf8(bytes?)?)
}

/// Asks a running server to drain and waits for its end.
pub(crate) fn drain(server: Emberkeep) -> Result<()> {
    let mut process = server.process;
    crate::process::signal(process.pid(), "USR1")?;
    ensure!(
        process.wait()?.success(),
        "the drained server ends with an error:\n{}",
        process.log()
    );
    Ok(())
}

async fn keep(name: &str, content_type: &str) -> Result<Samples> {
    let scratch = tempfile::tempdir()?;
    let client = wire::client();
    let server = Emberkeep::start(scratch.path(), &["--flush.interval=2s"])?;
    let mut expected = Samples::new();
    let mut others = BTreeSet::new();
    for body in wire::corpus(name)? {
        let decode = if content_type == V1_TYPE {
            wire::decode_v1
        } else {
            wire::decode_v2
        };
        decode(&body, &mut expected)?;
        let expect = if content_type == V1_TYPE {
            independent::expect_v1
        } else {
            independent::expect_v2
        };
        expect(&body, &mut others)?;
        let (status, _, text) = wire::post(&client, &server.url("/api/v1/write"), content_type, body).await?;
        ensure!(status == 204, "{status} {text}");
    }
    let (first, last) = time_span(&expected).context("the corpus has samples")?;
    let url = server.url("/api/v1/read");
    let found = wire::read_samples(&client, &url, first, last, wire::everything()).await?;
    ensure!(
        wire::difference(&wire::without_starts(&expected), &found).is_none(),
        "remote read: {:?}",
        wire::difference(&wire::without_starts(&expected), &found)
    );
    drain(server)?;
    let found = duckdb_samples(scratch.path(), "anonymous")?;
    ensure!(
        wire::difference(&expected, &found).is_none(),
        "DuckDB: {:?}",
        wire::difference(&expected, &found)
    );
    independent::same_rows(&others, scratch.path())?;
    ensure!(!others.is_empty(), "the corpus has nothing but floats");
    Ok(found)
}

pub(crate) fn time_span(samples: &Samples) -> Option<(i64, i64)> {
    let times = || samples.values().flat_map(BTreeMap::keys).copied();
    Some((times().min()?, times().max()?))
}

#[tokio::test]
async fn every_recorded_sample_comes_back_and_both_protocols_agree() -> Result<()> {
    let first = keep("prometheus-rw1.bin", V1_TYPE).await?;
    let second = keep("prometheus-rw2.bin", V2_TYPE).await?;
    let difference = wire::difference(&first, &wire::without_starts(&second));
    ensure!(difference.is_none(), "1.0 and 2.0 differ: {difference:?}");
    ensure!(
        first.values().map(BTreeMap::len).sum::<usize>() > 270_000,
        "too few samples"
    );
    Ok(())
}
