//! Answers of one group, kept back until its sync is done.
//!
//! An answer that is dropped instead of given tells its waiter that the log stopped. Nothing may be given before the sync, and
//! answers are given in the order of the calls.

use tokio::sync::oneshot;

use crate::stats::{Counters, Group};
use crate::{AppendError, Position, SegmentRange};

/// One answer that waits for the sync.
#[derive(Debug)]
pub(crate) enum Answer {
    Append {
        done: oneshot::Sender<Result<Position, AppendError>>,
        result: Result<Position, AppendError>,
        body_len: u64,
        record_len: u64,
    },
    Rotate {
        done: oneshot::Sender<Result<Option<SegmentRange>, AppendError>>,
        range: Option<SegmentRange>,
    },
}

/// The answers of the group being written.
#[derive(Debug, Default)]
pub(crate) struct Answers(Vec<Answer>);

impl Answers {
    pub(crate) fn push(&mut self, answer: Answer) {
        self.0.push(answer);
    }

    /// Refuses the records of a segment that were to stand at `from` or behind it and did not get there; answers how many.
    pub(crate) fn refuse(&mut self, from: Position, error: AppendError) -> u64 {
        let mut refused = 0;
        // Records come in the order of their places, so those of the last segment are at the end.
        for answer in self.0.iter_mut().rev() {
            match answer {
                Answer::Append { result, .. } => match result {
                    Ok(position) if *position < from => break,
                    Ok(_) => {
                        *result = Err(error);
                        refused += 1;
                    }
                    Err(_) => {}
                },
                // A rotation wrote out all that was before it.
                Answer::Rotate { .. } => break,
            }
        }
        refused
    }

    /// Counts the group and gives its answers.
    pub(crate) fn give(&mut self, counters: &Counters) {
        let mut group = Group::default();
        for answer in &self.0 {
            match answer {
                Answer::Append {
                    result: Ok(_),
                    body_len,
                    record_len,
                    ..
                } => {
                    group.records += 1;
                    group.body_bytes += body_len;
                    group.record_bytes += record_len;
                }
                Answer::Append { .. } => group.refused += 1,
                Answer::Rotate { .. } => {}
            }
        }
        counters.count_group(&group);
        for answer in self.0.drain(..) {
            // A waiter that went away needs no answer.
            match answer {
                Answer::Append { done, result, .. } => drop(done.send(result)),
                Answer::Rotate { done, range } => drop(done.send(Ok(range))),
            }
        }
    }

    /// Drops them all: their waiters read that the log stopped.
    pub(crate) fn abandon(&mut self) {
        self.0.clear();
    }
}
