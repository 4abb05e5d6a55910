//! `rwgen check`: reads everything back, and compares each series with what was sent.
//!
//! Memory grows with series, not with samples: what is kept of a series are two digests. When only a part was acknowledged, the
//! file itself is read once to see which samples those were; the few requests that went out without an answer are kept row by
//! row, for each of their rows may be there or not. What differs is then looked at sample by sample, for the first series.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use anyhow::{Result, bail, ensure};

use crate::explain::{Difference, explain};
use crate::file::RequestFile;
use crate::http::Url;
use crate::journal::Fate;
use crate::manifest::{path_of, read_manifest};
use crate::remote_read::{Matcher, Rows, read_rows};
use crate::request::decompress;
use crate::request_reader::{Sample, read_samples};
use crate::row::{Digest, Value, identity};

/// Rows of one remote read, about.
const ROWS_PER_READ: u64 = 50_000_000;
/// Nothing may be found that was never sent, so a little more than the time of the run is asked for.
const MARGIN_MS: i64 = 3_600_000;
/// Series that are explained.
const SHOWN: usize = 20;

/// What a check compares.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    pub(crate) file: &'a RequestFile,
    pub(crate) requests: &'a Path,
    pub(crate) url: Url,
    /// What became of each request; `None` when all were acknowledged.
    pub(crate) fates: Option<Vec<Fate>>,
    /// Regular expression of the metric names that are compared.
    pub(crate) metrics: String,
    /// Number of remote reads, by time.
    pub(crate) reads: Option<u64>,
}

/// What came out.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) series: u64,
    /// Distinct samples that had to be there.
    pub(crate) expected: u64,
    pub(crate) found: u64,
    /// Samples found that were sent and not acknowledged.
    pub(crate) doubtful: u64,
    /// Series that differ.
    pub(crate) different: u64,
    /// The first of them.
    pub(crate) shown: Vec<Difference>,
}

/// What is known of a series.
#[derive(Debug, Clone, Copy, Default)]
struct Account {
    expected: Digest,
    found: Digest,
}

/// What was sent.
#[derive(Debug, Default)]
pub(crate) struct Expectation {
    accounts: HashMap<u128, Account>,
    /// Rows that may be there or not.
    doubtful: HashSet<(u128, u64)>,
}

impl Question<'_> {
    /// Reads back and compares.
    pub(crate) fn check(&self) -> Result<Outcome> {
        let expectation = match &self.fates {
            Some(fates) if fates.iter().any(|fate| *fate != Fate::Acknowledged) => {
                Expectation::of_requests(self.file, |request| fates[request])?
            }
            _ => Expectation::of_manifest(self.requests)?,
        };
        let mut comparison = Comparison {
            expectation,
            outcome: Outcome::default(),
            series: 0,
            found: Digest::default(),
            scratch: Vec::new(),
        };
        for range in self.ranges() {
            read_rows(
                &self.url,
                range,
                &[Matcher::Regex("__name__", &self.metrics)],
                &mut comparison,
            )?;
            comparison.flush();
        }
        let Comparison {
            expectation,
            mut outcome,
            ..
        } = comparison;
        let mut different = Vec::new();
        for (series, account) in &expectation.accounts {
            outcome.series += u64::from(account.expected.rows > 0);
            outcome.expected += account.expected.rows;
            if account.expected != account.found {
                different.push(*series);
            }
        }
        outcome.different = different.len() as u64;
        if !different.is_empty() {
            // The same ones each time.
            different.sort_unstable();
            different.truncate(SHOWN);
            outcome.shown = explain(self, &different)?;
        }
        Ok(outcome)
    }

    /// The time of the run and some more, cut into pieces that a server answers.
    pub(crate) fn ranges(&self) -> Vec<(i64, i64)> {
        let totals = self.file.summary.totals;
        let reads = self.reads.unwrap_or(totals.rows.div_ceil(ROWS_PER_READ)).max(1);
        let span = i128::from(totals.max_ms) - i128::from(totals.min_ms) + 1;
        let border = |read: u64| totals.min_ms + (span * i128::from(read) / i128::from(reads)) as i64;
        (0..reads)
            .map(|read| {
                let from = if read == 0 {
                    totals.min_ms - MARGIN_MS
                } else {
                    border(read)
                };
                let to = if read + 1 == reads {
                    totals.max_ms + MARGIN_MS
                } else {
                    border(read + 1) - 1
                };
                (from, to)
            })
            .collect()
    }

    /// What became of a request.
    pub(crate) fn fate(&self, request: usize) -> Fate {
        self.fates.as_ref().map_or(Fate::Acknowledged, |fates| fates[request])
    }
}

