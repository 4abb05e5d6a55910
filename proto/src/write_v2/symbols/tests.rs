//! Tests of the symbol table's bounds, which only its own fields show.

use super::*;
use crate::wire::{LENGTH, key};

fn table(body: &[u8]) -> Symbols<'_> {
    let mut symbols = Symbols::new(body);
    let mut fields = Cursor::new(body);
    while let Some(found) = fields.key().expect("well formed") {
        assert_eq!(found, key(4, LENGTH));
        symbols.push(&mut fields).expect("well formed");
    }
    symbols
}

#[test]
fn the_smallest_symbols_cost_at_most_twice_the_body_and_the_reserve() {
    for n in [1_000, 65_536, 65_537, 300_000] {
        let body = [0x22, 0].repeat(n);
        let symbols = table(&body);
        assert_eq!(symbols.len(), n);
        assert_eq!(size_of_val(symbols.places.as_slice()), 2 * body.len());
        // A list that grows keeps at most as much in reserve.
        assert!(symbols.places.capacity() * size_of::<u32>() <= 4 * body.len());
        assert!(symbols.iter().all(<[u8]>::is_empty));
    }
}

#[test]
fn a_symbol_is_a_piece_of_the_body_and_never_a_copy() {
    let body = [&[0x22, 0, 0x22, 3][..], b"abc", &[0x22, 1], b"d"].concat();
    let symbols = table(&body);
    assert_eq!(symbols.iter().collect::<Vec<_>>(), [&b""[..], b"abc", b"d"]);
    let found = symbols.get(1).expect("it is there");
    assert_eq!(found.as_ptr(), body[4..].as_ptr());
    assert_eq!(symbols.get(3), None);
    assert_eq!(symbols.get(u32::MAX), None);
}
