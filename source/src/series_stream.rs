//! The series of one answer, whole and settled.
//!
//! A server cuts a long series into several frames; they are put together here, so that nobody counts one series twice.

use emberkeep_model::{Labels, SeriesRuns, TimeRange};
use reqwest::Url;

use crate::SourceError;
use crate::client::answer;
use crate::frames::{Frames, Piece};
use crate::sampled::Sampled;

/// One answer to a remote read, series by series, in the order of the server.
#[derive(Debug)]
pub struct SeriesStream {
    answer: Answer,
    range: TimeRange,
}

#[derive(Debug)]
enum Answer {
    Streamed {
        frames: Box<Frames>,
        pending: Option<Piece>,
    },
    Sampled {
        sampled: Sampled,
        url: Url,
    },
}

impl SeriesStream {
    pub(crate) fn streamed(frames: Frames, range: TimeRange) -> Self {
        Self {
            answer: Answer::Streamed {
                frames: Box::new(frames),
                pending: None,
            },
            range,
        }
    }

    pub(crate) fn sampled(sampled: Sampled, url: Url, range: TimeRange) -> Self {
        Self {
            answer: Answer::Sampled { sampled, url },
            range,
        }
    }

    /// The next series that has samples in the range: its labels, and its samples in place of what `runs` held, settled and cut to
    /// the range. None at the end of a whole answer.
    ///
    /// # Errors
    /// [`SourceError::Unavailable`] when the server broke off, [`SourceError::Answer`] for damage. The stream is then of no use, and
    /// what came before it is no whole answer.
    pub async fn next(&mut self, runs: &mut SeriesRuns) -> Result<Option<Labels>, SourceError> {
        loop {
            runs.clear();
            let next = match &mut self.answer {
                Answer::Streamed { frames, pending } => whole_series(frames, pending, runs).await?,
                Answer::Sampled { sampled, url } => sampled.next(runs).map_err(|reason| answer(url, reason))?,
            };
            let Some(labels) = next else {
                return Ok(None);
            };
            if !runs.is_settled() {
                runs.settle();
            }
            runs.retain_range(self.range);
            if !runs.is_empty() {
                return Ok(Some(labels));
            }
        }
    }
}

/// Puts consecutive frames with the same labels together.
async fn whole_series(
    frames: &mut Frames,
    pending: &mut Option<Piece>,
    runs: &mut SeriesRuns,
) -> Result<Option<Labels>, SourceError> {
    let first = match pending.take() {
        Some(first) => Some(first),
        None => frames.next().await?,
    };
    let Some(first) = first else {
        return Ok(None);
    };
    first.decode(runs).map_err(|reason| frames.wrong(reason))?;
    while let Some(next) = frames.next().await? {
        if next.labels != first.labels {
            *pending = Some(next);
            break;
        }
        next.decode(runs).map_err(|reason| frames.wrong(reason))?;
    }
    Ok(Some(first.labels))
}
