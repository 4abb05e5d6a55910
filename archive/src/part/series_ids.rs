//! Which id a series gets: what its fingerprint asks for, or the next free number when another series of the part has that.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hasher, RandomState};

use xxhash_rust::xxh3::xxh3_128;

use emberkeep_model::{Labels, TenantId};

/// The ids given in one part.
#[derive(Debug)]
pub(super) struct SeriesIds {
    given: HashSet<i64, Keyed>,
    /// What the fingerprint is of.
    identity: Vec<u8>,
}

impl SeriesIds {
    pub(super) fn new() -> Self {
        Self {
            given: HashSet::with_hasher(Keyed(RandomState::new().hash_one(0))),
            identity: Vec::new(),
        }
    }

    /// The id that a series asks for: [`emberkeep_model::series_id`] of its fingerprint, hashed in one piece.
    pub(super) fn asked(&mut self, tenant: &TenantId, labels: &Labels) -> i64 {
        self.identity.clear();
        self.identity.extend_from_slice(tenant.as_str().as_bytes());
        self.identity.push(0xff);
        self.identity.extend_from_slice(labels.as_bytes());
        emberkeep_model::series_id(xxh3_128(&self.identity))
    }

    /// The id that it gets.
    pub(super) fn give(&mut self, mut asked: i64) -> i64 {
        while !self.given.insert(asked) {
            asked = asked.wrapping_add(1) & i64::MAX;
        }
        asked
    }
}

/// Hashes ids, which are hashes already, with a key that nobody outside knows: a sender could choose labels whose ids meet otherwise.
#[derive(Debug, Clone)]
struct Keyed(u64);

impl BuildHasher for Keyed {
    type Hasher = KeyedHash;

    fn build_hasher(&self) -> KeyedHash {
        KeyedHash(self.0)
    }
}

#[derive(Debug)]
struct KeyedHash(u64);

impl Hasher for KeyedHash {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_i64(&mut self, number: i64) {
        self.write_u64(number.cast_unsigned());
    }

    fn write_u64(&mut self, number: u64) {
        let product = u128::from(self.0 ^ number) * u128::from(0x9e37_79b9_7f4a_7c15_u64);
        self.0 = (product >> 64) as u64 ^ product as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use emberkeep_model::{fingerprint, series_id};

    #[test]
    fn a_series_asks_for_the_id_of_its_fingerprint() {
        let mut ids = SeriesIds::new();
        for tenant in ["anonymous", "a"] {
            let tenant = TenantId::parse(tenant).unwrap();
            for labels in [
                vec![],
                vec![("__name__", "up"), ("job", "a")],
                vec![("long", "x".repeat(700).leak())],
            ] {
                let labels = Labels::from_pairs(labels).unwrap();
                assert_eq!(ids.asked(&tenant, &labels), series_id(fingerprint(&tenant, &labels)));
            }
        }
    }

    #[test]
    fn an_id_that_is_taken_gives_way_to_the_next() {
        let mut ids = SeriesIds::new();
        let given: Vec<i64> = [i64::MAX - 1, i64::MAX - 1, i64::MAX, 0, 5]
            .map(|id| ids.give(id))
            .into();
        assert_eq!(given, [i64::MAX - 1, i64::MAX, 0, 1, 5]);
    }
}
