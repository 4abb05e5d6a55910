//! The outputs of a tenant: rows are cut into windows, masks are applied, and parts are ended when they become too large.
//!
//! Only some outputs are open at a time, because each holds a row group of every file; and where there may be several, these are smaller. A
//! window that finds no room waits for another pass over the inputs, so late data of many days costs time and no memory.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufWriter, Write};

use emberkeep_archive::catalog::{CompiledMask, hides_metadata};
use emberkeep_archive::{
    ArchiveError, Compaction, FileKind, PartEntry, PartInfo, PartOrigin, PartSettings, PartWriter, RunSlice, Ulid,
};
use emberkeep_disk::Sequential;
use emberkeep_model::{Labels, SeenMetadata, SeriesRuns, TenantId, TimeRange};

use super::inputs::BUFFER_BYTES;
use super::pass::{Counts, Sink};
use super::scratch::{Scratch, fresh_ulid};
use super::windows::{day, first_after, holding};
use super::{MOST_OPEN, MergeError, MergeJob, Window};

/// Series of one output: a writer remembers the id of each.
const MOST_SERIES: u64 = 1 << 20;

/// Variants of metadata of one output: a writer holds them until it ends.
const MOST_METADATA: usize = 256 << 10;

/// Everything that the outputs of a tenant have in common.
pub(super) struct Target<'a> {
    pub(super) scratch: &'a Scratch,
    pub(super) job: &'a MergeJob,
    pub(super) tenant: TenantId,
    pub(super) windows: &'a [Window],
    pub(super) dataset: String,
    pub(super) committed_at: i64,
    pub(super) now_ms: i64,
}

/// A part that is written and lies on local disk.
pub(crate) struct Finished {
    pub(super) entry: PartEntry,
}

impl Finished {
    /// Where a file of it lies on local disk.
    pub(super) fn path(&self, kind: FileKind) -> String {
        local_path(self.entry.ulid, kind)
    }
}

fn local_path(ulid: Ulid, kind: FileKind) -> String {
    format!("out/{ulid}.{}.parquet", kind.as_str())
}

type Writer<'a> = PartWriter<'a, BufWriter<Sequential>>;

/// A part that is being written.
struct Output<'a> {
    writer: Writer<'a>,
    compaction: Compaction,
    ulid: Ulid,
}

/// The outputs of one tenant.
pub(super) struct Outputs<'a> {
    target: Target<'a>,
    masks: Vec<CompiledMask>,
    /// By position of the window.
    open: BTreeMap<usize, Output<'a>>,
    done: Vec<bool>,
    /// What the parts of a window that was split are called together.
    split: BTreeMap<usize, String>,
    has_waiting: bool,
    is_first_pass: bool,
    pub(super) counts: Counts,
    pub(super) finished: Vec<Finished>,
}

impl<'a> Outputs<'a> {
    pub(super) fn new(target: Target<'a>) -> Result<Self, MergeError> {
        let masks = target
            .job
            .masks
            .iter()
            .filter(|mask| mask.tenant == target.tenant.as_str());
        let compiled = masks.map(|mask| mask.compile().map_err(|error| MergeError::Job(error.to_string())));
        Ok(Self {
            masks: compiled.collect::<Result<_, _>>()?,
            done: vec![false; target.windows.len()],
            split: target
                .job
                .merge
                .iter()
                .flat_map(|merge| (0..target.windows.len()).map(|window| (window, merge.clone())))
                .collect(),
            target,
            open: BTreeMap::new(),
            has_waiting: false,
            is_first_pass: true,
            counts: Counts::default(),
            finished: Vec::new(),
        })
    }

    /// Ends all parts; whether windows are waiting for another pass.
    pub(super) fn end_pass(&mut self) -> Result<bool, MergeError> {
        while let Some((window, output)) = self.open.pop_first() {
            self.finish(window, output)?;
            self.done[window] = true;
        }
        self.is_first_pass = false;
        Ok(std::mem::take(&mut self.has_waiting))
    }

