//! Tests of frames: round trips, damage and limits.

use proptest::prelude::*;

use super::*;

fn framed(payloads: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    for payload in payloads {
        append_frame(&mut out, payload.len(), |out| out.extend_from_slice(payload));
    }
    out
}

#[test]
fn the_checksum_is_castagnoli_big_endian() {
    // The check value of CRC-32C.
    assert_eq!(framed(&[b"123456789".to_vec()]), b"\x09\xe3\x06\x92\x83123456789");
}

#[test]
fn a_length_above_the_limit_is_refused_before_the_payload_is_there() {
    let frame = framed(&[vec![1; 300]]);
    let error = split_frame(&frame[..2], 7, 299).expect_err("300 bytes");
    assert!(
        matches!(
            error,
            WireError::TooLarge {
                declared: 300,
                limit: 299,
                ..
            }
        ),
        "{error}"
    );
    assert!(split_frame(&[0xff; 9], 0, 299).expect("may still end").is_none());
    assert!(matches!(
        split_frame(&[0xff; 10], 7, 299),
        Err(WireError::Malformed { offset: 7, .. })
    ));
}

proptest! {
    #[test]
    fn payloads_come_back(payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..5)) {
        let bytes = framed(&payloads);
        prop_assert_eq!(bytes.len(), payloads.iter().map(|payload| frame_len(payload.len())).sum::<usize>());
        let read: Result<Vec<_>, _> = FrameReader::new(&bytes, 300).collect();
        prop_assert_eq!(read.expect("our own frames"), payloads);
    }

    #[test]
    fn a_cut_stream_is_never_taken_for_a_whole_frame(payload in proptest::collection::vec(any::<u8>(), 0..300), cut in 0.0..1.0) {
        let bytes = framed(&[payload]);
        let cut = (bytes.len() as f64 * cut) as usize;
        prop_assert!(split_frame(&bytes[..cut], 0, 300).expect("no error, only less").is_none());
        prop_assert_eq!(FrameReader::new(&bytes[..cut], 300).filter(Result::is_ok).count(), 0);
    }

    #[test]
    fn a_flipped_bit_is_never_a_payload(payload in proptest::collection::vec(any::<u8>(), 0..100), at in any::<prop::sample::Index>(), bit in 0..8) {
        let mut bytes = framed(&[payload]);
        let at = at.index(bytes.len());
        bytes[at] ^= 1u8 << bit;
        prop_assert!(FrameReader::new(&bytes, 1000).any(|frame| frame.is_err()));
    }

    #[test]
    fn random_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        prop_assert!(FrameReader::new(&bytes, 1 << 40).count() <= bytes.len());
    }
}
