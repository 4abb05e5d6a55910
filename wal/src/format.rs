//! The frame around payloads: segment header, record header, file names. Drawn in `docs/formats/wal.md`.
//!
//! A record header names the log, the segment and its own offset, so it can be recognised anywhere in a damaged file, and
//! bytes of an older life of the disk, of another log, or inside a body that a sender made up never pass for one.

use crate::{Position, WalId};

/// Newest format version that this program writes and reads.
pub(crate) const VERSION: u32 = SEALED_VERSION;

/// Version of a segment of clear records.
pub(crate) const CLEAR_VERSION: u32 = 1;

/// Version of a segment that may have encrypted records.
pub(crate) const SEALED_VERSION: u32 = 2;

/// Length of a segment header in bytes.
pub(crate) const SEGMENT_HEADER_LEN: usize = 40;

/// Length of a record header in bytes.
pub(crate) const RECORD_HEADER_LEN: usize = 44;

/// First bytes of a record header.
pub(crate) const RECORD_MAGIC: [u8; 4] = *b"EKWR";

/// First bytes of the header of a record whose payload is encrypted.
pub(crate) const SEALED_MAGIC: [u8; 4] = *b"EKWE";

/// Bytes of a record header that say where it is and how long; an encrypted payload is bound to them.
pub(crate) const PLACE_LEN: usize = 40;

const SEGMENT_MAGIC: [u8; 8] = *b"EKWALSEG";
const SUFFIX: &str = ".wal";

/// What the first bytes of a segment file say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SegmentHeader {
    /// A segment of this log with the expected number.
    Ours,
    /// A whole header of another log, or of another segment under a wrong name.
    Foreign { id: WalId, segment: u64 },
    /// A whole header of a newer format.
    Newer { version: u32 },
    /// No header: empty, zeros or damaged. Records may follow all the same.
    Missing,
}

/// CRC-32C of the parts, one after the other.
pub(crate) fn checksum(parts: &[&[u8]]) -> u32 {
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    for part in parts {
        digest.update(part);
    }
    u32::try_from(digest.finalize()).expect("a 32-bit CRC fits into 32 bits")
}

/// The name of a segment's file.
pub(crate) fn segment_name(segment: u64) -> String {
    format!("{segment:020}{SUFFIX}")
}

/// The segment number of a file name; `None` when it is not the name of a segment.
pub(crate) fn segment_of_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    let is_canonical = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_canonical { digits.parse().ok() } else { None }
}

/// The first bytes of a segment.
pub(crate) fn segment_header(version: u32, id: &WalId, segment: u64) -> [u8; SEGMENT_HEADER_LEN] {
    let mut header = [0; SEGMENT_HEADER_LEN];
    header[0..8].copy_from_slice(&SEGMENT_MAGIC);
    header[8..12].copy_from_slice(&version.to_le_bytes());
    header[12..28].copy_from_slice(id.as_bytes());
    header[28..36].copy_from_slice(&segment.to_le_bytes());
    let crc = checksum(&[&header[..36]]);
    header[36..40].copy_from_slice(&crc.to_le_bytes());
    header
}

/// Judges the first bytes of the file that is named as `segment`.
pub(crate) fn read_segment_header(bytes: &[u8], id: &WalId, segment: u64) -> SegmentHeader {
    let Some(header) = bytes.first_chunk::<SEGMENT_HEADER_LEN>() else {
        return SegmentHeader::Missing;
    };
    if header[0..8] != SEGMENT_MAGIC || le_u32(header, 36) != checksum(&[&header[..36]]) {
        return SegmentHeader::Missing;
    }
    let version = le_u32(header, 8);
    if version > VERSION {
        return SegmentHeader::Newer { version };
    }
    let mut found = [0; 16];
    found.copy_from_slice(&header[12..28]);
    let (found, number) = (WalId::from_bytes(found), le_u64(header, 28));
    if found == *id && number == segment {
        SegmentHeader::Ours
    } else {
        SegmentHeader::Foreign {
            id: found,
            segment: number,
        }
    }
}

