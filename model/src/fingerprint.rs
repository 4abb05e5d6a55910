//! The fingerprint of a series. A hint for look-ups and joins: identity is always the label bytes.

use xxhash_rust::xxh3::Xxh3;

use crate::{Labels, TenantId};

/// XXH3-128 with seed 0 over `tenant 0xFF canonical label bytes` (0xFF occurs in no tenant id).
#[must_use]
pub fn fingerprint(tenant: &TenantId, labels: &Labels) -> u128 {
    let mut hasher = Xxh3::new();
    hasher.update(tenant.as_str().as_bytes());
    hasher.update(&[0xff]);
    hasher.update(labels.as_bytes());
    hasher.digest128()
}

/// The series id that a fingerprint asks for: its low 63 bits, so that engines without unsigned integers can hold it.
/// A part gives the next free id when two of its label sets ask for one.
#[must_use]
pub fn series_id(fingerprint: u128) -> i64 {
    i64::try_from(fingerprint & u128::from(i64::MAX.unsigned_abs())).expect("63 bits fit")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_fingerprint_is_persisted_and_must_not_change() {
        let labels = Labels::from_pairs([("__name__", "up"), ("job", "a")]).unwrap();
        let print = fingerprint(&TenantId::default(), &labels);
        assert_eq!(print, 0x54fd_33fb_74d3_c023_ebce_de13_5b40_6451);
        assert_eq!(u128::from(series_id(print).unsigned_abs()), print & (u128::MAX >> 65));
        assert_ne!(print, fingerprint(&TenantId::parse("other").unwrap(), &labels));
    }
}