/// Reading back.
struct Comparison {
    expectation: Expectation,
    outcome: Outcome,
    /// The series that is being read, and what was found of it since it began.
    series: u128,
    found: Digest,
    scratch: Vec<u8>,
}

impl Comparison {
    fn flush(&mut self) {
        if self.found.rows > 0 {
            let found = &mut self.expectation.accounts.entry(self.series).or_default().found;
            found.rows += self.found.rows;
            found.sum = found.sum.wrapping_add(self.found.sum);
            self.outcome.found += self.found.rows;
            self.found = Digest::default();
        }
    }
}

impl Rows for Comparison {
    fn series(&mut self, labels: &[(&str, &str)]) {
        self.flush();
        self.series = identity(labels.iter().copied(), &mut self.scratch);
    }

    fn row(&mut self, timestamp: i64, value: &Value) {
        let hash = value.hash(timestamp);
        let doubtful = &mut self.expectation.doubtful;
        if !doubtful.is_empty() && doubtful.remove(&(self.series, hash)) {
            self.outcome.doubtful += 1;
        } else {
            self.found.add(hash);
        }
    }
}

impl Expectation {
    /// Everything is acknowledged: the manifest knows.
    pub(crate) fn of_manifest(requests: &Path) -> Result<Self> {
        let (mut expectation, mut scratch) = (Self::default(), Vec::new());
        read_manifest(&path_of(requests), |labels, digest| {
            let series = identity(labels.iter().map(|(name, value)| (&**name, &**value)), &mut scratch);
            let account = Account {
                expected: digest,
                ..Account::default()
            };
            ensure!(
                expectation.accounts.insert(series, account).is_none(),
                "a series is there twice: {labels:?}"
            );
            Ok(())
        })?;
        Ok(expectation)
    }

    /// What the requests themselves hold.
    pub(crate) fn of_requests(file: &RequestFile, fate: impl Fn(usize) -> Fate) -> Result<Self> {
        let mut expectation = Self::default();
        // A repetition is counted where its sample was first; that was sent before, on the same connection.
        let mut has_gap = vec![false; file.summary.connections as usize];
        for request in 0..file.slots.len() {
            let fate = fate(request);
            let gap = &mut has_gap[file.slots[request].connection as usize];
            if fate == Fate::Acknowledged && *gap {
                bail!("request {request} is acknowledged, but one before it on its connection is not");
            }
            *gap |= fate != Fate::Acknowledged;
            if fate == Fate::Unsent {
                continue;
            }
            each_distinct_sample(file, request, |series, sample| {
                let hash = sample.value.hash(sample.timestamp);
                match fate {
                    Fate::Acknowledged => expectation.accounts.entry(series).or_default().expected.add(hash),
                    _ => {
                        expectation.doubtful.insert((series, hash));
                    }
                }
                Ok(())
            })?;
        }
        Ok(expectation)
    }

    /// Number and digest of each series.
    #[cfg(test)]
    pub(crate) fn digests(&self) -> std::collections::BTreeMap<u128, (u64, u64)> {
        let expected = |account: &Account| (account.expected.rows, account.expected.sum);
        self.accounts
            .iter()
            .map(|(series, account)| (*series, expected(account)))
            .collect()
    }
}

/// The samples of a request that repeat none before.
pub(crate) fn each_distinct_sample(
    file: &RequestFile,
    request: usize,
    mut on_sample: impl FnMut(u128, Sample<'_>) -> Result<()>,
) -> Result<()> {
    let (mut body, mut scratch) = (Vec::new(), Vec::new());
    file.read_body(request, &mut body)?;
    let raw = decompress(&body, file.slots[request].raw_bytes as usize)?;
    let repeated = file.repeated(request)?;
    read_samples(file.summary.protocol, &raw, |sample| {
        if repeated.binary_search(&sample.ordinal).is_ok() {
            return Ok(());
        }
        on_sample(identity(sample.labels.iter().copied(), &mut scratch), sample)
    })
}
