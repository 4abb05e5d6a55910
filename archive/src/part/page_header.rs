//! What pages claim of themselves, looked at before a decoder believes it and makes room.
//!
//! A page of a few bytes can claim two thousand million list elements, all of them one run. The decoder would hold them before it
//! noticed that there are no values for them. Only the sizes are read here; everything else is the decoder's to judge.

use std::ops::Range;

use parquet::errors::ParquetError;

use super::varint::put_zigzag;
use crate::keys::{NONCE_BYTES, TAG_BYTES};

/// Bytes of one decompressed page, at most: what Parquet can say. The writer ends a page at 1 MiB; only a single row makes one larger,
/// and whatever was written must be read again.
const MOST_BYTES: i64 = i32::MAX as i64;

/// Values of one page, elements of its lists counted one by one, at most: as many buckets as fit into such a page.
const MOST_VALUES: i64 = MOST_BYTES / 8;

/// No ZSTD block becomes more than 128 KiB, and none has less than 4 bytes.
const MOST_TIMES_COMPRESSED: u64 = (128 << 10) / 4;

/// Checks all pages of a stretch of a column chunk. The stretch begins and ends with a page.
pub(super) fn check_pages(bytes: &[u8]) -> Result<(), &'static str> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let mut header = Compact { rest };
        let (mut decompressed, mut compressed, mut values, mut is_whole) = (None, None, None, true);
        let read = header.read_struct(0, 0, &mut |outer, field, number, _| match (outer, field) {
            (0, 2) => decompressed = Some(number),
            (0, 3) => compressed = Some(number),
            // Of data pages and dictionaries.
            (5 | 7, 1) => values = Some(number),
            // Of data pages of the second kind, which begin with levels that are not compressed.
            (8, 1) => (values, is_whole) = (Some(number), false),
            _ => {}
        });
        read.ok_or("a page header cannot be read")?;
        let (Some(bytes @ 0..=MOST_BYTES), Some(0..=MOST_VALUES)) = (decompressed, values) else {
            return Err("a page claims more than a page can hold");
        };
        let split = compressed.and_then(|length| header.rest.split_at_checked(usize::try_from(length).ok()?));
        let (content, after) = split.ok_or("a page is longer than its place")?;
        if is_whole && !can_become(content, bytes.cast_unsigned()) {
            return Err("a page claims another size than its content has");
        }
        rest = after;
    }
    Ok(())
}

/// Whether a page's content can be as many bytes as it claims: it is not compressed, or its ZSTD frame says the same.
fn can_become(content: &[u8], bytes: u64) -> bool {
    let length = content.len() as u64;
    if length == bytes {
        return true;
    }
    match zstd::zstd_safe::get_frame_content_size(content) {
        Ok(Some(size)) => size == bytes,
        Ok(None) => bytes <= length.saturating_mul(MOST_TIMES_COMPRESSED),
        Err(_) => false,
    }
}

/// A page header that the writer of this process made.
pub(super) struct PageHead {
    /// Length of the header.
    pub(super) bytes: usize,
    /// Length of what follows it.
    pub(super) content_bytes: usize,
    pub(super) is_dictionary: bool,
    /// Where in the header that length stands.
    length_at: Range<usize>,
}

impl PageHead {
    /// The header at the front of the bytes.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        const DICTIONARY: i64 = 2;
        let mut header = Compact { rest: bytes };
        let (mut kind, mut content) = (None, None);
        header.read_struct(0, 0, &mut |outer, field, number, left| match (outer, field) {
            (0, 1) => kind = Some(number),
            (0, 3) => content = Some((number, bytes.len() - left.start..bytes.len() - left.end)),
            _ => {}
        })?;
        let (content_bytes, length_at) = content?;
        Some(Self {
            bytes: bytes.len() - header.rest.len(),
            content_bytes: usize::try_from(content_bytes).ok()?,
            is_dictionary: kind? == DICTIONARY,
            length_at,
        })
    }

    /// The header's bytes, with another length of what follows.
    pub(super) fn with_content_bytes(&self, header: &[u8], content_bytes: usize) -> Result<Vec<u8>, ParquetError> {
        let too_long = |_| ParquetError::General("a page is longer than Parquet can say".to_owned());
        let length = i32::try_from(content_bytes).map_err(too_long)?;
        let mut changed = header[..self.length_at.start].to_vec();
        put_zigzag(&mut changed, i64::from(length));
        changed.extend_from_slice(&header[self.length_at.end..]);
        Ok(changed)
    }
}

