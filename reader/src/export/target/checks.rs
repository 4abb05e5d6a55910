//! The rules: what cannot work in a target, and what must be set there.
//!
//! Pure: facts and a plan in, findings out. Each rule is a way in which a restore went wrong for somebody; the text says what
//! happens, what to change, and with which value.

use emberkeep_model::TimeRange;
use emberkeep_tsdb::{BlockMeta, Encoding, PrometheusVersion};

use super::{CheckName, DirectoryFacts, ServerFacts, TargetFacts};
use crate::export::plan::PlannedBlock;
use crate::export::table::{moment, size};

const HOUR_MS: i64 = 60 * 60 * 1000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// A head keeps up to three hours that are in no block yet.
const HEAD_MS: i64 = 3 * HOUR_MS;
/// The first version that writes and reads start timestamps of floats.
const START_TIMESTAMPS: PrometheusVersion = PrometheusVersion(3, 11);
/// Room that a server needs beside the blocks, in parts of a hundred: it merges them, and has a log.
const HEADROOM_PERCENT: u64 = 10;

/// What is to be said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::export) enum Finding {
    /// It cannot work.
    Refused {
        /// What is ignored to do it all the same.
        check: CheckName,
        /// What would happen, and what to change.
        why: String,
    },
    /// Something to set, or to know.
    Told(String),
}

/// What is to be written.
#[derive(Debug)]
pub(in crate::export) struct Wanted<'a> {
    pub(in crate::export) blocks: &'a [PlannedBlock],
    pub(in crate::export) range: TimeRange,
    pub(in crate::export) has_histograms: bool,
    pub(in crate::export) start_timestamps: bool,
    pub(in crate::export) now_ms: i64,
}

impl Wanted<'_> {
    /// What a block can hold.
    fn times(&self) -> impl Iterator<Item = TimeRange> {
        self.blocks.iter().map(|block| TimeRange {
            start: block.window.start.max(self.range.start),
            end: block.end.min(self.range.end),
        })
    }

    fn bytes(&self) -> u64 {
        self.blocks.iter().map(PlannedBlock::bytes).fold(0, u64::saturating_add)
    }
}

fn refused(check: CheckName, why: String) -> Finding {
    Finding::Refused { check, why }
}

/// Whether the directory is one that a Prometheus looks for blocks in.
pub(super) fn place(directory: &DirectoryFacts) -> Option<Finding> {
    let why = directory.misplaced.as_ref()?;
    Some(refused(
        CheckName::Directory,
        format!("`{}` is not a data directory: {why}", directory.path.display()),
    ))
}

/// Everything that is to be said once it is known what is written.
pub(super) fn all(facts: &TargetFacts, wanted: &Wanted<'_>) -> Vec<Finding> {
    if wanted.blocks.is_empty() || (facts.directory.is_none() && facts.server.is_none()) {
        return Vec::new();
    }
    let (directory, server) = (facts.directory.as_ref(), facts.server.as_ref());
    let mut findings = Vec::new();
    findings.extend(directory.and_then(owner));
    findings.extend(directory.and_then(|directory| space(directory, wanted)));
    findings.extend(retention(directory, server, wanted));
    findings.extend(directory.and_then(|directory| overlap(directory, wanted)));
    findings.extend(recent(directory, server, wanted));
    findings.extend(server.and_then(|server| version(server, wanted)));
    findings.extend(server.and_then(remote_read));
    findings.extend(directory.into_iter().flat_map(|directory| running(directory, server)));
    findings
}

fn owner(directory: &DirectoryFacts) -> Option<Finding> {
    let ((user, group), own) = (directory.owner, directory.own);
    let path = directory.path.display();
    if directory.gives_away() {
        return Some(Finding::Told(format!(
            "`{path}` belongs to user {user}, group {group}: each block is given to them"
        )));
    }
    (user != own.0).then(|| {
        refused(
            CheckName::Owner,
            format!(
                "`{path}` belongs to user {user} and this runs as {}: the server could not delete or merge the blocks; run it as user \
                 {user} or as root",
                own.0
            ),
        )
    })
}

fn space(directory: &DirectoryFacts, wanted: &Wanted<'_>) -> Option<Finding> {
    let needed = wanted.bytes().saturating_add(wanted.bytes() / 100 * HEADROOM_PERCENT);
    (needed > directory.available).then(|| {
        refused(
            CheckName::Space,
            format!(
                "the blocks take about {} and `{}` has {} left: make room, or export fewer series (--match) or less time (--from, --to)",
                size(needed),
                directory.path.display(),
                size(directory.available)
            ),
        )
    })
}

