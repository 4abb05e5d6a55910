//! Faults that a test orders: syncs and calls that fail, writes that stop half-way, a disk that is full from some byte on.
//!
//! Each is counted from the moment it is ordered, so that the same order gives the same run. A fault must never do less harm
//! than a real one: a failed sync drops what it should have written, a failed write keeps its first bytes.

use std::io;

/// What is still to go wrong.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// Numbers of syncs that fail, counted from the first sync of all.
    syncs: Vec<u64>,
    /// Numbers of calls that fail, counted from the first step of all.
    calls: Vec<(u64, io::ErrorKind)>,
    /// Writes so far, and those that stop after some bytes.
    n_writes: u64,
    writes: Vec<(u64, usize, io::ErrorKind)>,
    /// Bytes that can still be written, and what happens after them.
    budget: Option<(usize, io::ErrorKind)>,
}

impl Faults {
    pub(super) fn fail_sync(&mut self, number: u64) {
        self.syncs.push(number);
    }

    pub(super) fn fail_call(&mut self, step: u64, kind: io::ErrorKind) {
        self.calls.push((step, kind));
    }

    /// The `n`-th write from now writes `written` bytes.
    pub(super) fn shorten_write(&mut self, n: u64, written: usize, kind: io::ErrorKind) {
        self.writes.push((self.n_writes + n, written, kind));
    }

    pub(super) fn limit_writes(&mut self, budget: Option<(usize, io::ErrorKind)>) {
        self.budget = budget;
    }

    pub(super) fn fails_sync(&self, number: u64) -> bool {
        self.syncs.contains(&number)
    }

    /// The error of the call that is this step.
    pub(super) fn of_call(&self, step: u64) -> Option<io::Error> {
        let (_, kind) = self.calls.iter().find(|(due, _)| *due == step)?;
        Some(io::Error::new(*kind, "injected failure of a call"))
    }

    /// How many of `len` bytes the write that is being made may write, and the error after fewer.
    pub(super) fn of_write(&mut self, len: usize) -> (usize, Option<io::Error>) {
        self.n_writes += 1;
        let due = self.writes.iter().find(|(due, ..)| *due == self.n_writes);
        let mut fault = due.map(|(_, written, kind)| (len.min(*written), *kind));
        if let Some((left, kind)) = &mut self.budget {
            let fits = len.min(*left);
            if fits < len {
                fault = Some(fault.map_or((fits, *kind), |(written, kind)| (written.min(fits), kind)));
            }
            *left -= fault.map_or(fits, |(written, _)| written.min(fits));
        }
        match fault {
            None => (len, None),
            Some((written, kind)) => (written, Some(io::Error::new(kind, "injected failure of a write"))),
        }
    }
}
