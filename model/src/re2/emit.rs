//! Writes a parsed pattern in the syntax of the `regex` crate, or in that of Java.
//!
//! Only syntax that means the same in every mode is written: escaped literals, classes as explicit code point ranges,
//! and assertions with their flags spelled out. Nothing of the original text is ever copied.

use std::fmt::Write as _;

use regex_syntax::hir::ClassUnicode;

use super::RegexSyntax;
use super::node::{Kind, Look, Node};

/// The pattern that matches when `root` matches the whole text.
pub(super) fn anchored(root: &Node, syntax: RegexSyntax) -> String {
    let mut out = String::from(r"\A");
    write_part(&mut out, root, syntax);
    out.push_str(r"\z");
    out
}

/// Writes `node` so that whatever comes before and after cannot join it.
fn write_part(out: &mut String, node: &Node, syntax: RegexSyntax) {
    if matches!(node.kind(), Kind::Class(_)) {
        write_node(out, node, syntax);
    } else {
        out.push_str("(?:");
        write_node(out, node, syntax);
        out.push(')');
    }
}

fn write_node(out: &mut String, node: &Node, syntax: RegexSyntax) {
    match node.kind() {
        Kind::Empty => {}
        Kind::Literal(text) => write_literal(out, text, syntax),
        Kind::Class(class) => write_class(out, class),
        Kind::Look(look) => out.push_str(written_look(*look, syntax)),
        Kind::Repeat { sub, min, max } => {
            write_part(out, sub, syntax);
            write_bounds(out, *min, *max);
        }
        Kind::Concat(items) => {
            for item in items {
                match item.kind() {
                    Kind::Alternate(_) | Kind::Concat(_) => write_part(out, item, syntax),
                    _ => write_node(out, item, syntax),
                }
            }
        }
        Kind::Alternate(alternatives) => {
            for (index, alternative) in alternatives.iter().enumerate() {
                if index > 0 {
                    out.push('|');
                }
                write_node(out, alternative, syntax);
            }
        }
    }
}

fn write_bounds(out: &mut String, min: u32, max: Option<u32>) {
    let written = match max {
        Some(max) => write!(out, "{{{min},{max}}}"),
        None => write!(out, "{{{min},}}"),
    };
    written.expect("writing to a string cannot fail");
}

fn write_class(out: &mut String, class: &ClassUnicode) {
    if class.ranges().is_empty() {
        out.push_str(r"[^\x{0}-\x{10FFFF}]");
        return;
    }
    out.push('[');
    for range in class.ranges() {
        write!(
            out,
            r"\x{{{:X}}}-\x{{{:X}}}",
            u32::from(range.start()),
            u32::from(range.end())
        )
        .expect("writing to a string cannot fail");
    }
    out.push(']');
}

fn write_literal(out: &mut String, text: &str, syntax: RegexSyntax) {
    match syntax {
        RegexSyntax::Rust => regex_syntax::escape_into(text, out),
        RegexSyntax::Java => {
            for c in text.chars() {
                write!(out, r"\x{{{:X}}}", u32::from(c)).expect("writing to a string cannot fail");
            }
        }
    }
}

/// Line ends are those of Go, which knows `\n` only, and word characters are ASCII. Java's own assertions know more of both, so there they
/// are looks at one character.
fn written_look(look: Look, syntax: RegexSyntax) -> &'static str {
    match (look, syntax) {
        (Look::TextStart, _) => r"\A",
        (Look::TextEnd, _) => r"\z",
        (Look::LineStart, RegexSyntax::Rust) => "(?m:^)",
        (Look::LineEnd, RegexSyntax::Rust) => "(?m:$)",
        (Look::WordBoundary, RegexSyntax::Rust) => r"(?-u:\b)",
        (Look::NotWordBoundary, RegexSyntax::Rust) => r"(?-u:\B)",
        (Look::LineStart, RegexSyntax::Java) => r"(?:\A|(?<=\x{A}))",
        (Look::LineEnd, RegexSyntax::Java) => r"(?:\z|(?=\x{A}))",
        (Look::WordBoundary, RegexSyntax::Java) => {
            "(?:(?<=[0-9A-Za-z_])(?![0-9A-Za-z_])|(?<![0-9A-Za-z_])(?=[0-9A-Za-z_]))"
        }
        (Look::NotWordBoundary, RegexSyntax::Java) => {
            "(?:(?<=[0-9A-Za-z_])(?=[0-9A-Za-z_])|(?<![0-9A-Za-z_])(?![0-9A-Za-z_]))"
        }
    }
}
