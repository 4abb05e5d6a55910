//! What the sender sent and what it was told, shared by all lives of a story.

use std::sync::{Arc, Mutex};

use crate::request::{Key, Request};

/// What was said up to some moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    /// Everything that was ever sent, each request as often as it was.
    pub(crate) sent: Vec<Key>,
    /// Everything that got a 2xx.
    pub(crate) acknowledged: Vec<Key>,
}

/// The sender's book; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger(Arc<Mutex<Told>>);

impl Ledger {
    pub(crate) fn send(&self, request: &Request) {
        self.0.lock().unwrap().sent.extend(request.keys());
    }

    pub(crate) fn acknowledge(&self, request: &Request) {
        self.0.lock().unwrap().acknowledged.extend(request.keys());
    }

    /// What was read once must stay, as if it had been acknowledged.
    pub(crate) fn read<'a>(&self, keys: impl Iterator<Item = &'a Key>) {
        self.0.lock().unwrap().acknowledged.extend(keys.cloned());
    }

    /// The state of the book now.
    pub(crate) fn told(&self) -> Told {
        self.0.lock().unwrap().clone()
    }
}

impl Told {
    /// Both.
    pub(crate) fn and(&self, other: &Self) -> Self {
        let mut told = self.clone();
        told.sent.extend(other.sent.iter().cloned());
        told.acknowledged.extend(other.acknowledged.iter().cloned());
        told
    }
}
