//! Which replica's samples are given (penalty, as in Thanos).
//!
//! Replicas scrape the same targets at different moments, so the union of their samples would have twice the rate. Therefore:
//! the replica that has the first sample is taken, and stays. Another one takes over only when the next sample of the present
//! one is more than two scrape intervals away, and then with its first sample that is at least as far from the last one given.
//! The interval is the least distance between neighbouring samples at that point, of any replica; 5 s where nothing tells. From
//! then on the new one stays. So a gap of one replica costs at most three intervals, and a rate never doubles.
//!
//! Thanos takes the distance of the last two samples it gave for the interval. That gives one sample too many at the beginning
//! of every query, and holds on to a replica for twice the length of an outage that both had; everything else is the same.

use emberkeep_model::SeriesRuns;

use super::cursor::Cursor;
use super::merged_scan::StreamScan;
use crate::ReaderError;

/// Bytes that a piece aims at.
const PIECE_BYTES: usize = 192 * 1024;
/// What an interval is taken to be where no two samples tell, milliseconds.
const USUAL_INTERVAL_MS: i64 = 5_000;
/// Another replica takes over when the present one has no sample for so many intervals.
const INTERVALS: i64 = 2;

/// The series being merged.
#[derive(Debug, Default)]
pub(super) struct ReplicaMerge {
    replicas: Vec<Cursor>,
    /// The replica whose samples are given.
    present: usize,
    /// When the last sample given was.
    last: Option<i64>,
}

impl ReplicaMerge {
    /// Begins a series that some streams stand at, the replica that is preferred first.
    pub(super) fn start(&mut self, streams: &[usize]) {
        self.replicas.clear();
        self.replicas.extend(streams.iter().map(|&stream| Cursor::new(stream)));
        (self.present, self.last) = (0, None);
    }

    /// Replaces `out` with the next rows; false when there are none.
    ///
    /// # Errors
    /// When a source cannot be read.
    pub(super) async fn next_piece(
        &mut self,
        streams: &mut [StreamScan],
        out: &mut SeriesRuns,
    ) -> Result<bool, ReaderError> {
        out.clear();
        if let [only] = self.replicas.as_slice()
            && self.last.is_none()
        {
            // Nothing to choose: pieces as they are.
            return streams[only.stream()].scan.next_piece(out).await;
        }
        let mut bytes = 0;
        while bytes < PIECE_BYTES {
            self.pass_all(self.last, None, streams).await?;
            let Some(chosen) = self.choose(streams).await? else {
                break;
            };
            self.present = chosen;
            self.last = self.replicas[chosen].first();
            bytes += self.replicas[chosen].give(out);
        }
        Ok(!out.is_empty())
    }

    /// The replica whose next sample is given; none at the end.
    async fn choose(&mut self, streams: &mut [StreamScan]) -> Result<Option<usize>, ReaderError> {
        let next_of_present = self.replicas.get(self.present).and_then(Cursor::first);
        if let Some(last) = self.last {
            let limit = last.saturating_add(self.interval().saturating_mul(INTERVALS));
            if next_of_present.is_some_and(|next| next <= limit) {
                return Ok(Some(self.present));
            }
            // Whoever comes next, these samples are too near to the last one or behind the next.
            self.pass_all(Some(limit), Some(self.present), streams).await?;
        }
        let firsts = self.replicas.iter().enumerate();
        let firsts = firsts.filter_map(|(index, replica)| Some((replica.first()?, index != self.present, index)));
        Ok(firsts.min().map(|(_, _, index)| index))
    }

    async fn pass_all(
        &mut self,
        until: Option<i64>,
        except: Option<usize>,
        streams: &mut [StreamScan],
    ) -> Result<(), ReaderError> {
        for (index, replica) in self.replicas.iter_mut().enumerate() {
            if except != Some(index) && replica.must_move(until) {
                replica.pass(until, streams).await?;
            }
        }
        Ok(())
    }

    fn interval(&self) -> i64 {
        let distances = self.replicas.iter().filter_map(Cursor::distance);
        distances.min().unwrap_or(USUAL_INTERVAL_MS)
    }
}