    fn finish(&mut self, window: usize, mut output: Output<'a>) -> Result<(), MergeError> {
        if let Some(merge) = self.split.get(&window) {
            output.writer.set_merge(merge);
            output.compaction.merge = Some(merge.clone());
        }
        let disk = |error| MergeError::of_disk(&self.target.scratch.place(), error);
        let (summary, files) = output.writer.finish().map_err(disk)?;
        for (_, mut file) in files {
            file.flush().map_err(|error| disk(ArchiveError::Write(error)))?;
        }
        let entry = PartEntry::compacted(output.ulid, &output.compaction, &summary);
        self.finished.push(Finished { entry });
        Ok(())
    }

    /// The output of a window; none when it was written in an earlier pass, or has to wait for the next.
    fn output(&mut self, window: usize) -> Result<Option<&mut Output<'a>>, MergeError> {
        if self.done[window] {
            return Ok(None);
        }
        if !self.open.contains_key(&window) {
            if self.open.len() >= MOST_OPEN {
                self.has_waiting = true;
                return Ok(None);
            }
            let output = self.create(window)?;
            self.open.insert(window, output);
        }
        Ok(self.open.get_mut(&window))
    }

    fn create(&self, window: usize) -> Result<Output<'a>, MergeError> {
        let target = &self.target;
        let compaction = Compaction {
            level: target.windows[window].level,
            tenant: target.tenant.clone(),
            day: day(target.windows[window].range.start)?,
            sources: target.job.inputs.iter().map(|input| input.ulid).collect(),
            masks: target.job.masks_through,
            committed_at: target.committed_at,
            merge: None,
        };
        let ulid = fresh_ulid(target.now_ms);
        let info = PartInfo {
            dataset: target.dataset.clone(),
            ulid,
            origin: PartOrigin::Compacted(compaction.clone()),
        };
        let scratch = target.scratch;
        let create = move |kind| {
            let made = scratch.make(&local_path(ulid, kind));
            let made = made.map_err(|error| ArchiveError::Write(std::io::Error::other(error)))?;
            Ok(BufWriter::with_capacity(BUFFER_BYTES, Sequential::new(made)))
        };
        // Each of the outputs that may be open holds a row group of each kind.
        let most_open = target.windows.len().clamp(1, MOST_OPEN);
        let settings = PartSettings {
            group_bytes: target.job.settings.group_bytes / most_open,
            ..target.job.settings.clone()
        };
        let writer = PartWriter::create(create, info, settings);
        let writer = writer.map_err(|error| MergeError::of_disk(&scratch.place(), error))?;
        Ok(Output {
            writer,
            compaction,
            ulid,
        })
    }

    /// Writes one window of a series, and ends the part when it is large enough.
    fn push(
        &mut self,
        window: usize,
        rows: usize,
        metadata: usize,
        push: impl FnOnce(&mut Writer<'a>) -> Result<(), ArchiveError>,
    ) -> Result<(), MergeError> {
        let (scratch, target_bytes) = (self.target.scratch, self.target.job.target_bytes);
        let Some(output) = self.output(window)? else {
            return Ok(());
        };
        let writer = &mut output.writer;
        push(writer).map_err(|error| MergeError::of_disk(&scratch.place(), error))?;
        let is_full =
            writer.bytes() >= target_bytes || writer.series() >= MOST_SERIES || writer.held_metadata() >= MOST_METADATA;
        self.counts.rows_written += rows as u64;
        self.counts.metadata_written += metadata as u64;
        if is_full && let Some(output) = self.open.remove(&window) {
            self.split.entry(window).or_insert_with(|| output.ulid.to_string());
            self.finish(window, output)?;
        }
        Ok(())
    }

    /// Takes out rows and metadata that a mask hides.
    fn mask(&mut self, labels: &Labels, runs: &mut SeriesRuns, seen: &mut Vec<SeenMetadata>) {
        let before = (runs.len(), seen.len());
        let hiding = self
            .masks
            .iter()
            .filter(|mask| mask.hides_series(&self.target.tenant, labels));
        for range in hiding.map(CompiledMask::range) {
            runs.remove_range(range);
        }
        let (masks, tenant) = (&self.masks, &self.target.tenant);
        seen.retain(|seen| !hides_metadata(masks.iter(), tenant, labels.metric_name(), Some(labels), seen));
        if self.is_first_pass {
            self.counts.masked += (before.0 - runs.len()) as u64;
            self.counts.metadata_masked += (before.1 - seen.len()) as u64;
        }
    }

    /// The window in which all of a series lies, when it is as nearly all are: floats and nothing else, with no mask at work.
    fn only_window_of(&self, runs: &SeriesRuns, seen: &[SeenMetadata]) -> Option<usize> {
        let others = runs.histograms.len() + runs.exemplars.len() + seen.len() + self.masks.len();
        let times = &runs.samples.timestamps;
        let (first, last) = (*times.first()?, *times.last()?);
        let window = holding(self.target.windows, first)?;
        (others == 0 && self.target.windows[window].range.contains(last)).then_some(window)
    }

    /// Windows in which a series has something.
    fn windows_of(&self, runs: &SeriesRuns, seen: &[SeenMetadata]) -> BTreeSet<usize> {
        let windows = self.target.windows;
        let mut found: BTreeSet<usize> = seen
            .iter()
            .filter_map(|seen| holding(windows, seen.first_seen))
            .collect();
        if let Some((first, last)) = runs.time_span() {
            let reached = (first_after(windows, first)..windows.len()).take_while(|&i| windows[i].range.start <= last);
            found.extend(reached);
        }
        found
    }
}

