//! Unicode classes and case folding as Go knows them.
//!
//! Go up to 1.26 has the tables of Unicode 15.0, the `regex` crate has later ones. What came later is taken out here,
//! so that a pattern matches the same characters on both sides; `tests` compares every class and every folding with a
//! digest made by Go.

mod names;

use std::sync::LazyLock;

use names::{ALIASES, CATEGORIES, FOLDED, SCRIPTS};
use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, HirKind};

/// Every code point that Unicode 15.0 assigns.
static ASSIGNED: LazyLock<ClassUnicode> = LazyLock::new(|| table(r"\p{age:15.0}"));

/// Characters of Unicode 15.0 that fold since 15.1 only.
const FOLDS_SINCE_15_1: [char; 6] = ['\u{390}', '\u{3B0}', '\u{1FD3}', '\u{1FE3}', '\u{FB05}', '\u{FB06}'];

/// A character that went from the category `Mn` to `Mc` in Unicode 16.0.
const MN_UNTIL_15_1: char = '\u{1171E}';

/// What Go knows by the name in `\p{name}`.
#[derive(Debug)]
pub(super) enum Property {
    /// Every Go release that Prometheus is built with knows it.
    Known(ClassUnicode),
    /// Go 1.25 began to ignore case and punctuation in names and to know aliases, and lost the scripts with an
    /// underscore in their name; Prometheus parses patterns with a copy of the older rules.
    Disputed,
    Unknown,
}

/// Every listed name, for the test that compares them with Go.
#[cfg(test)]
pub(super) fn listed_names() -> Vec<&'static str> {
    [CATEGORIES, SCRIPTS, ALIASES].concat()
}

/// The class of a general category, of a script or of `Any`.
pub(super) fn property(name: &str) -> Property {
    let canonical = canonical(name);
    if canonical == name || name == "LC" {
        if name == "Any" {
            return Property::Known(full());
        }
        if CATEGORIES.contains(&name) {
            return Property::Known(category(name));
        }
        if SCRIPTS.contains(&name) {
            return Property::Known(assigned_only(table(&format!(r"\p{{sc={name}}}"))));
        }
    }
    let known = |names: &[&str]| {
        names
            .iter()
            .any(|known| *known == name || self::canonical(known) == canonical)
    };
    if known(CATEGORIES) || known(SCRIPTS) || known(ALIASES) {
        Property::Disputed
    } else {
        Property::Unknown
    }
}

/// The class that `(?i)` makes of the property `name`. Go folds those only for which it has a table of the folding.
pub(super) fn folded_property(name: &str, mut class: ClassUnicode) -> ClassUnicode {
    if FOLDED.contains(&name) {
        fold(&mut class);
    }
    class
}

/// Adds every character that simple case folding makes equal to a member.
pub(super) fn fold(class: &mut ClassUnicode) {
    let mut folded = class.clone();
    folded.intersect(&ASSIGNED);
    folded.difference(&ClassUnicode::new(
        FOLDS_SINCE_15_1.map(|c| ClassUnicodeRange::new(c, c)),
    ));
    folded.case_fold_simple();
    folded.intersect(&ASSIGNED);
    class.union(&folded);
}

/// The name in the form in which Go 1.25 looks it up.
fn canonical(name: &str) -> String {
    let letters = name.chars().filter(|c| !matches!(c, '_' | '-' | ' '));
    letters
        .enumerate()
        .map(|(i, c)| {
            if i == 0 {
                c.to_ascii_uppercase()
            } else {
                c.to_ascii_lowercase()
            }
        })
        .collect()
}

fn category(name: &str) -> ClassUnicode {
    let mut class = match name {
        // No text holds surrogates.
        "Cs" => return ClassUnicode::empty(),
        "C" | "Cn" => {
            let mut unassigned = ASSIGNED.clone();
            unassigned.negate();
            unassigned.union(&table(&format!(r"\p{{gc={name}}}")));
            return unassigned;
        }
        _ => table(&format!(r"\p{{gc={name}}}")),
    };
    let recategorized = ClassUnicode::new([ClassUnicodeRange::new(MN_UNTIL_15_1, MN_UNTIL_15_1)]);
    match name {
        "Mn" => class.union(&recategorized),
        "Mc" => class.difference(&recategorized),
        _ => {}
    }
    assigned_only(class)
}

fn assigned_only(mut class: ClassUnicode) -> ClassUnicode {
    class.intersect(&ASSIGNED);
    class
}

fn full() -> ClassUnicode {
    ClassUnicode::new([ClassUnicodeRange::new('\0', char::MAX)])
}

/// The class that a pattern of the `regex` crate stands for.
fn table(pattern: &str) -> ClassUnicode {
    let hir = regex_syntax::parse(pattern).expect("only names that the tests have seen to be known are asked for");
    match hir.into_kind() {
        HirKind::Class(Class::Unicode(class)) => class,
        // A class of one character comes as a literal.
        HirKind::Literal(literal) => {
            let members = std::str::from_utf8(&literal.0).unwrap_or_default().chars();
            ClassUnicode::new(members.map(|c| ClassUnicodeRange::new(c, c)))
        }
        _ => ClassUnicode::empty(),
    }
}
