//! Full load: several connections that send large requests in a closed loop, what was acknowledged of it, and the exact check of
//! an archive against that.
//!
//! A request is a scrape of all series of its sender at a timestamp of its own, and each value follows from sender, series and
//! timestamp. So DuckDB can check every row that lies in the Parquet files, and only counts come back.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use parking_lot::Mutex;

use crate::process::{emberkeep, output, peer};
use crate::wire::{self, V1_TYPE, V2_TYPE};

/// Request number n of a sender has the timestamp of this plus n, milliseconds since 1970: six bytes as a varint.
const BASE_MS: u64 = 1_750_000_000_000;

/// How long a sender waits before it tries again what was refused or broke off.
const AGAIN_AFTER: Duration = Duration::from_millis(50);

/// The value of a series at a timestamp, in SQL and here: whole numbers far below 2^53.
fn value(sender: usize, number: u64, series: usize) -> f64 {
    (number * 100_000 + sender as u64 * 10_000 + series as u64) as f64
}

const CHECK: &str = "
import duckdb, sys
db = duckdb.connect()
db.execute(\"SET TimeZone = 'UTC'\")
db.execute(open(sys.argv[1]).read())
rows = db.execute('''
    with rows as (
        select labels['sender']::bigint as sender, labels['n']::bigint as n, epoch_ms(timestamp) - 1750000000000 as number, value
        from samples where tenant = 'anonymous')
    select sender, number, count(*), count(distinct n), count(*) filter (where value <> number * 100000 + sender * 10000 + n)
    from rows group by all''').fetchall()
for row in rows:
    print(*row)
";

/// Requests of one sender: the message is made once, and only values and timestamps are put into it.
pub(crate) struct Template {
    content_type: &'static str,
    sender: usize,
    message: Vec<u8>,
    /// Where the samples lie.
    samples: Vec<usize>,
}

impl Template {
    /// A sender of so many series; even senders speak 1.0, odd ones 2.0.
    pub(crate) fn new(sender: usize, series: usize) -> Self {
        let is_v1 = sender.is_multiple_of(2);
        let mut template = Self {
            content_type: if is_v1 { V1_TYPE } else { V2_TYPE },
            sender,
            message: Vec::new(),
            samples: Vec::new(),
        };
        if is_v1 {
            for n in 0..series {
                let mut labels = Vec::new();
                for (name, text) in labels_of(sender, n) {
                    let mut label = Vec::new();
                    put(0x0a, name.as_bytes(), &mut label);
                    put(0x12, text.as_bytes(), &mut label);
                    put(0x0a, &label, &mut labels);
                }
                template.push(0x0a, &labels);
            }
        } else {
            let mut symbols = HashMap::from([(String::new(), 0)]);
            put(0x22, b"", &mut template.message);
            let mut entries = Vec::new();
            for n in 0..series {
                let mut refs = Vec::new();
                let labels = labels_of(sender, n).into_iter();
                for text in labels.flat_map(|(name, text)| [name.to_owned(), text]) {
                    let fresh = symbols.len() as u64;
                    let index = *symbols.entry(text).or_insert_with_key(|text| {
                        put(0x22, text.as_bytes(), &mut template.message);
                        fresh
                    });
                    varint(index, &mut refs);
                }
                let mut labels = Vec::new();
                put(0x0a, &refs, &mut labels);
                entries.push(labels);
            }
            for labels in entries {
                template.push(0x2a, &labels);
            }
        }
        template
    }

    /// Adds a series with room for its sample, which has the same fields in both protocols: two bytes of tag and length, a tag and
    /// eight bytes, a tag and six.
    fn push(&mut self, tag: u8, labels: &[u8]) {
        let mut series = labels.to_vec();
        let mut sample = vec![0x09, 0, 0, 0, 0, 0, 0, 0, 0, 0x10];
        varint(BASE_MS, &mut sample);
        put(0x12, &sample, &mut series);
        put(tag, &series, &mut self.message);
        self.samples.push(self.message.len() - sample.len());
    }

    /// The body of a request.
    pub(crate) fn body(&mut self, number: u64) -> Result<Vec<u8>> {
        let mut timestamp = Vec::new();
        varint(BASE_MS + number, &mut timestamp);
        for (series, &at) in self.samples.iter().enumerate() {
            let bits = value(self.sender, number, series).to_bits();
            self.message[at + 1..at + 9].copy_from_slice(&bits.to_le_bytes());
            self.message[at + 10..at + 10 + timestamp.len()].copy_from_slice(&timestamp);
        }
        Ok(snap::raw::Encoder::new().compress_vec(&self.message)?)
    }

    /// Bytes of a request before compression.
    pub(crate) fn bytes(&self) -> usize {
        self.message.len()
    }
}

fn labels_of(sender: usize, n: usize) -> Vec<(&'static str, String)> {
    vec![
        ("__name__", "load_requests_total".to_owned()),
        ("instance", format!("10.0.{}.{}:9100", n / 250, n % 250)),
        ("job", "a-job-whose-name-is-not-short".to_owned()),
        ("n", n.to_string()),
        ("namespace", "default".to_owned()),
        (
            "pod",
            format!("deployment-{:08x}", n.wrapping_mul(2_654_435_761) % 0xffff_ffff),
        ),
        ("sender", sender.to_string()),
    ]
}

fn put(tag: u8, content: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    varint(content.len() as u64, out);
    out.extend_from_slice(content);
}

fn varint(value: u64, out: &mut Vec<u8>) {
    prost::encoding::encode_varint(value, out);
}

/// What senders were told.
#[derive(Default)]
pub(crate) struct Ledger {
    acknowledged: Mutex<BTreeSet<(usize, u64)>>,
    /// Requests answered with 503.
    refused: AtomicU64,
    /// Request numbers below this may have been sent.
    next: Mutex<BTreeMap<usize, u64>>,
    /// Answers that are neither 204 nor 503.
    wrong: Mutex<Vec<String>>,
    stop: AtomicBool,
}

impl Ledger {
    pub(crate) fn n_acknowledged(&self) -> usize {
        self.acknowledged.lock().len()
    }

    pub(crate) fn n_refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Everything acknowledged lies in the Parquet files of a drained data directory, exactly; what lies there beside it was at
    /// least sent, and no request is there in parts. `series_of` says how many series a sender has.
    pub(crate) fn check(&self, data: &Path, series_of: impl Fn(usize) -> usize) -> Result<()> {
        ensure!(self.wrong.lock().is_empty(), "answers: {:?}", self.wrong.lock());
        let sql = output(emberkeep(["reader", "view", "--engine", "duckdb", "--storage.path"]).arg(data))?;
        let scratch = tempfile::tempdir()?;
        let (view, script) = (scratch.path().join("view.sql"), scratch.path().join("check.py"));
        std::fs::write(&view, sql)?;
        std::fs::write(&script, CHECK)?;
        let found = output(Command::new(peer("python/bin/python")?).arg(&script).arg(&view))?;
        let (next, mut missing) = (self.next.lock(), self.acknowledged.lock().clone());
        for row in found.lines() {
            let numbers: Result<Vec<u64>, _> = row.split(' ').map(str::parse).collect();
            let [sender, number, rows, distinct, wrong] = numbers?[..] else {
                anyhow::bail!("short row `{row}`");
            };
            let sender = usize::try_from(sender)?;
            let all = series_of(sender) as u64;
            ensure!(
                (rows, distinct, wrong) == (all, all, 0),
                "request {number} of {sender}: `{row}`"
            );
            ensure!(
                next.get(&sender).is_some_and(|next| number < *next),
                "never sent: `{row}`"
            );
            missing.remove(&(sender, number));
        }
        ensure!(missing.is_empty(), "acknowledged and lost: {missing:?}");
        Ok(())
    }
}

/// Sends in a closed loop over one connection until it is told to stop. What is refused, or breaks off, is sent again, as every sender does.
pub(crate) async fn send(url: String, mut template: Template, ledger: Arc<Ledger>) -> Result<()> {
    // Keeps its connection, other than `wire::client`.
    let _ = wire::client();
    let client = reqwest::Client::builder().build().context("plain settings")?;
    let sender = template.sender;
    // What was refused is sent again at this pace, as senders do.
    let mut again = tokio::time::interval(AGAIN_AFTER);
    again.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for number in 0.. {
        let body = template.body(number)?;
        ledger.next.lock().insert(sender, number + 1);
        loop {
            if ledger.stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            match wire::post(&client, &url, template.content_type, body.clone()).await {
                Ok((204, ..)) => {
                    ledger.acknowledged.lock().insert((sender, number));
                    break;
                }
                Ok((503, ..)) => {
                    ledger.refused.fetch_add(1, Ordering::Relaxed);
                }
                Ok((status, _, text)) => ledger.wrong.lock().push(format!("{status} {text}")),
                // A killed server breaks connections: such a request is simply not acknowledged.
                Err(_) => {}
            }
            again.tick().await;
        }
    }
    Ok(())
}
