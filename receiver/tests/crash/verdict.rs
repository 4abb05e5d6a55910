//! The judge: whether what a machine finds after its crash is what the sender was told.
//!
//! A new life starts on it, everything is read; it takes a write and drains, everything is read again; and once more after another
//! start. Every acknowledged sample must be there, bit for bit, nothing may be there that was not sent, and nothing live twice.

use std::collections::BTreeMap;

use emberkeep_disk::ForgetfulFs;

use crate::found::{Found, commit_records};
use crate::ledger::{Ledger, Told};
use crate::life::{Ground, Life};
use crate::request::{Key, Request};

/// A request of the life after the crash.
const AFTERWARDS: usize = 90;

/// Judges a crashed machine; the text of the error says what is wrong.
pub(crate) fn judge(machine: &ForgetfulFs, told: &Told) -> Result<(), String> {
    let ground = Ground::new(machine, &Ledger::default());
    let life = Life::start(ground.clone()).map_err(|error| format!("does not start: {error}"))?;
    let found = Found::read(&life)?;
    all_there(&found, told)?;

    let request = Request::numbered(AFTERWARDS);
    life.write(&request)
        .map_err(|error| format!("takes no writes: {error}"))?;
    life.drain().map_err(|error| format!("does not drain: {error}"))?;
    let found = found.again(&life)?;
    let told = told.and(&Told {
        sent: request.keys(),
        acknowledged: request.keys(),
    });
    all_there(&found, &told)?;
    once_each(&found, &told)?;
    if !found.head.is_empty() {
        return Err(format!("drained, but the head has {} samples", found.head.len()));
    }
    ranges_disjoint(machine)?;
    life.stop();

    let life = Life::start(ground).map_err(|error| format!("does not start again: {error}"))?;
    let again = found.again(&life)?;
    if (&again.head, again.live.keys().collect::<Vec<_>>()) != (&found.head, found.live.keys().collect()) {
        return Err("another start finds something else".to_owned());
    }
    Ok(())
}

/// Every acknowledged sample is there, and only samples that were sent are.
pub(crate) fn all_there(found: &Found, told: &Told) -> Result<(), String> {
    let missing: Vec<_> = told.acknowledged.iter().filter(|key| !found.holds(key)).collect();
    if let Some(first) = missing.first() {
        return Err(format!(
            "{} acknowledged samples are lost, the first: {first:?}",
            missing.len()
        ));
    }
    let sent = counts(told);
    match found.keys().find(|key| !sent.contains_key(key)) {
        Some(stranger) => Err(format!("never sent: {stranger:?}")),
        None => Ok(()),
    }
}

/// No sample is in more live parts than it was sent times.
pub(crate) fn once_each(found: &Found, told: &Told) -> Result<(), String> {
    let sent = counts(told);
    match found
        .parts
        .iter()
        .find(|(key, parts)| sent.get(key).is_none_or(|times| *parts > times))
    {
        Some((key, parts)) => Err(format!("in {parts} live parts: {key:?}")),
        None => Ok(()),
    }
}

/// No piece of a log was committed twice.
pub(crate) fn ranges_disjoint(fs: &ForgetfulFs) -> Result<(), String> {
    let mut ranges: Vec<_> = commit_records(fs).into_iter().map(|record| record.wal).collect();
    ranges.sort_by(|a, b| (&a.id, a.from).cmp(&(&b.id, b.from)));
    match ranges
        .windows(2)
        .find(|pair| pair[0].id == pair[1].id && pair[0].to > pair[1].from)
    {
        Some(pair) => Err(format!("two records cover the same log: {pair:?}")),
        None => Ok(()),
    }
}

fn counts(told: &Told) -> BTreeMap<&Key, usize> {
    let mut counts = BTreeMap::new();
    for key in &told.sent {
        *counts.entry(key).or_default() += 1;
    }
    counts
}
