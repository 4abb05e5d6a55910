//! Counts what a thread allocates, so that a target can be held to a bound.
//!
//! By thread, because targets run side by side; a target that hands work to other threads is not seen through. It must never change
//! what the system's allocator does.

#![expect(
    unsafe_code,
    reason = "counting what the system's allocator gives needs an allocator of one's own"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn grow(bytes: usize) {
    // A thread that ends frees what it holds after its counters are gone.
    let live = LIVE.try_with(|live| {
        live.set(live.get().saturating_add_unsigned(bytes));
        live.get()
    });
    if let Ok(live) = live {
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(live)));
    }
}

fn shrink(bytes: usize) {
    let _ = LIVE.try_with(|live| live.set(live.get().saturating_sub_unsigned(bytes)));
}

// SAFETY: every call is passed on to the system's allocator as it is; only sizes are counted.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // Both at once, as when the content has to move.
        grow(new_size);
        shrink(layout.size());
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, new_size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        shrink(layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Runs `work` and tells how many bytes more than before this thread held at most.
pub(crate) fn peak_of<R>(work: impl FnOnce() -> R) -> (R, usize) {
    let before = LIVE.get();
    PEAK.set(before);
    let result = work();
    let peak = PEAK.get().saturating_sub(before);
    (result, peak.max(0).unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_counts_what_is_freed_again_and_what_moves() {
        let ((), peak) = peak_of(|| drop(vec![1_u8; 100_000]));
        assert!((100_000..101_000).contains(&peak), "{peak}");
        let (held, peak) = peak_of(|| {
            let mut bytes: Vec<u8> = Vec::with_capacity(1000);
            bytes.resize(1000, 1);
            bytes.reserve_exact(9000);
            bytes
        });
        assert_eq!(held.capacity(), 10_000);
        assert!((11_000..12_000).contains(&peak), "old and new at once: {peak}");
        // What was there before does not count, also when it is freed inside.
        let ((), peak) = peak_of(|| drop(held));
        assert!(peak < 1000, "{peak}");
    }
}
