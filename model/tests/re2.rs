//! Checks the translator of label matchers against a table of patterns with the answers of Go's regexp.
//!
//! The table is made by `testdata/re2/generate`; no answer in it is written by hand.

#![expect(clippy::unwrap_used, reason = "tests")]

use emberkeep_model::{Re2, Re2Error};

const TABLE: &str = include_str!("../testdata/re2/patterns.tsv");

fn unquoted(field: &str) -> String {
    let mut text = String::new();
    let mut characters = field.chars();
    while let Some(character) = characters.next() {
        text.push(match character {
            '\\' => match characters.next().unwrap() {
                't' => '\t',
                'n' => '\n',
                'r' => '\r',
                '0' => '\0',
                other => other,
            },
            plain => plain,
        });
    }
    text
}

#[test]
fn every_row_of_the_table_has_the_answer_of_go() {
    let mut wrong = Vec::new();
    let (mut accepted, mut refused) = (0, 0);
    for line in TABLE.lines() {
        let mut fields = line.split('\t');
        let pattern = unquoted(fields.next().unwrap());
        let verdict = fields.next().unwrap();
        let re2 = match (Re2::new(&pattern), verdict) {
            (Err(Re2Error::Invalid { .. }), "refused") => {
                refused += 1;
                continue;
            }
            (Ok(re2), "ok") => re2,
            (answer, _) => {
                wrong.push(format!(
                    "{pattern:?}: Go says {line:?}, here {:?}",
                    answer.map(|_| "ok")
                ));
                continue;
            }
        };
        accepted += 1;
        for field in fields {
            let (sign, text) = field.split_at(1);
            let text = unquoted(text);
            if re2.is_match(&text) != (sign == "+") {
                wrong.push(format!("{pattern:?} on {text:?}: Go says {sign}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong: {wrong:#?}", wrong.len());
    assert!(
        accepted > 700 && refused > 200,
        "{accepted} accepted, {refused} refused"
    );
}

fn is_untranslatable(pattern: &str) -> bool {
    matches!(Re2::new(pattern), Err(Re2Error::Untranslatable { .. }))
}

#[test]
fn class_names_that_releases_of_go_disagree_about_are_untranslatable() {
    for name in [
        "greek",
        "GREEK",
        "lu",
        "Lc",
        "Letter",
        "Uppercase_Letter",
        "uppercaseletter",
        "Old_Italic",
        "ASCII",
    ] {
        assert!(is_untranslatable(&format!(r"\p{{{name}}}")), "{name}");
        assert!(is_untranslatable(&format!(r"[a\P{{^{name}}}]")), "{name}");
    }
    assert!(is_untranslatable(r"\pl"));
}

#[test]
fn surrogates_are_untranslatable_and_no_class_has_them() {
    assert!(is_untranslatable(r"\x{D800}"));
    assert!(is_untranslatable(r"[\x{D7FF}-\x{DFFF}]"));
    assert!(Re2::new(r"[\x{D7FF}-\x{E000}]+").unwrap().is_match("\u{D7FF}\u{E000}"));
}

#[test]
fn an_invalid_pattern_is_invalid_even_behind_something_untranslatable() {
    assert!(matches!(Re2::new(r"\p{greek}("), Err(Re2Error::Invalid { .. })));
    assert!(matches!(Re2::new(r"[\x{D800}"), Err(Re2Error::Invalid { .. })));
}

#[test]
fn errors_say_what_and_where() {
    assert_eq!(
        Re2::new("ab**").unwrap_err().to_string(),
        "invalid regular expression, a repetition of a repetition at byte 3: `*`"
    );
    assert_eq!(
        Re2::new(r"é[z-a]").unwrap_err().to_string(),
        "invalid regular expression, a range that ends before it begins at byte 3: `z-a]`"
    );
    assert_eq!(
        Re2::new(r"a\p{greek}").unwrap_err().to_string(),
        r"unsupported regular expression, a Unicode class name that releases of Go disagree about at byte 1: `\p{greek}`"
    );
}

#[test]
fn long_lists_of_alternatives_are_matched_exactly() {
    let hosts: Vec<String> = (0..5000).map(|host| format!("host-{host}.example.org")).collect();
    for separator in ["|", "|()"] {
        let re2 = Re2::new(&hosts.join(separator).replace('.', r"\.")).unwrap();
        assert!(hosts.iter().all(|host| re2.is_match(host)));
        for other in [
            "",
            "host-",
            "host-5000.example.org",
            "host-1.example.or",
            "host-1xexample.org",
            "xhost-1.example.org",
        ] {
            assert!(!re2.is_match(other), "{other}");
        }
    }
}

/// Hostile patterns must end in an error or a program, on the stack of a worker thread, and soon.
#[test]
fn hostile_patterns_are_bounded() {
    let nested = |open: &str, close: &str, depth: usize| format!("{}a{}", open.repeat(depth), close.repeat(depth));
    // Go opens any number of groups without captures, and they do not nest.
    assert!(Re2::new(&nested("(?:", ")", 900)).unwrap().is_match("a"));
    assert!(Re2::new(&nested("(", ")", 900)).unwrap().is_match("a"));
    assert!(Re2::new(&nested("(?:", "*)", 95)).unwrap().is_match("aaa"));
    assert!(
        Re2::new(&nested("(?:b|c(?:", ")+)", 30))
            .unwrap()
            .is_match(&format!("{}a", "c".repeat(30)))
    );
    assert!(Re2::new(&nested("(b|", ")", 95)).unwrap().is_match("b"));
    assert!(Re2::new(&nested("(?:x", "y)*", 45)).unwrap().is_match(""));
    for pattern in [
        nested("(", ")", 100_000),
        nested("(?:", ")*", 100_000),
        nested("(?:", "*)", 110),
        "(".repeat(1 << 20),
        "a".repeat((1 << 20) + 1),
        r"\pL".repeat(100_000),
        format!("(?i){}", "k".repeat(200_000)),
        r"(?:\pL{100}){10}".to_owned(),
        format!("(?:{}){{1000}}", "()".repeat(3000)),
        format!("(?:{}){{1000}}", "abc".repeat(3000)),
        (1..600).map(|length| "ab".repeat(length)).collect::<Vec<_>>().join("|"),
    ] {
        assert!(is_untranslatable(&pattern), "{:.40}", pattern);
    }
}
