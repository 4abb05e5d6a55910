//! Which requests may come in: memory in flight has a bound, and above every bound the answer is "later", never "no".

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A budget of bytes in flight.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    kib: Arc<Semaphore>,
    capacity_kib: u32,
}

impl Admission {
    pub(crate) fn new(bytes_max: usize) -> Self {
        let capacity_kib = u32::try_from(bytes_max >> 10).unwrap_or(u32::MAX >> 4).max(1);
        Self {
            kib: Arc::new(Semaphore::new(capacity_kib as usize)),
            capacity_kib,
        }
    }

    /// Takes the bytes from the budget until the permit is dropped; nothing when they are not to be had.
    /// A request larger than the whole budget may come in alone.
    pub(crate) fn admit(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let kib = u32::try_from(bytes.div_ceil(1024))
            .unwrap_or(u32::MAX)
            .clamp(1, self.capacity_kib);
        self.kib.clone().try_acquire_many_owned(kib).ok()
    }

    /// Bytes taken now.
    pub(crate) fn in_flight(&self) -> usize {
        (self.capacity_kib as usize - self.kib.available_permits()) << 10
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_holds_and_comes_back() {
        let admission = Admission::new(10 << 10);
        let first = admission.admit(6 << 10);
        assert!(first.is_some());
        assert!(admission.admit(5 << 10).is_none());
        assert_eq!(admission.in_flight(), 6 << 10);
        drop(first);
        assert!(admission.admit(1 << 30).is_some(), "a giant comes in alone");
    }
}