impl Sink for Outputs<'_> {
    fn counts(&mut self) -> Option<&mut Counts> {
        self.is_first_pass.then_some(&mut self.counts)
    }

    fn series(
        &mut self,
        tenant: &TenantId,
        labels: &Labels,
        runs: &mut SeriesRuns,
        seen: &[SeenMetadata],
    ) -> Result<(), MergeError> {
        let windows = self.target.windows;
        if let Some(window) = self.only_window_of(runs, seen) {
            let samples = RunSlice::from(&runs.samples);
            return self.push(window, samples.len(), 0, |writer| {
                writer.push_slice(tenant, labels, samples, &[])
            });
        }
        let mut seen = seen.to_vec();
        if !self.masks.is_empty() {
            self.mask(labels, runs, &mut seen);
        }
        for window in self.windows_of(runs, &seen) {
            let range = windows[window].range;
            let of_window = |seen: &&SeenMetadata| range.contains(seen.first_seen);
            let seen: Vec<SeenMetadata> = seen.iter().filter(of_window).cloned().collect();
            let samples = inside(&runs.samples, range);
            if runs.histograms.is_empty() && runs.exemplars.is_empty() {
                if !samples.is_empty() || !seen.is_empty() {
                    self.push(window, samples.len(), seen.len(), |writer| {
                        writer.push_slice(tenant, labels, samples, &seen)
                    })?;
                }
                continue;
            }
            let mut runs = runs.clone();
            runs.retain_range(range);
            if !runs.is_empty() || !seen.is_empty() {
                self.push(window, runs.len(), seen.len(), |writer| {
                    writer.push(tenant, labels, &runs, &seen)
                })?;
            }
        }
        Ok(())
    }

    fn family(&mut self, tenant: &TenantId, family: &str, seen: SeenMetadata) -> Result<(), MergeError> {
        if hides_metadata(self.masks.iter(), tenant, family, None, &seen) {
            self.counts.metadata_masked += u64::from(self.is_first_pass);
            return Ok(());
        }
        match holding(self.target.windows, seen.first_seen) {
            Some(window) => self.push(window, 0, 1, |writer| writer.push_family(tenant, family, &[seen])),
            // Counted as read and not as written: the check of all rows finds it.
            None => Ok(()),
        }
    }
}

/// The floats of a settled run that lie in the range.
fn inside(run: &emberkeep_model::Run, range: TimeRange) -> RunSlice<'_> {
    let all = RunSlice::from(run);
    let (Some(&first), Some(&last)) = (all.timestamps.first(), all.timestamps.last()) else {
        return all;
    };
    if range.contains(first) && range.contains(last) {
        return all;
    }
    let start = all.timestamps.partition_point(|&time| time < range.start);
    let end = all.timestamps.partition_point(|&time| time < range.end).max(start);
    RunSlice {
        timestamps: &all.timestamps[start..end],
        values: &all.values[start..end],
        start_timestamps: all.start_timestamps.get(start..end).unwrap_or_default(),
    }
}