/// How the values of a page are encoded; only what our own writers use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PageEncoding {
    Plain,
    Delta,
    /// Numbers of values in the dictionary before it.
    Indices,
}

/// A page of the first version as it lies in a file: what its header says, and what follows it.
pub(super) struct WrittenPage<'a> {
    pub(super) is_dictionary: bool,
    pub(super) encoding: PageEncoding,
    /// Values and nulls.
    pub(super) values: usize,
    pub(super) decompressed_bytes: usize,
    pub(super) content: &'a [u8],
}

impl<'a> WrittenPage<'a> {
    /// The page that the bytes are. `None` for anything else, also for a page that only other writers make.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        const RLE: i64 = 3;
        let mut header = Compact { rest: bytes };
        let (mut kind, mut decompressed, mut compressed) = (None, None, None);
        let (mut values, mut encoding, mut levels) = (None, None, [RLE; 2]);
        header.read_struct(0, 0, &mut |outer, field, number, _| match (outer, field) {
            (0, 1) => kind = Some(number),
            (0, 2) => decompressed = Some(number),
            (0, 3) => compressed = Some(number),
            (5 | 7, 1) => values = Some(number),
            (5 | 7, 2) => encoding = Some(number),
            (5, 3) => levels[0] = number,
            (5, 4) => levels[1] = number,
            _ => {}
        })?;
        let is_dictionary = match kind? {
            0 => false,
            2 => true,
            _ => return None,
        };
        let encoding = match encoding? {
            0 => PageEncoding::Plain,
            2 if is_dictionary => PageEncoding::Plain,
            5 => PageEncoding::Delta,
            2 | 8 => PageEncoding::Indices,
            _ => return None,
        };
        let size = |number: i64| usize::try_from(number).ok();
        (levels == [RLE; 2] && size(compressed?)? == header.rest.len()).then_some(())?;
        Some(Self {
            is_dictionary,
            encoding,
            values: size(values?)?,
            decompressed_bytes: size(decompressed?)?,
            content: header.rest,
        })
    }
}

/// Checks the modules of a stretch of an encrypted column chunk, which begins and ends with one: a decoder makes room for what a length says
/// before it finds out.
pub(super) fn check_modules(bytes: &[u8]) -> Result<(), &'static str> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk().ok_or("an encrypted page is cut")?;
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        if length < NONCE_BYTES + TAG_BYTES {
            return Err("an encrypted page is too short to be one");
        }
        rest = after
            .get(length..)
            .ok_or("an encrypted page is longer than its place")?;
    }
    Ok(())
}

/// Takes what a number belongs to, the number, and how many bytes are left before and behind it.
type See<'s> = dyn FnMut(i16, i16, i64, Range<usize>) + 's;

/// Thrift's compact protocol, as far as page headers go.
struct Compact<'a> {
    rest: &'a [u8],
}

