//! The log's view of the keys: each segment has a key of its own, and each record says which (`docs/formats/encryption.md`).
//!
//! The nonce of a record is its offset. A segment is never written by two processes, never again once it was left, and a place in it is
//! given out once, so no nonce meets two contents under one key.

use emberkeep_archive::{DerivedKey, KeyPurpose, KeyStamp, Keys, NONCE_BYTES, TAG_BYTES};
use emberkeep_wal::{OpenError, Position, RecordSealing, SegmentSealing};

/// The keys of a receiver's log.
#[derive(Debug)]
pub(crate) struct LogKeys(pub(crate) Keys);

/// The key of one segment.
#[derive(Debug)]
struct SegmentKey {
    /// As it stands in front of each payload.
    stamp: Vec<u8>,
    key: DerivedKey,
}

impl RecordSealing for LogKeys {
    fn segment(&self) -> std::io::Result<Option<Box<dyn SegmentSealing>>> {
        let fresh = self.0.fresh(KeyPurpose::Segment).map_err(std::io::Error::other)?;
        Ok(fresh.map(|(stamp, key)| {
            let mut stored = Vec::new();
            stamp.put(&mut stored);
            Box::new(SegmentKey { stamp: stored, key }) as Box<dyn SegmentSealing>
        }))
    }

    fn check(&self, sealed: &[u8]) -> Result<(), String> {
        match KeyStamp::take(sealed) {
            Some((stamp, _)) => self.key(&stamp).map(drop),
            None => Ok(()),
        }
    }

    fn open(&self, position: Position, place: &[u8], sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        let cut = || OpenError::Damaged("it does not say with which key it is encrypted".to_owned());
        let (stamp, content) = KeyStamp::take(sealed).ok_or_else(cut)?;
        let key = self.key(&stamp).map_err(OpenError::Key)?;
        let mut content = content.to_vec();
        let changed = || {
            let key = stamp.key();
            OpenError::Damaged(format!("it is not what was encrypted with key `{key}`"))
        };
        let length = key
            .open(nonce(position), place, &mut content)
            .ok_or_else(changed)?
            .len();
        content.truncate(length);
        Ok(content)
    }
}

impl LogKeys {
    fn key(&self, stamp: &KeyStamp) -> Result<DerivedKey, String> {
        self.0
            .derived(stamp, KeyPurpose::Segment)
            .map_err(|error| error.to_string())
    }
}

impl SegmentSealing for SegmentKey {
    fn overhead(&self) -> usize {
        self.stamp.len() + TAG_BYTES
    }

    fn seal(&mut self, position: Position, place: &[u8], pieces: [&[u8]; 2], out: &mut Vec<u8>) {
        out.reserve(self.overhead() + pieces[0].len() + pieces[1].len());
        out.extend_from_slice(&self.stamp);
        let start = out.len();
        for piece in pieces {
            out.extend_from_slice(piece);
        }
        let tag = self.key.seal(nonce(position), place, &mut out[start..]);
        out.extend_from_slice(&tag);
    }
}

fn nonce(position: Position) -> [u8; NONCE_BYTES] {
    let mut nonce = [0; NONCE_BYTES];
    nonce[..8].copy_from_slice(&position.offset.to_le_bytes());
    nonce
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const AT: Position = Position { segment: 3, offset: 40 };

    fn keys(id: &str, byte: u8) -> LogKeys {
        LogKeys(Keys::single(id, [byte; 32]).unwrap())
    }

    #[test]
    fn a_record_opens_in_its_place_alone_and_errors_name_the_key() {
        let mut segment = keys("k-1", 7).segment().unwrap().unwrap();
        let mut sealed = Vec::new();
        segment.seal(AT, b"place", [b"head", b"body"], &mut sealed);
        assert_eq!(sealed.len(), 8 + segment.overhead());
        assert_eq!(keys("k-1", 7).open(AT, b"place", &sealed).unwrap(), b"headbody");
        let elsewhere = Position { offset: 41, ..AT };
        for moved in [
            keys("k-1", 7).open(elsewhere, b"place", &sealed),
            keys("k-1", 7).open(AT, b"plac", &sealed),
        ] {
            assert!(matches!(moved, Err(OpenError::Damaged(_))));
        }
        for (other, said) in [
            (keys("k-2", 7), "key `k-1` is needed"),
            (keys("k-1", 8), "key `k-1` is not the one"),
        ] {
            let refused = other.open(AT, b"place", &sealed);
            assert!(
                matches!(&refused, Err(OpenError::Key(reason)) if reason.contains(said)),
                "{refused:?}"
            );
            assert!(other.check(&sealed[..60]).unwrap_err().contains(said));
        }
        for cut in 0..sealed.len() {
            assert!(matches!(
                keys("k-1", 7).open(AT, b"place", &sealed[..cut]),
                Err(OpenError::Damaged(_))
            ));
        }
    }

    #[test]
    fn every_segment_has_a_key_of_its_own() {
        let keys = keys("k-1", 7);
        let [one, other] = [(), ()].map(|()| {
            let mut sealed = Vec::new();
            keys.segment()
                .unwrap()
                .unwrap()
                .seal(AT, b"place", [b"the same", b"record"], &mut sealed);
            sealed
        });
        assert_ne!(one[one.len() - 30..], other[other.len() - 30..]);
        assert!(LogKeys(Keys::default()).segment().unwrap().is_none());
    }
}
