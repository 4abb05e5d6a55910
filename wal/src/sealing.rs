//! Encryption of records: what the log asks of whoever has the keys. The log itself knows no key and no cipher.
//!
//! Only payloads are encrypted. A record's header with its position and length stays clear, and its checksum covers the encrypted bytes, so
//! damage is found, and the next record after it, without any key; and what is set aside stays encrypted. Everything that is needed to find
//! the key stands in each record: no record is lost with the header of its segment.

use std::fmt::Debug;

use crate::Position;

/// Keys of a log.
pub trait RecordSealing: Debug + Send + Sync {
    /// A new key for a segment that is about to be written; `None` when its records stay clear.
    ///
    /// # Errors
    /// Why none can be made; the log ends then.
    fn segment(&self) -> std::io::Result<Option<Box<dyn SegmentSealing>>>;

    /// Whether the key of an encrypted payload is there, judged by its first bytes; what cannot be judged passes.
    ///
    /// # Errors
    /// What is wrong with the key, by its id.
    fn check(&self, sealed: &[u8]) -> Result<(), String>;

    /// Decrypts a payload that was encrypted at this place.
    ///
    /// # Errors
    /// The key is missing or wrong, or the bytes are not what was encrypted.
    fn open(&self, position: Position, place: &[u8], sealed: &[u8]) -> Result<Vec<u8>, OpenError>;
}

/// The key of one segment.
pub trait SegmentSealing: Debug + Send {
    /// How much longer a payload gets, in bytes.
    fn overhead(&self) -> usize;

    /// Appends the encrypted form of the pieces, one after the other. `place` is proven with them. No position is given twice.
    fn seal(&mut self, position: Position, place: &[u8], pieces: [&[u8]; 2], out: &mut Vec<u8>);
}

/// Why a payload cannot be decrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// Its key is missing or wrong; nothing is known about the record.
    Key(String),
    /// It is not what was encrypted.
    Damaged(String),
}

/// Decrypts with what there is.
pub(crate) fn open(
    sealing: Option<&dyn RecordSealing>,
    position: Position,
    place: &[u8],
    sealed: &[u8],
) -> Result<Vec<u8>, OpenError> {
    let none = || OpenError::Key("the log is encrypted, and no key is configured".to_owned());
    sealing.ok_or_else(none)?.open(position, place, sealed)
}
