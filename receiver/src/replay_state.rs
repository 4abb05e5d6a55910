//! Whether the log of an earlier life is in the head yet.
//!
//! Writes do not wait for it. Reads of the head and flushes of the open generation do: the one would be shorter, the other out of the log's
//! order. It must say that replay is over only when every replayed generation is in the head.

use tokio::sync::watch;

use crate::error::ReceiverError;

/// How far a replay has come.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Running { done_bytes: u64, total_bytes: u64 },
    Done,
    Failed(String),
}

/// The replay of one start, as everybody else sees it.
#[derive(Debug)]
pub(crate) struct ReplayState(watch::Sender<Phase>);

impl ReplayState {
    /// There is something to replay, so many bytes.
    pub(crate) fn running(total_bytes: u64) -> Self {
        let done_bytes = 0;
        Self(watch::Sender::new(Phase::Running {
            done_bytes,
            total_bytes,
        }))
    }

    /// There is nothing to replay.
    pub(crate) fn done() -> Self {
        Self(watch::Sender::new(Phase::Done))
    }

    /// So many bytes of the log were read.
    pub(crate) fn advance(&self, bytes: u64) {
        self.0.send_if_modified(|phase| {
            if let Phase::Running { done_bytes, .. } = phase {
                *done_bytes = bytes;
            }
            // Nobody waits for progress, only for the end.
            false
        });
    }

    /// Everything is in the head.
    pub(crate) fn finish(&self) {
        self.0.send_replace(Phase::Done);
    }

    /// The head will stay without a part of the log in this life.
    pub(crate) fn fail(&self, why: String) {
        self.0.send_replace(Phase::Failed(why));
    }

    pub(crate) fn is_done(&self) -> bool {
        *self.0.borrow() == Phase::Done
    }

    /// Ok when the head holds everything. Whoever reads must ask before it takes the content.
    ///
    /// # Errors
    /// Why the head cannot be read, for the reader.
    pub(crate) fn check(&self) -> Result<(), String> {
        match &*self.0.borrow() {
            Phase::Done => Ok(()),
            Phase::Running {
                done_bytes,
                total_bytes,
            } => Err(format!(
                "the write-ahead log is being replayed, {done_bytes} of {total_bytes} bytes so far; try again"
            )),
            Phase::Failed(why) => Err(why.clone()),
        }
    }

    /// Returns when replay is over.
    ///
    /// # Errors
    /// It failed.
    pub(crate) async fn over(&self) -> Result<(), ReceiverError> {
        let mut watched = self.0.subscribe();
        let over = watched.wait_for(|phase| !matches!(phase, Phase::Running { .. })).await;
        match over.as_deref() {
            Ok(Phase::Failed(why)) => Err(ReceiverError::Failed(why.clone())),
            // The sender lives as long as `self`.
            Ok(Phase::Done | Phase::Running { .. }) | Err(_) => Ok(()),
        }
    }
}
