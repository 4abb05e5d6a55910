//! Frames of a streamed answer: uvarint length, CRC-32C of the payload (4 bytes, big endian), payload.
//!
//! The framing of Prometheus' streamed remote read, used for head read too. It has no end mark of its own: what proves that a stream is whole
//! must come from HTTP, or from the content.

use crc_fast::crc32_iscsi;
use prost::encoding::{encode_varint, encoded_len_varint};

use crate::WireError;
use crate::wire::Cursor;

/// Bytes of the checksum.
const CHECKSUM: usize = 4;

/// Appends a frame whose payload, of `payload_len` bytes, is written by `payload`.
pub(crate) fn append_frame(out: &mut Vec<u8>, payload_len: usize, payload: impl FnOnce(&mut Vec<u8>)) {
    out.reserve(frame_len(payload_len));
    encode_varint(payload_len as u64, out);
    let checksum_at = out.len();
    out.extend_from_slice(&[0; CHECKSUM]);
    let payload_at = out.len();
    payload(out);
    debug_assert_eq!(
        out.len() - payload_at,
        payload_len,
        "the payload has the length that was announced"
    );
    let checksum = crc32_iscsi(&out[payload_at..]);
    out[checksum_at..payload_at].copy_from_slice(&checksum.to_be_bytes());
}

/// Bytes of a frame with a payload of `payload_len` bytes.
pub(crate) fn frame_len(payload_len: usize) -> usize {
    encoded_len_varint(payload_len as u64) + CHECKSUM + payload_len
}

/// Takes one frame off the start of `bytes`: its payload and the number of bytes of the whole frame. `None` when more bytes are needed.
/// `offset` is where `bytes` starts in the stream, for errors; `limit` is the greatest payload, in bytes.
///
/// # Errors
/// [`WireError::TooLarge`] as soon as the length is there, [`WireError::Checksum`], [`WireError::Malformed`] for a length that is no varint.
pub fn split_frame(bytes: &[u8], offset: usize, limit: usize) -> Result<Option<(&[u8], usize)>, WireError> {
    let mut cursor = Cursor::new(bytes);
    let len = match cursor.varint() {
        Ok(len) => len,
        // Ten bytes hold any varint; with fewer the rest may still come.
        Err(_) if bytes.len() < 10 && bytes.iter().all(|byte| *byte >= 0x80) => return Ok(None),
        Err(error) => {
            return Err(WireError::Malformed {
                offset,
                what: error.what,
            });
        }
    };
    if len > limit as u64 {
        return Err(WireError::TooLarge {
            what: "frame",
            declared: len,
            limit: limit as u64,
        });
    }
    let len = len as usize;
    let Some((checksum, rest)) = cursor.rest().split_first_chunk::<CHECKSUM>() else {
        return Ok(None);
    };
    let Some(payload) = rest.get(..len) else {
        return Ok(None);
    };
    let (stored, computed) = (u32::from_be_bytes(*checksum), crc32_iscsi(payload));
    if stored != computed {
        return Err(WireError::Checksum {
            offset,
            stored,
            computed,
        });
    }
    Ok(Some((payload, cursor.offset() + CHECKSUM + len)))
}

/// Reads the payloads of a stream of frames that is in memory as a whole. Ends after the first error.
#[derive(Debug, Clone)]
pub struct FrameReader<'a> {
    bytes: &'a [u8],
    at: usize,
    limit: usize,
}

impl<'a> FrameReader<'a> {
    /// Over `bytes`, the whole stream; `limit` is the greatest payload, in bytes.
    #[must_use]
    pub fn new(bytes: &'a [u8], limit: usize) -> Self {
        Self { bytes, at: 0, limit }
    }
}

impl<'a> Iterator for FrameReader<'a> {
    type Item = Result<&'a [u8], WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.bytes.get(self.at..).filter(|rest| !rest.is_empty())?;
        let payload = match split_frame(rest, self.at, self.limit) {
            Ok(Some((payload, used))) => {
                self.at += used;
                return Some(Ok(payload));
            }
            Ok(None) => Err(WireError::Malformed {
                offset: self.at,
                what: "the stream ends inside a frame",
            }),
            Err(error) => Err(error),
        };
        self.at = self.bytes.len();
        Some(payload)
    }
}

#[cfg(test)]
mod tests;
