//! The exemplars of a series of all replicas: a set, as everywhere.
//!
//! An exemplar is an event and not a rate, so there is nothing to choose: what both replicas have is given once, what one has
//! is given.

use emberkeep_model::{Exemplar, SeriesRuns};

use super::merged_scan::StreamScan;
use crate::ReaderError;

/// Exemplars of a piece.
const PIECE_EXEMPLARS: usize = 1024;

/// The series being merged.
#[derive(Debug, Default)]
pub(super) struct ExemplarUnion {
    replicas: Vec<Replica>,
}

#[derive(Debug)]
struct Replica {
    stream: usize,
    runs: SeriesRuns,
    at: usize,
}

impl ExemplarUnion {
    /// Begins a series that some streams stand at.
    pub(super) fn start(&mut self, streams: &[usize]) {
        self.replicas.clear();
        self.replicas.extend(streams.iter().map(|&stream| Replica {
            stream,
            runs: SeriesRuns::default(),
            at: 0,
        }));
    }

    /// Replaces `out` with the next exemplars; false when there are none.
    ///
    /// # Errors
    /// When a source cannot be read.
    pub(super) async fn next_piece(
        &mut self,
        streams: &mut [StreamScan],
        out: &mut SeriesRuns,
    ) -> Result<bool, ReaderError> {
        out.clear();
        while out.exemplars.len() < PIECE_EXEMPLARS {
            self.read_on(streams).await?;
            let Some(least) = self.replicas.iter().filter_map(Replica::first).min().cloned() else {
                break;
            };
            for replica in &mut self.replicas {
                if replica.first() == Some(&least) {
                    replica.at += 1;
                }
            }
            out.exemplars.push(least);
        }
        Ok(!out.is_empty())
    }

    /// Gives every replica a next exemplar, and lets go of those that have none.
    async fn read_on(&mut self, streams: &mut [StreamScan]) -> Result<(), ReaderError> {
        let mut index = 0;
        while let Some(replica) = self.replicas.get_mut(index) {
            if replica.first().is_some() {
                index += 1;
                continue;
            }
            replica.at = 0;
            if !streams[replica.stream].scan.next_piece(&mut replica.runs).await? {
                self.replicas.swap_remove(index);
            }
        }
        Ok(())
    }
}

impl Replica {
    fn first(&self) -> Option<&Exemplar> {
        self.runs.exemplars.as_slice().get(self.at)
    }
}
