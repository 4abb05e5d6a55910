//! A bound on the height that Go's factoring of alternatives adds to a tree.
//!
//! Go rewrites `abc|abd` to `ab[cd]` while it parses, and limits the height of what comes out. The bound must never be
//! lower than what Go gets, or a pattern would be accepted that Go refuses.

use super::{Kind, Node};

/// How many levels Go can add by taking common prefixes out of neighbouring alternatives: two for every part of the
/// longest common prefix and two for every place where prefixes part.
pub(super) fn factored_height(alternatives: &[Node]) -> u32 {
    let mut lengths: Vec<usize> = Vec::new();
    let mut most_parts = 0;
    for pair in alternatives.windows(2) {
        let (parts, length) = common_prefix(pair[0].sequence(), pair[1].sequence());
        most_parts = most_parts.max(parts);
        if length > 0 {
            lengths.push(length);
        }
    }
    lengths.sort_unstable();
    lengths.dedup();
    u32::try_from(2 * (lengths.len() + most_parts)).unwrap_or(u32::MAX)
}

/// The common prefix of two sequences, in parts and in characters, where a part that is no literal is one character.
fn common_prefix(left: &[Node], right: &[Node]) -> (usize, usize) {
    let (mut parts, mut length) = (0, 0);
    for (left, right) in left.iter().zip(right) {
        match (&left.kind, &right.kind) {
            (Kind::Literal(one), Kind::Literal(other)) => {
                let common = one.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
                if common > 0 {
                    parts += 1;
                    length += common;
                }
                if one != other {
                    break;
                }
            }
            _ if left == right => {
                parts += 1;
                length += 1;
            }
            _ => break,
        }
    }
    (parts, length)
}