/// Retention counts from the newest block there is, not from now, and a server that runs makes newer ones.
fn retention(directory: Option<&DirectoryFacts>, server: Option<&ServerFacts>, wanted: &Wanted<'_>) -> Vec<Finding> {
    let newest_there = directory.and_then(DirectoryFacts::newest).unwrap_or(i64::MIN);
    let newest = wanted
        .times()
        .map(|block| block.end)
        .fold(newest_there, i64::max)
        .max(wanted.now_ms);
    let oldest = wanted.times().map(|block| block.start).min().unwrap_or(newest);
    let days = newest.saturating_sub(oldest).max(0) / DAY_MS + 2;
    let Some(server) = server else {
        return vec![Finding::Told(format!(
            "the retention of the target is not known (--target URL asks it): it must run with --storage.tsdb.retention.time={days}d or \
             more, or it deletes what is restored, counting from its newest block; the default is 15d"
        ))];
    };
    let mut findings = Vec::new();
    if let Some(kept) = server.retention.time_ms {
        // What Prometheus asks of each block in `BeyondTimeRetention`.
        let lost = wanted
            .times()
            .filter(|block| newest.saturating_sub(block.end) >= kept)
            .count();
        if lost > 0 {
            findings.push(refused(
                CheckName::Retention,
                format!(
                    "the target keeps {} before its newest block and would delete {lost} of {} blocks: set \
                     --storage.tsdb.retention.time={days}d or more (or `storage.tsdb.retention.time` in its configuration) and \
                     restart it first",
                    days_of(kept),
                    wanted.blocks.len()
                ),
            ));
        }
    }
    let of_disk = server.retention.percent.zip(directory);
    let of_disk = of_disk.map(|(percent, directory)| (directory.capacity as f64 * percent / 100.0) as u64);
    if let Some(bound) = of_disk.or(server.retention.bytes) {
        let there = directory.map_or(0, |directory| directory.block_bytes);
        let after = there.saturating_add(wanted.bytes());
        if after > bound {
            findings.push(refused(
                CheckName::Retention,
                format!(
                    "the target keeps {} of blocks and would have about {}: it would delete the oldest, which are the restored ones; set \
                     --storage.tsdb.retention.size to more than that",
                    size(bound),
                    size(after)
                ),
            ));
        }
    }
    findings
}

fn days_of(ms: i64) -> String {
    match ms / DAY_MS {
        0 => format!("{}h", ms / HOUR_MS),
        days => format!("{days}d"),
    }
}

fn overlap(directory: &DirectoryFacts, wanted: &Wanted<'_>) -> Option<Finding> {
    let is_common = |block: &&BlockMeta| {
        wanted
            .times()
            .any(|new| new.start < block.max_time && block.min_time < new.end)
    };
    let there: Vec<&BlockMeta> = directory.blocks.iter().filter(is_common).collect();
    let first = there.first()?;
    Some(refused(
        CheckName::Overlap,
        format!(
            "{} blocks in `{}` are of the same time, the first is {} from {} to {}: queries would give the samples of both (equal ones once), \
             and the server merges them; restore what is missing only, with --from and --to, or the series that are missing, with --match",
            there.len(),
            directory.path.display(),
            first.ulid,
            moment(first.min_time),
            moment(first.max_time)
        ),
    ))
}

/// A block that is newer than all others makes a server that starts skip the part of its log that is older than the block's end.
fn recent(directory: Option<&DirectoryFacts>, server: Option<&ServerFacts>, wanted: &Wanted<'_>) -> Option<Finding> {
    let has_log = server.is_some() || directory.is_some_and(|directory| directory.has_wal);
    let of_head = server.and_then(|server| server.head_min_time);
    let newest = directory.and_then(DirectoryFacts::newest);
    let bound = newest.or(of_head).unwrap_or(wanted.now_ms.saturating_sub(HEAD_MS));
    let end = wanted.times().map(|block| block.end).max()?;
    (has_log && end > bound).then(|| {
        refused(
            CheckName::Recent,
            format!(
                "samples up to {} would be newer than the blocks of the target, which end at {}: a server forgets what its log holds of the \
                 time before its newest block when it starts; give --to={}",
                moment(end),
                moment(bound),
                moment(bound)
            ),
        )
    })
}

fn version(server: &ServerFacts, wanted: &Wanted<'_>) -> Option<Finding> {
    let (needed, what) = if wanted.start_timestamps && server.version < START_TIMESTAMPS {
        (START_TIMESTAMPS, "start timestamps: leave --start-timestamps out")
    } else if wanted.has_histograms && server.version < Encoding::Histogram.readable_since() {
        (
            Encoding::Histogram.readable_since(),
            "native histograms: select other series with --match",
        )
    } else {
        return None;
    };
    Some(refused(
        CheckName::Version,
        format!(
            "the target is Prometheus {}, and only {needed} and newer read {what}, or update it",
            server.version
        ),
    ))
}

fn remote_read(server: &ServerFacts) -> Option<Finding> {
    server.hides_remote.then(|| {
        Finding::Told(
            "set `read_recent: true` in the target's remote_read before it has the blocks: without it, Prometheus asks remote storage only \
             for times before its oldest block, and the restored blocks hide everything newer there"
                .to_owned(),
        )
    })
}

fn running(directory: &DirectoryFacts, server: Option<&ServerFacts>) -> Vec<Finding> {
    let path = directory.path.display();
    let mut findings = Vec::new();
    if directory.is_running {
        findings.push(Finding::Told(format!(
            "a server runs on `{path}`: it loads each block within a minute and needs no restart"
        )));
    } else if server.is_some() {
        findings.push(refused(
            CheckName::Directory,
            format!(
                "the target answers, but nobody holds the lock of `{path}`: it is not the data directory of that server (or it runs with \
                 --storage.tsdb.no-lockfile)"
            ),
        ));
    }
    if !directory.unreadable.is_empty() {
        findings.push(Finding::Told(format!(
            "warning: blocks in `{path}` that cannot be read keep a server from loading any new one: {}",
            directory.unreadable.join(", ")
        )));
    }
    findings
}

#[cfg(test)]
mod tests;
