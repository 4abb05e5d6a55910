//! From series in almost label order to parts in label order.
//!
//! Adding a label to every series changes their order: `{a="1"}` comes before `{a="1", b="2"}`, but `{a="1", m="x"}` comes after
//! `{a="1", b="2", m="x"}`. Prometheus answers remote reads in the order before it adds its own, too. So series go to the lane whose last one
//! is the nearest before them: each lane rises, a few are enough, and nothing has to be held or sorted.

use emberkeep_model::{Labels, SeriesRuns};

use super::held::{HeldParts, HeldWalk};
use super::{SeedError, WindowReport};
use crate::merge::{Filling, Finished, Lane};

/// Lanes at a time: each has a part open. A source in no order at all makes more parts, one after the other.
const MOST_LANES: usize = 4;

/// The parts of one window under construction.
pub(super) struct Lanes<'a> {
    filling: &'a Filling,
    held: &'a HeldParts,
    open: Vec<OpenLane<'a>>,
    finished: Vec<Finished>,
}

struct OpenLane<'a> {
    lane: Lane<'a>,
    walk: HeldWalk,
    last: Option<Labels>,
}

impl<'a> Lanes<'a> {
    pub(super) fn new(filling: &'a Filling, held: &'a HeldParts) -> Self {
        Self {
            filling,
            held,
            open: Vec::new(),
            finished: Vec::new(),
        }
    }

    /// Adds what the archive does not have of a series.
    pub(super) async fn push(
        &mut self,
        labels: Labels,
        runs: &mut SeriesRuns,
        report: &mut WindowReport,
    ) -> Result<(), SeedError> {
        report.series += 1;
        report.samples += runs.samples.len() as u64;
        report.histograms += runs.histograms.len() as u64;
        let at = self.place(&labels)?;
        let OpenLane { lane, walk, last } = &mut self.open[at];
        report.held += walk.take_out(&labels, runs).await?;
        if !runs.is_empty() {
            report.written += runs.len() as u64;
            lane.push(&labels, runs)?;
        }
        *last = Some(labels);
        Ok(())
    }

    /// The lane for a series, after all of whose series it comes.
    fn place(&mut self, labels: &Labels) -> Result<usize, SeedError> {
        let rising = self
            .open
            .iter()
            .enumerate()
            .filter(|(_, lane)| lane.last.as_ref() < Some(labels));
        if let Some((at, _)) = rising.max_by_key(|(_, lane)| lane.last.as_ref()) {
            return Ok(at);
        }
        if self.open.len() >= MOST_LANES {
            // The one that is farthest ahead gets the fewest of what comes.
            let farthest = (0..self.open.len()).max_by_key(|&at| self.open[at].last.as_ref());
            let farthest = self.open.swap_remove(farthest.unwrap_or(0));
            self.finished.extend(farthest.lane.end()?);
        }
        self.open.push(OpenLane {
            lane: self.filling.lane()?,
            walk: self.held.walk(),
            last: None,
        });
        Ok(self.open.len() - 1)
    }

    /// Ends all parts.
    pub(super) fn end(mut self) -> Result<Vec<Finished>, SeedError> {
        for lane in self.open {
            self.finished.extend(lane.lane.end()?);
        }
        Ok(self.finished)
    }
}
