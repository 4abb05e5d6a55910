//! The two small structures that the parquet crate does not write for others, in Thrift's compact protocol.

use super::signed;
use crate::part::varint::{put_uvarint, put_zigzag};

const END: u8 = 0;
/// A field with the number after that of the field before it, by type.
const NEXT_I32: u8 = 0x15;
const NEXT_I64: u8 = 0x16;
const NEXT_BINARY: u8 = 0x18;
const NEXT_LIST: u8 = 0x19;
const NEXT_STRUCT: u8 = 0x1c;
/// The second field where the first is left out.
const SECOND_BINARY: u8 = 0x28;
const OF_STRUCTS: u8 = 0x0c;

/// `OffsetIndex`: for each page its offset, its length and its first row.
pub(super) fn offset_index(pages: impl ExactSizeIterator<Item = (u64, u64, i64)>) -> Vec<u8> {
    let mut out = vec![NEXT_LIST];
    match u8::try_from(pages.len()) {
        Ok(count @ 0..15) => out.push(count << 4 | OF_STRUCTS),
        _ => {
            out.push(0xf0 | OF_STRUCTS);
            put_uvarint(&mut out, pages.len() as u64);
        }
    }
    for (offset, bytes, first_row) in pages {
        out.push(NEXT_I64);
        put_zigzag(&mut out, signed(offset));
        out.push(NEXT_I32);
        put_zigzag(&mut out, signed(bytes));
        out.push(NEXT_I64);
        put_zigzag(&mut out, first_row);
        out.push(END);
    }
    out.push(END);
    out
}

/// `FileCryptoMetaData` with `AES_GCM_V1`.
pub(super) fn file_crypto_metadata(identity: &[u8], key_metadata: &[u8]) -> Vec<u8> {
    // The algorithm: a union, whose first member has no AAD prefix.
    let mut out = vec![NEXT_STRUCT, NEXT_STRUCT, SECOND_BINARY];
    put_binary(&mut out, identity);
    out.extend([END, END, NEXT_BINARY]);
    put_binary(&mut out, key_metadata);
    out.push(END);
    out
}

fn put_binary(out: &mut Vec<u8>, bytes: &[u8]) {
    put_uvarint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}
