//! Variants of metadata, each once, with the time in which it was sent.
//!
//! A sender may make up any number of variants, so they are found by a keyed hash and never by a walk.

use std::hash::{Hash, Hasher};

use emberkeep_model::{Metadata, SeenMetadata};
use foldhash::fast::RandomState;
use hashbrown::{Equivalent, HashMap};

use crate::batch::BatchMetadata;

/// What a variant costs beside its texts: its slot, and the table's reserve.
const OVERHEAD: usize = 2 * size_of::<(Metadata, Seen)>();

/// First and last arrival, milliseconds since 1970.
#[derive(Debug, Clone, Copy)]
struct Seen {
    first: i64,
    last: i64,
}

/// The variants of one family.
#[derive(Debug, Default)]
pub(super) struct Variants {
    seen: HashMap<Metadata, Seen, RandomState>,
}

/// A variant that is not held yet. It hashes as [`Metadata`] does: the same fields in the same order.
#[derive(PartialEq, Eq)]
pub(super) struct Borrowed<'a>(pub(super) BatchMetadata<'a>);

impl Hash for Borrowed<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.metric_type.hash(state);
        self.0.unit.hash(state);
        self.0.help.hash(state);
    }
}

impl Equivalent<Metadata> for Borrowed<'_> {
    fn equivalent(&self, held: &Metadata) -> bool {
        let Self(asked) = self;
        (asked.metric_type, asked.unit, asked.help) == (held.metric_type, held.unit.as_str(), held.help.as_str())
    }
}

impl Variants {
    /// Adds a variant, or widens the time of an equal one. Returns by how many bytes it grew. Arrivals come in no order.
    pub(super) fn see(&mut self, metadata: BatchMetadata<'_>, arrival: i64) -> usize {
        if let Some(seen) = self.seen.get_mut(&Borrowed(metadata)) {
            seen.first = seen.first.min(arrival);
            seen.last = seen.last.max(arrival);
            return 0;
        }
        let held = Metadata {
            metric_type: metadata.metric_type,
            unit: metadata.unit.to_owned(),
            help: metadata.help.to_owned(),
        };
        let seen = Seen {
            first: arrival,
            last: arrival,
        };
        self.seen.insert(held, seen);
        OVERHEAD + metadata.unit.len() + metadata.help.len()
    }

    /// All of them, in one order for equal content.
    pub(super) fn sorted(&self) -> Vec<SeenMetadata> {
        let mut all: Vec<_> = self
            .seen
            .iter()
            .map(|(metadata, seen)| SeenMetadata {
                metadata: metadata.clone(),
                first_seen: seen.first,
                last_seen: seen.last,
            })
            .collect();
        all.sort_by(|a, b| a.metadata.cmp(&b.metadata));
        all
    }
}

#[cfg(test)]
mod tests {
    use emberkeep_model::MetricType;

    use super::*;

    #[test]
    fn a_variant_is_found_again_and_its_time_widens() {
        let mut variants = Variants::default();
        let counter = BatchMetadata {
            metric_type: MetricType::Counter,
            unit: "s",
            help: "Help.",
        };
        assert!(variants.see(counter, 20) > 0);
        assert_eq!(variants.see(counter, 10), 0);
        assert_eq!(variants.see(counter, 30), 0);
        for other in [
            BatchMetadata {
                help: "Help",
                ..counter
            },
            BatchMetadata { unit: "", ..counter },
            BatchMetadata {
                metric_type: MetricType::Gauge,
                ..counter
            },
        ] {
            assert!(variants.see(other, 5) > 0);
        }
        let sorted = variants.sorted();
        let seen: Vec<_> = sorted.iter().map(|seen| (seen.first_seen, seen.last_seen)).collect();
        assert_eq!(seen, [(5, 5), (5, 5), (10, 30), (5, 5)]);
    }
}
