//! Snappy blocks with a bound. A block names its own decompressed size, so the bound is checked before anything is allocated.
//!
//! It must never allocate what a sender declares without having compared it with the limit.

use snap::raw::{Decoder, Encoder, decompress_len};

use crate::WireError;

/// No element of a block makes more than 64 bytes out of 3, so a block cannot grow by more than this factor.
const MAX_GROWTH: usize = 22;

/// Decompresses the block `body` into `out`, whose content is replaced and whose capacity is reused. `limit` is in bytes.
///
/// # Errors
/// [`WireError::TooLarge`] when the declared length is above `limit`, before any allocation; [`WireError::Malformed`] when the block is corrupt.
/// `out` is then empty.
#[inline(never)]
pub fn decompress_capped(body: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), WireError> {
    let decompressed = decompress_into(body, limit, out);
    if decompressed.is_err() {
        out.clear();
    }
    decompressed
}

/// Leaves anything in `out` when it fails. Does not clear first: bytes already there need not be zeroed before they are overwritten.
fn decompress_into(body: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), WireError> {
    let corrupt = |what| WireError::Malformed { offset: 0, what };
    let too_large = |declared| WireError::TooLarge {
        what: "decompressed body",
        declared,
        limit: limit as u64,
    };
    if body.is_empty() {
        // The library takes it for a block of nothing, which would be a body of one byte.
        return Err(corrupt("the body is empty, not a snappy block"));
    }
    let declared = match decompress_len(body) {
        Ok(declared) if declared > limit => return Err(too_large(declared as u64)),
        Ok(declared) if declared / MAX_GROWTH > body.len() => {
            return Err(corrupt("the snappy block declares more than its size can hold"));
        }
        Ok(declared) => declared,
        Err(snap::Error::TooBig { given, .. }) => return Err(too_large(given)),
        Err(_) => return Err(corrupt("no snappy block: its length header is not valid")),
    };
    out.resize(declared, 0);
    let written = Decoder::new()
        .decompress(body, out)
        .map_err(|_| corrupt("the snappy block is corrupt"))?;
    out.truncate(written);
    Ok(())
}

/// The decompressed length in bytes that a block declares, to reserve a budget before it is decompressed.
///
/// # Errors
/// [`WireError::Malformed`] when its length header is not valid.
pub fn declared_len(body: &[u8]) -> Result<usize, WireError> {
    decompress_len(body).map_err(|_| WireError::Malformed {
        offset: 0,
        what: "no snappy block: its length header is not valid",
    })
}

/// Compresses `body` into a snappy block.
///
/// # Panics
/// When `body` has 4 GiB or more, which the format cannot say. Answers are bounded far below.
#[must_use]
pub fn compress(body: &[u8]) -> Vec<u8> {
    Encoder::new()
        .compress_vec(body)
        .expect("only a body of 4 GiB or more is refused")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_declared_length_above_the_limit_allocates_nothing() {
        let block = compress(&[7; 1001]);
        let mut out = Vec::new();
        let error = decompress_capped(&block, 1000, &mut out).expect_err("above the limit");
        assert!(
            matches!(
                error,
                WireError::TooLarge {
                    declared: 1001,
                    limit: 1000,
                    ..
                }
            ),
            "{error}"
        );
        assert_eq!(out.capacity(), 0);
        decompress_capped(&block, 1001, &mut out).expect("exactly the limit");
        assert_eq!(out, [7; 1001]);
    }

    #[test]
    fn wrong_length_headers_are_malformed() {
        let mut block = compress(b"hello hello hello");
        let mut out = vec![1, 2, 3];
        for first in [b'0', 0] {
            block[0] = first;
            let error = decompress_capped(&block, 1 << 20, &mut out).expect_err("length is wrong");
            assert!(matches!(error, WireError::Malformed { .. }), "{error}");
            assert!(out.is_empty());
        }
        // 0x80 0x80 0x40 declares 1 MiB, of which four bytes can hold nothing near.
        for body in [&[][..], &[0xff; 12], &[0x80, 0x80, 0x40, 0]] {
            let error = decompress_capped(body, usize::MAX, &mut out).expect_err("no block");
            assert!(matches!(error, WireError::Malformed { .. }), "{error}");
        }
    }

    proptest! {
        #[test]
        fn what_was_compressed_comes_back(body in proptest::collection::vec(any::<u8>(), 0..3000)) {
            let mut out = vec![9; 17];
            decompress_capped(&compress(&body), 3000, &mut out).expect("our own block");
            prop_assert_eq!(out, body);
        }

        #[test]
        fn no_bytes_make_it_panic_or_pass_the_limit(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut out = Vec::new();
            let _ = decompress_capped(&body, 500, &mut out);
            prop_assert!(out.len() <= 500 && out.capacity() <= 500);
        }
    }
}
