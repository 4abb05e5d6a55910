//! Writes a parsed pattern in the syntax of the `regex` crate.
//!
//! Only syntax that means the same in every mode is written: escaped literals, classes as explicit code point ranges,
//! and assertions with their flags spelled out. Nothing of the original text is ever copied.

use std::fmt::Write as _;

use regex_syntax::hir::ClassUnicode;

use super::node::{Kind, Look, Node};

/// The pattern that matches when `root` matches the whole text.
pub(super) fn anchored(root: &Node) -> String {
    let mut out = String::from(r"\A");
    write_part(&mut out, root);
    out.push_str(r"\z");
    out
}

/// Writes `node` so that whatever comes before and after cannot join it.
fn write_part(out: &mut String, node: &Node) {
    if matches!(node.kind(), Kind::Class(_)) {
        write_node(out, node);
    } else {
        out.push_str("(?:");
        write_node(out, node);
        out.push(')');
    }
}

fn write_node(out: &mut String, node: &Node) {
    match node.kind() {
        Kind::Empty => {}
        Kind::Literal(text) => regex_syntax::escape_into(text, out),
        Kind::Class(class) => write_class(out, class),
        Kind::Look(look) => out.push_str(written_look(*look)),
        Kind::Repeat { sub, min, max } => {
            write_part(out, sub);
            write_bounds(out, *min, *max);
        }
        Kind::Concat(items) => {
            for item in items {
                match item.kind() {
                    Kind::Alternate(_) | Kind::Concat(_) => write_part(out, item),
                    _ => write_node(out, item),
                }
            }
        }
        Kind::Alternate(alternatives) => {
            for (index, alternative) in alternatives.iter().enumerate() {
                if index > 0 {
                    out.push('|');
                }
                write_node(out, alternative);
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

/// Line ends are those of Go, which knows `\n` only, and word characters are ASCII.
fn written_look(look: Look) -> &'static str {
    match look {
        Look::TextStart => r"\A",
        Look::TextEnd => r"\z",
        Look::LineStart => "(?m:^)",
        Look::LineEnd => "(?m:$)",
        Look::WordBoundary => r"(?-u:\b)",
        Look::NotWordBoundary => r"(?-u:\B)",
    }
}
