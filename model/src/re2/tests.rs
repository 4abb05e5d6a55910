//! Compares every Unicode class and every case folding with digests that Go made.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

use super::node::Kind;
use super::parser::parse;
use super::unicode::{self, Property};

const DIGESTS: &str = include_str!("../../testdata/re2/classes.tsv");

/// The line that Go writes for these ranges, without surrogates.
fn digest(pattern: &str, ranges: &[(u32, u32)], points: u32) -> String {
    let mut digest = 0xcbf2_9ce4_8422_2325_u64;
    for (first, last) in ranges {
        for byte in format!("{first:x}-{last:x},").bytes() {
            digest = (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    format!("{pattern}\t{}\t{points}\t{digest:016x}", ranges.len())
}

fn digest_of_class(pattern: &str) -> String {
    let root = parse(pattern).unwrap();
    let class = match root.kind() {
        Kind::Class(class) => class.clone(),
        _ => panic!("`{pattern}` is no class"),
    };
    let mut ranges = Vec::new();
    for range in class.ranges() {
        let (first, last) = (u32::from(range.start()), u32::from(range.end()));
        if first < 0xD800 && last > 0xDFFF {
            ranges.extend([(first, 0xD7FF), (0xE000, last)]);
        } else {
            ranges.push((first, last));
        }
    }
    let points = ranges.iter().map(|(first, last)| last - first + 1).sum();
    digest(pattern, &ranges, points)
}

fn lines() -> impl Iterator<Item = (&'static str, &'static str)> {
    DIGESTS.lines().map(|line| (line.split('\t').next().unwrap(), line))
}

#[test]
fn every_class_has_the_members_that_it_has_in_go() {
    let mut compared = 0;
    let wrong: Vec<_> = lines()
        .filter(|(pattern, _)| pattern.contains(r"\p"))
        .filter(|(pattern, line)| {
            compared += 1;
            digest_of_class(pattern) != *line
        })
        .map(|(pattern, line)| format!("{line} is here {}", digest_of_class(pattern)))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(compared > 150, "only {compared} classes");
}

#[test]
fn exactly_the_undisputed_names_are_known() {
    let in_go: BTreeSet<_> = lines()
        .filter_map(|(pattern, _)| pattern.strip_prefix(r"\p{")?.strip_suffix('}'))
        .collect();
    let listed = unicode::listed_names();
    let known: BTreeSet<_> = listed
        .into_iter()
        .filter(|name| matches!(unicode::property(name), Property::Known(_)))
        .collect();
    assert_eq!(known, in_go);
}

#[test]
fn every_character_folds_as_it_does_in_go() {
    let mut folds = Vec::new();
    // No character from here on folds, so that one class stands for all of them.
    let rest = ClassUnicode::new([ClassUnicodeRange::new('\u{1F000}', char::MAX)]);
    let mut folded_rest = rest.clone();
    unicode::fold(&mut folded_rest);
    assert_eq!(folded_rest, rest);
    for code in 0..0x1_F000 {
        let Some(character) = char::from_u32(code) else {
            continue;
        };
        let mut class = ClassUnicode::new([ClassUnicodeRange::new(character, character)]);
        unicode::fold(&mut class);
        let members = class.ranges().iter().flat_map(|range| range.start()..=range.end());
        folds.extend(
            members
                .filter(|other| *other != character)
                .map(|other| (code, u32::from(other))),
        );
    }
    let (_, line) = lines().find(|(pattern, _)| *pattern == "folds").unwrap();
    let pairs = u32::try_from(folds.len()).unwrap();
    assert_eq!(digest("folds", &folds, pairs), *line);
}
