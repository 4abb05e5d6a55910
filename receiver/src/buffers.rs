//! Buffers for decoded bodies, kept from one request to the next: a new one is half a megabyte of pages that the kernel must clear.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use parking_lot::Mutex;

/// Buffers that are kept while nobody uses them.
const KEPT_MAX: usize = 16;
/// A larger one is given back: one giant of a sender must not stay for ever.
const KEPT_BYTES_MAX: usize = 4 << 20;

/// Buffers that wait for the next request; at most 64 MiB.
#[derive(Debug, Clone, Default)]
pub(crate) struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

/// A buffer with anything in it; goes back where it came from.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    home: Buffers,
}

impl Buffers {
    /// A buffer that was used before, or a new one.
    pub(crate) fn take(&self) -> Buffer {
        Buffer {
            bytes: self.0.lock().pop().unwrap_or_default(),
            home: self.clone(),
        }
    }
}

impl Deref for Buffer {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let mut kept = self.home.0.lock();
        if bytes.capacity() <= KEPT_BYTES_MAX && kept.len() < KEPT_MAX {
            kept.push(bytes);
        }
    }
}
