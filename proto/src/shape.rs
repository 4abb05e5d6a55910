//! Checks messages against a table of their fields, for those that the hot decoders count but do not read.
//!
//! A request is taken or refused before any of it is stored, so nothing in it may be left unchecked. Whether the content makes sense
//! (bucket counts, symbol references, UTF-8) is not asked here.

use crate::error::Malformed;
use crate::wire::{Cursor, FIXED64, LENGTH, VARINT};

/// How a field is written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// One integer, enum or bool.
    Varint,
    /// One double.
    Double,
    /// A string or bytes.
    Bytes,
    /// Integers, packed or one by one.
    Varints,
    /// Doubles, packed or one by one.
    Doubles,
    /// A message, once or repeated.
    Message(Shape),
}

/// The fields of a message: number and kind.
pub(crate) type Shape = &'static [(u32, Kind)];

const SPAN: Shape = &[(1, Kind::Varint), (2, Kind::Varint)];

/// A native histogram of remote write 2.0.
pub(crate) const HISTOGRAM_V2: Shape = &[
    (1, Kind::Varint),
    (2, Kind::Double),
    (3, Kind::Double),
    (4, Kind::Varint),
    (5, Kind::Double),
    (6, Kind::Varint),
    (7, Kind::Double),
    (8, Kind::Message(SPAN)),
    (9, Kind::Varints),
    (10, Kind::Doubles),
    (11, Kind::Message(SPAN)),
    (12, Kind::Varints),
    (13, Kind::Doubles),
    (14, Kind::Varint),
    (15, Kind::Varint),
    (16, Kind::Doubles),
    (17, Kind::Varint),
];

/// A native histogram of remote write 1.0, which has no start timestamp.
pub(crate) const HISTOGRAM_V1: Shape = HISTOGRAM_V2.split_at(16).0;

const LABEL: Shape = &[(1, Kind::Bytes), (2, Kind::Bytes)];

/// An exemplar of remote write 1.0, with labels of its own.
pub(crate) const EXEMPLAR_V1: Shape = &[(1, Kind::Message(LABEL)), (2, Kind::Double), (3, Kind::Varint)];

/// An exemplar of remote write 2.0, with references to symbols.
pub(crate) const EXEMPLAR_V2: Shape = &[(1, Kind::Varints), (2, Kind::Double), (3, Kind::Varint)];

/// Metadata of a metric family, remote write 1.0. There is no field 3.
pub(crate) const METADATA_V1: Shape = &[(1, Kind::Varint), (2, Kind::Bytes), (4, Kind::Bytes), (5, Kind::Bytes)];

/// Metadata of a series, remote write 2.0. There is no field 2.
pub(crate) const METADATA_V2: Shape = &[(1, Kind::Varint), (3, Kind::Varint), (4, Kind::Varint)];

/// Reads `message` to its end and refuses what does not have this shape. Unknown fields are skipped.
pub(crate) fn check(mut message: Cursor<'_>, shape: Shape) -> Result<(), Malformed> {
    while let Some(key) = message.key()? {
        let Some((_, kind)) = shape.iter().find(|(number, _)| *number == key >> 3) else {
            message.skip_unknown(key, &[])?;
            continue;
        };
        match (kind, key & 7) {
            (Kind::Varint | Kind::Varints, VARINT) => drop(message.varint()?),
            (Kind::Double | Kind::Doubles, FIXED64) => drop(message.fixed64()?),
            (Kind::Bytes, LENGTH) => drop(message.bytes()?),
            (Kind::Varints, LENGTH) => check_packed_varints(message.message()?)?,
            (Kind::Doubles, LENGTH) => {
                if !message.bytes()?.len().is_multiple_of(8) {
                    return Err(message.malformed("packed doubles end inside a double"));
                }
            }
            (Kind::Message(inner), LENGTH) => check(message.message()?, inner)?,
            _ => return Err(message.malformed("wrong wire type of a known field")),
        }
    }
    Ok(())
}

/// Reads packed integers to their end.
#[inline]
pub(crate) fn check_packed_varints(mut packed: Cursor<'_>) -> Result<(), Malformed> {
    while !packed.is_at_end() {
        packed.varint()?;
    }
    Ok(())
}
