//! How code that is given a store learns the keys with which the store is read: it asks with a request that it makes anyway.
//!
//! A request carries an empty slot in its extensions, and a [`KeyedStore`](super::KeyedStore) on the way fills it. So no function between the
//! command line and the decoder of a file knows of keys, and a store without keys leaves the slot empty.

use std::sync::{Arc, OnceLock};

use object_store::GetOptions;

use super::Keys;

/// An empty slot in a request, or what came back in it.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeySlot(Arc<OnceLock<Keys>>);

impl KeySlot {
    /// Puts the slot into a request.
    pub(crate) fn ask(&self, mut options: GetOptions) -> GetOptions {
        options.extensions.insert(self.clone());
        options
    }

    /// Answers a request that asks.
    pub(super) fn answer(options: &GetOptions, keys: &Keys) {
        if let Some(slot) = options.extensions.get::<Self>() {
            // Of two stores with keys the outer one is what the caller sees.
            let _ = slot.0.set(keys.clone());
        }
    }

    /// The keys of the store that was asked; none when it has none.
    pub(crate) fn keys(&self) -> Keys {
        self.0.get().cloned().unwrap_or_default()
    }
}
