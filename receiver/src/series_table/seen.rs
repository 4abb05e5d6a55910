//! Metadata that came with series (remote write 2.0): each variant of the table once, and for each series which it was seen with, and when.
//!
//! A sender repeats the metadata of a series with each sample, and hardly ever changes it. So the first variant of a series has a place of
//! its own, found by the series' position; further ones are found by search and never by a walk.

use std::collections::BTreeMap;

use emberkeep_model::{Metadata, SeenMetadata};
use foldhash::quality::RandomState;
use hashbrown::HashMap;

use super::variants::Borrowed;
use crate::batch::BatchMetadata;

/// What a variant costs beside its texts, by value and by number.
const VARIANT_OVERHEAD: usize = 2 * size_of::<(Metadata, u32)>();
/// What a further variant of a series costs.
const FURTHER_OVERHEAD: usize = 2 * size_of::<((u32, u32), Times)>();

/// The variants of one table, by number.
#[derive(Debug, Default)]
pub(super) struct VariantNumbers {
    numbers: HashMap<Metadata, u32, RandomState>,
    all: Vec<Metadata>,
}

impl VariantNumbers {
    /// The number of a variant, a new one where it has none, and by how many bytes this grew.
    pub(super) fn intern(&mut self, metadata: BatchMetadata<'_>) -> (u32, usize) {
        if let Some(&number) = self.numbers.get(&Borrowed(metadata)) {
            return (number, 0);
        }
        let held = Metadata {
            metric_type: metadata.metric_type,
            unit: metadata.unit.to_owned(),
            help: metadata.help.to_owned(),
        };
        let number = u32::try_from(self.all.len()).expect("a head is bounded far below 4 G variants");
        self.all.push(held.clone());
        self.numbers.insert(held, number);
        (
            number,
            VARIANT_OVERHEAD + 2 * (metadata.unit.len() + metadata.help.len()),
        )
    }

    /// The variant with this number.
    pub(super) fn get(&self, number: u32) -> &Metadata {
        &self.all[number as usize]
    }
}

/// First and last arrival, milliseconds since 1970.
#[derive(Debug, Clone, Copy)]
struct Times {
    first: i64,
    last: i64,
}

impl Times {
    fn at(arrival: i64) -> Self {
        Self {
            first: arrival,
            last: arrival,
        }
    }

    /// Arrivals come in no order.
    fn widen(&mut self, other: Self) {
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }
}

/// What the series of one shard were seen with.
#[derive(Debug, Default)]
pub(super) struct SeenWith {
    /// By position of the series, as far as any has metadata.
    first: Vec<Option<(u32, Times)>>,
    /// By series and variant.
    further: BTreeMap<(u32, u32), Times>,
}

impl SeenWith {
    /// Notes that a series came with a variant, and returns by how many bytes this grew.
    pub(super) fn see(&mut self, series: u32, variant: u32, arrival: i64) -> usize {
        let before = self.first.capacity();
        if self.first.len() <= series as usize {
            self.first.resize(series as usize + 1, None);
        }
        let grown = (self.first.capacity() - before) * size_of::<Option<(u32, Times)>>();
        let arrived = Times::at(arrival);
        match &mut self.first[series as usize] {
            Some((known, times)) if *known == variant => times.widen(arrived),
            Some(_) => {
                let n_before = self.further.len();
                self.further.entry((series, variant)).or_insert(arrived).widen(arrived);
                return grown + (self.further.len() - n_before) * FURTHER_OVERHEAD;
            }
            none => *none = Some((variant, arrived)),
        }
        grown
    }

    /// The variants that a series was seen with, by number, in no order.
    fn of_series(&self, series: u32) -> impl Iterator<Item = (u32, Times)> {
        let first = self.first.get(series as usize).copied().flatten();
        let further = self.further.range((series, 0)..=(series, u32::MAX));
        first
            .into_iter()
            .chain(further.map(|((_, variant), times)| (*variant, *times)))
    }

    /// Adds the variants of a series to those that it was seen with elsewhere.
    pub(super) fn collect(&self, series: u32, numbers: &VariantNumbers, seen: &mut Vec<SeenMetadata>) {
        for (number, times) in self.of_series(series) {
            let metadata = numbers.get(number);
            match seen.iter_mut().find(|known| known.metadata == *metadata) {
                Some(known) => {
                    known.first_seen = known.first_seen.min(times.first);
                    known.last_seen = known.last_seen.max(times.last);
                }
                None => seen.push(SeenMetadata {
                    metadata: metadata.clone(),
                    first_seen: times.first,
                    last_seen: times.last,
                }),
            }
        }
    }
}