impl Compact<'_> {
    /// Reads a structure that is field `outer` of the one around it (0 for the outermost) and tells its numbers and those of structures
    /// inside, with their field and how many bytes are left before and behind them. `None` for what is no page header.
    fn read_struct(&mut self, outer: i16, depth: u8, see: &mut See<'_>) -> Option<()> {
        let mut field = 0_i16;
        loop {
            let byte = self.byte()?;
            if byte & 0x0f == 0 {
                return Some(());
            }
            field = match byte >> 4 {
                0 => i16::try_from(self.number()?).ok()?,
                step => field.checked_add(i16::from(step))?,
            };
            match byte & 0x0f {
                1 | 2 => {}
                3 => drop(self.byte()?),
                4..=6 => {
                    let before = self.rest.len();
                    let number = self.number()?;
                    if depth <= 1 {
                        see(outer, field, number, before..self.rest.len());
                    }
                }
                7 => self.skip(8)?,
                8 => {
                    let length = usize::try_from(self.uvarint()?).ok()?;
                    self.skip(length)?;
                }
                12 if depth < 3 => self.read_struct(field, depth + 1, see)?,
                _ => return None,
            }
        }
    }

    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(byte)
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        self.rest = self.rest.get(count..)?;
        Some(())
    }

    fn uvarint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn number(&mut self) -> Option<i64> {
        let raw = self.uvarint()?;
        Some((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn zigzag(number: i64) -> Vec<u8> {
        let mut raw = ((number << 1) ^ (number >> 63)).cast_unsigned();
        let mut bytes = Vec::new();
        while raw >= 0x80 {
            bytes.push(raw as u8 | 0x80);
            raw >>= 7;
        }
        bytes.push(raw as u8);
        bytes
    }

    /// A data page: type, sizes, and a header with values, encodings and statistics.
    fn page(decompressed: i64, body: &[u8], values: i64) -> Vec<u8> {
        let mut bytes = vec![0x15, 0];
        for number in [decompressed, i64::try_from(body.len()).unwrap()] {
            bytes.push(0x15);
            bytes.extend(zigzag(number));
        }
        bytes.extend([0x2c, 0x15]);
        bytes.extend(zigzag(values));
        // Encoding, and a structure of statistics with a text and a number that looks like the first field.
        bytes.extend([0x15, 0, 0x3c, 0x16, 99, 0x18, 1, b'x', 0, 0, 0]);
        bytes.extend(body);
        bytes
    }

    #[test]
    fn pages_are_believed_up_to_what_a_page_can_hold() {
        let compressed = zstd::bulk::compress(&[7; 1 << 20], 3).unwrap();
        let two = [page(3, b"abc", 7), page(1 << 20, &compressed, 20_000)].concat();
        assert_eq!(check_pages(&two), Ok(()));
        assert_eq!(check_pages(&[]), Ok(()));
        let more = "a page claims more than a page can hold";
        let other = "a page claims another size than its content has";
        for (claim, reason) in [
            (page(1 << 31, b"abc", 7), more),
            (page(3, b"abc", i64::from(i32::MAX)), more),
            (page(3, b"abc", -1), more),
            (page(4, b"abc", 7), other),
            (page((1 << 20) + 1, &compressed, 7), other),
            (page(100 << 20, &compressed, 7), other),
        ] {
            let after_a_good_one = [page(1, b"x", 1), claim].concat();
            assert_eq!(check_pages(&after_a_good_one), Err(reason));
        }
        let cut = &two[..two.len() - 1];
        assert!(check_pages(cut).is_err());
    }

    #[test]
    fn a_frame_that_does_not_say_its_size_is_believed_as_far_as_zstd_goes() {
        let mut frame = Vec::new();
        let mut encoder = zstd::Encoder::new(&mut frame, 3).unwrap();
        std::io::Write::write_all(&mut encoder, &[7; 1 << 20]).unwrap();
        encoder.finish().unwrap();
        assert_eq!(zstd::zstd_safe::get_frame_content_size(&frame).unwrap(), None);
        assert_eq!(check_pages(&page(1 << 20, &frame, 7)), Ok(()));
        assert!(check_pages(&page(500 << 20, &frame, 7)).is_err());
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = check_pages(&bytes);
        }

        #[test]
        fn damage_never_panics(at: prop::sample::Index, change in 1_u8..=255) {
            let mut bytes = page(1000, &[7; 30], 1000);
            let at = at.index(bytes.len());
            bytes[at] ^= change;
            let _ = check_pages(&bytes);
        }
    }
}
