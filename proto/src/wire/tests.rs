//! Tests of the field reader against damaged and hostile bytes.

use proptest::prelude::*;

use super::*;

fn varint_of(bytes: &[u8]) -> Result<u64, Malformed> {
    Cursor::new(bytes).varint()
}

#[test]
fn varints_end_at_64_bits() {
    assert_eq!(
        varint_of(&[0x80, 0x80, 0x00]),
        Ok(0),
        "longer than necessary, as some writers pad"
    );
    let mut longest = [0xff; 10];
    longest[9] = 1;
    assert_eq!(varint_of(&longest), Ok(u64::MAX));
    longest[9] = 2;
    assert_eq!(
        varint_of(&longest),
        Err(Malformed {
            offset: 0,
            what: "varint of more than 64 bits"
        })
    );
    let mut padded = [0x80; 11];
    padded[10] = 0;
    assert!(varint_of(&padded).is_err(), "eleven bytes");
    for short in [&[][..], &[0x80], &[0xff; 9]] {
        assert_eq!(
            varint_of(short),
            Err(Malformed {
                offset: 0,
                what: "varint does not end"
            })
        );
    }
}

#[test]
fn impossible_keys_are_refused() {
    for bytes in [
        &[0x00][..],
        &[0x05],
        &[0x0e],
        &[0x0f],
        &[0x80, 0x00],
        &[0x8e, 0x01],
        &[0xff, 0xff, 0xff, 0xff, 0x7f],
    ] {
        assert!(Cursor::new(bytes).key().is_err(), "{bytes:x?}");
    }
    assert_eq!(Cursor::new(&[0x8a, 0x00]).key(), Ok(Some(key(1, LENGTH))));
    assert_eq!(Cursor::new(&[]).key(), Ok(None));
}

#[test]
fn lengths_stay_inside_their_message() {
    // A nested message of two bytes whose own field claims three.
    let mut outer = Cursor::new(&[2, 3, 0xaa, 0xbb, 0xcc]);
    let mut inner = outer.message().expect("two bytes are there");
    assert_eq!(outer.rest(), [0xbb, 0xcc]);
    assert_eq!(inner.bytes().expect_err("three are not").offset, 2);
    assert!(
        Cursor::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01])
            .message()
            .is_err()
    );
}

#[test]
fn groups_are_skipped_only_when_they_close() {
    let skip = |bytes: &[u8]| {
        let mut fields = Cursor::new(bytes);
        let key = fields.key().expect("a key").expect("not empty");
        fields.skip_unknown(key, &[]).map(|()| fields.offset())
    };
    let (start, end, inner) = (9 << 3 | 3, 9 << 3 | 4, 8 << 3);
    assert_eq!(skip(&[start, inner, 5, start, end, end, 1]), Ok(6));
    assert!(skip(&[start, inner, 5]).is_err(), "not closed");
    assert!(skip(&[start, 10 << 3 | 4]).is_err(), "closed by another number");
    assert!(skip(&[end]).is_err(), "not begun");
    let nested = |depth: usize| [vec![start; depth], vec![end; depth]].concat();
    assert_eq!(skip(&nested(MAX_GROUP_DEPTH)), Ok(2 * MAX_GROUP_DEPTH));
    assert!(skip(&nested(MAX_GROUP_DEPTH + 1)).is_err());
}

proptest! {
    #[test]
    fn every_step_goes_forward_and_ends(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let mut fields = Cursor::new(&bytes);
        loop {
            let before = fields.offset();
            let Ok(Some(key)) = fields.key() else { break };
            if fields.skip_unknown(key, &[]).is_err() {
                break;
            }
            prop_assert!(fields.offset() > before && fields.offset() <= bytes.len());
        }
    }

    #[test]
    fn varints_are_those_of_prost(value in any::<u64>(), tail in any::<[u8; 3]>()) {
        let mut bytes = Vec::new();
        prost::encoding::encode_varint(value, &mut bytes);
        let len = bytes.len();
        bytes.extend(tail);
        let mut fields = Cursor::new(&bytes);
        prop_assert_eq!(fields.varint(), Ok(value));
        prop_assert_eq!(fields.offset(), len);
    }
}
