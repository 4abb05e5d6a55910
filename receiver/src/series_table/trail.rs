//! The trail: the series of a table in the order in which they were entered, over all shards.
//!
//! Senders repeat themselves: what followed a series when it was entered follows it again. So whoever scans a request holds the spelling of the
//! one that is likely to come next against it, and neither walks through its labels nor hashes it. A wrong guess costs a comparison that
//! ends early. It must never decide what a series is: only equal bytes do.

use std::array;

use parking_lot::{RwLock, RwLockReadGuard};

use super::shard::{Origin, Shard};
use super::{SHARDS, SeriesTable, SpelledAs, shard_of};
use emberkeep_model::TenantId;

/// Series between two moments at which who wants to enter others may do so.
const IN_ONE_GO: u32 = 64;

/// So many wrong guesses more than right ones, and the rest of a request is not guessed.
const WRONG_MAX: u32 = 16;

/// Bits of a step that are the position in its shard.
const POSITION_BITS: u32 = u32::BITS - SHARDS.ilog2();

/// One series: its shard and its position there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step(u32);

impl Step {
    /// For a place that nobody takes.
    pub(super) const NOBODY: Self = Self(u32::MAX);

    /// A series that the trail can name; beyond 268 million of a shard there is nobody.
    pub(super) fn of(shard: usize, position: u32) -> Self {
        match position >> POSITION_BITS {
            0 => Self((shard as u32) << POSITION_BITS | position),
            _ => Self::NOBODY,
        }
    }

    fn shard(self) -> usize {
        (self.0 >> POSITION_BITS) as usize
    }

    fn position(self) -> u32 {
        self.0 & (u32::MAX >> SHARDS.ilog2())
    }
}

/// All steps of a table.
#[derive(Debug, Default)]
pub(super) struct Trail(RwLock<Vec<Step>>);

impl Trail {
    /// Takes places for a batch, so that it stays together. Returns the first, and by how many bytes the trail grew.
    pub(super) fn reserve(&self, steps: usize) -> (u32, usize) {
        if steps == 0 {
            return (0, 0);
        }
        let mut all = self.0.write();
        let (first, before) = (all.len(), all.capacity());
        all.resize(first + steps, Step::NOBODY);
        let first = u32::try_from(first).expect("a generation is flushed long before 4 G series");
        (first, (all.capacity() - before) * size_of::<Step>())
    }

    /// Fills places that were taken.
    pub(super) fn fill(&self, first: u32, steps: &[Step]) {
        if !steps.is_empty() {
            self.0.write()[first as usize..][..steps.len()].copy_from_slice(steps);
        }
    }
}

/// One walk along the trail beside the scan of a request.
#[derive(Debug)]
pub(crate) struct Guide<'t> {
    table: &'t SeriesTable,
    origin: Origin,
    /// None when guessing was given up.
    locked: Option<Locked<'t>>,
    /// Series until the locks are given back for a moment.
    left: u32,
    /// Where the next series is looked for.
    next: u32,
    wrong: u32,
}

#[derive(Debug)]
struct Locked<'t> {
    trail: RwLockReadGuard<'t, Vec<Step>>,
    shards: [RwLockReadGuard<'t, Shard>; SHARDS],
}

impl<'t> Locked<'t> {
    fn all_of(table: &'t SeriesTable) -> Self {
        // Who writes holds one of these locks at a time, so the order does not matter.
        Self {
            trail: table.trail.0.read(),
            shards: array::from_fn(|shard| table.shards[shard].read()),
        }
    }
}

impl SeriesTable {
    /// A guide for the entries of a request.
    pub(crate) fn guide(&self, tenant: &TenantId, spelled: SpelledAs) -> Guide<'_> {
        let origin = self.tenants.find(tenant, spelled);
        Guide {
            table: self,
            origin: origin.unwrap_or(Origin(0)),
            locked: origin.map(|_| Locked::all_of(self)),
            left: IN_ONE_GO,
            // Before the first series nothing is expected.
            next: u32::MAX,
            wrong: 0,
        }
    }
}

impl Guide<'_> {
    /// The spelling that is likely to come next; empty where there is no guess.
    #[inline]
    pub(crate) fn expected(&self) -> &[u8] {
        self.guess().map_or(&[], |(_, key)| key)
    }

    #[inline]
    fn guess(&self) -> Option<(Step, &[u8])> {
        let locked = self.locked.as_ref()?;
        let step = *locked.trail.get(self.next as usize)?;
        let shard = locked.shards.get(step.shard())?;
        Some((step, shard.key_of(step.position(), self.origin)?))
    }

    /// The expected one came: a hash that chooses its shard, and its position.
    #[inline]
    pub(crate) fn right(&mut self) -> Option<(u64, u32)> {
        let (step, _) = self.guess()?;
        self.next += 1;
        self.wrong = self.wrong.saturating_sub(1);
        self.breathe();
        Some(((step.shard() as u64) << 60, step.position()))
    }

    /// Another one came. Its position, where it is known and guessing was not given up; the walk goes on behind it.
    pub(crate) fn wrong(&mut self, hash: u64, key: &[u8]) -> Option<u32> {
        let shard = &self.locked.as_ref()?.shards[shard_of(hash)];
        let found = shard.find(self.origin, hash, key);
        // A series that is not known was put between those that are.
        if let Some(position) = found {
            self.next = shard.step_of(position).saturating_add(1);
        }
        self.wrong += 1;
        if self.wrong > WRONG_MAX {
            self.locked = None;
        }
        self.breathe();
        found
    }

    /// Lets those in who wait to enter series.
    #[inline]
    fn breathe(&mut self) {
        self.left -= 1;
        if self.left == 0 {
            self.left = IN_ONE_GO;
            if self.locked.take().is_some() {
                self.locked = Some(Locked::all_of(self.table));
            }
        }
    }
}