/// The header of a record without its checksum: what the payload is, where it is, and how long.
pub(crate) fn place(magic: [u8; 4], id: &WalId, position: Position, payload_len: u32) -> [u8; PLACE_LEN] {
    let mut place = [0; PLACE_LEN];
    place[0..4].copy_from_slice(&magic);
    place[4..20].copy_from_slice(id.as_bytes());
    place[20..28].copy_from_slice(&position.segment.to_le_bytes());
    place[28..36].copy_from_slice(&position.offset.to_le_bytes());
    place[36..40].copy_from_slice(&payload_len.to_le_bytes());
    place
}

/// The header of a record whose payload is `prefix` followed by `body`.
pub(crate) fn record_header(place: [u8; PLACE_LEN], prefix: &[u8], body: &[u8]) -> [u8; RECORD_HEADER_LEN] {
    let mut header = [0; RECORD_HEADER_LEN];
    header[..PLACE_LEN].copy_from_slice(&place);
    let crc = checksum(&[&place, prefix, body]);
    header[PLACE_LEN..].copy_from_slice(&crc.to_le_bytes());
    header
}

/// Whether four bytes can begin a record.
pub(crate) fn is_record_magic(bytes: &[u8]) -> bool {
    bytes == RECORD_MAGIC || bytes == SEALED_MAGIC
}

/// The payload length that a header at this position claims; `None` when it is no header of this log and position.
///
/// The claim is not proven until [`is_whole_record`] has seen the payload.
pub(crate) fn claimed_payload_len(bytes: &[u8], id: &WalId, position: Position) -> Option<u32> {
    let header = bytes.first_chunk::<RECORD_HEADER_LEN>()?;
    let is_ours = is_record_magic(&header[0..4])
        && header[4..20] == id.as_bytes()[..]
        && le_u64(header, 20) == position.segment
        && le_u64(header, 28) == position.offset;
    is_ours.then(|| le_u32(header, 36))
}

/// Whether header and payload together have the checksum that the header states.
pub(crate) fn is_whole_record(record: &[u8]) -> bool {
    let Some((header, payload)) = record.split_first_chunk::<RECORD_HEADER_LEN>() else {
        return false;
    };
    le_u32(header, 40) == checksum(&[&header[..40], payload])
}

fn le_u32<const N: usize>(bytes: &[u8; N], at: usize) -> u32 {
    let mut field = [0; 4];
    field.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(field)
}

fn le_u64<const N: usize>(bytes: &[u8; N], at: usize) -> u64 {
    let mut field = [0; 8];
    field.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: WalId = WalId::from_bytes([7; 16]);

    #[test]
    fn names_are_canonical() {
        assert_eq!(segment_name(42), "00000000000000000042.wal");
        assert_eq!(segment_of_name(&segment_name(u64::MAX)), Some(u64::MAX));
        for name in [
            "42.wal",
            "0000000000000000004x.wal",
            "99999999999999999999.wal",
            "00000000000000000042.tmp",
        ] {
            assert_eq!(segment_of_name(name), None, "{name}");
        }
    }

    #[test]
    fn segment_headers_say_whose_they_are() {
        let header = segment_header(CLEAR_VERSION, &ID, 5);
        assert_eq!(read_segment_header(&header, &ID, 5), SegmentHeader::Ours);
        assert_eq!(
            read_segment_header(&header, &ID, 6),
            SegmentHeader::Foreign { id: ID, segment: 5 }
        );
        let other = WalId::from_bytes([8; 16]);
        assert_eq!(
            read_segment_header(&header, &other, 5),
            SegmentHeader::Foreign { id: ID, segment: 5 }
        );
        assert_eq!(read_segment_header(&header[..39], &ID, 5), SegmentHeader::Missing);
        let mut newer = header;
        newer[8] = 3;
        assert_eq!(
            read_segment_header(&newer, &ID, 5),
            SegmentHeader::Missing,
            "a flipped version is damage"
        );
        let crc = checksum(&[&newer[..36]]);
        newer[36..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(read_segment_header(&newer, &ID, 5), SegmentHeader::Newer { version: 3 });
    }

    #[test]
    fn the_checksum_is_crc_32c() {
        assert_eq!(checksum(&[b"1234", b"56789"]), 0xe306_9283);
    }
}
