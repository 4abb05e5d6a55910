//! Regular expressions of label matchers: Go's RE2 dialect, fully anchored, run by the `regex` crate.
//!
//! The two dialects agree on most patterns and silently disagree on others (`\d` is ASCII in Go, `[a&&b]` is an
//! intersection in Rust), so a pattern is never handed on as text. It is parsed by Go's rules into a tree and written
//! out again with explicit classes, see `emit`.
//! This must never guess: what Go refuses is refused, and so is what cannot be translated exactly.

mod emit;
mod node;
mod parser;
#[cfg(test)]
mod tests;
mod unicode;

use node::{Kind, Node};
use regex::{Regex, RegexBuilder};

/// The most bytes that a compiled pattern may take.
const MAX_PROGRAM_BYTES: usize = 32 << 20;

/// The deepest nesting of the written pattern: a level of the tree writes at most a group and two operators.
const MAX_WRITTEN_NESTING: u32 = 3 * node::MAX_DEPTH + 8;

/// The most characters of a pattern that an error repeats.
const MAX_FRAGMENT_CHARS: usize = 40;

/// A pattern that is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Re2Error {
    /// Go's regexp refuses the pattern too.
    #[error("invalid regular expression, {reason} at byte {at}: `{fragment}`")]
    Invalid {
        /// What is wrong.
        reason: &'static str,
        /// Where in the pattern, in bytes.
        at: usize,
        /// The pattern from there on, cut short.
        fragment: String,
    },
    /// Go's regexp may accept the pattern, but it has no exact or no affordable translation.
    #[error("unsupported regular expression, {reason} at byte {at}: `{fragment}`")]
    Untranslatable {
        /// What is not supported.
        reason: &'static str,
        /// Where in the pattern, in bytes.
        at: usize,
        /// The pattern from there on, cut short.
        fragment: String,
    },
}

impl Re2Error {
    fn invalid(reason: &'static str, pattern: &str, at: usize) -> Self {
        Self::Invalid {
            reason,
            at,
            fragment: fragment(pattern, at),
        }
    }

    fn untranslatable(reason: &'static str, pattern: &str, at: usize) -> Self {
        Self::Untranslatable {
            reason,
            at,
            fragment: fragment(pattern, at),
        }
    }
}

fn fragment(pattern: &str, at: usize) -> String {
    pattern
        .get(at..)
        .unwrap_or_default()
        .chars()
        .take(MAX_FRAGMENT_CHARS)
        .collect()
}

/// In whose syntax a pattern is written for other engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegexSyntax {
    /// The `regex` crate of Rust.
    Rust,
    /// `java.util.regex`.
    Java,
}

/// A compiled pattern with the meaning that Prometheus gives it: `^(?s:PATTERN)$` in Go's regexp, so it must match
/// the whole text and a dot matches a newline.
///
/// Unicode classes and case folding are those of Unicode 15.0, which Go up to 1.26 has.
#[derive(Debug, Clone)]
pub struct Re2 {
    program: Program,
}

#[derive(Debug, Clone)]
enum Program {
    /// Alternatives without operators, sorted: such patterns are long lists of hosts or pods.
    Literals(Vec<Box<str>>),
    Regex(Regex),
}

impl Re2 {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// [`Re2Error::Invalid`] when Go refuses the pattern, [`Re2Error::Untranslatable`] when it is valid but has no
    /// exact translation or is too large.
    pub fn new(pattern: &str) -> Result<Self, Re2Error> {
        let root = parser::parse(pattern)?;
        let program = match literals(&root) {
            Some(literals) => Program::Literals(literals),
            None => Program::Regex(compile(pattern, &root)?),
        };
        Ok(Self { program })
    }

    /// The pattern in another syntax: it is found in the texts that match as a whole, and in no others.
    ///
    /// # Errors
    /// As [`Re2::new`].
    pub fn translated(pattern: &str, syntax: RegexSyntax) -> Result<String, Re2Error> {
        Ok(emit::anchored(&parser::parse(pattern)?, syntax))
    }

    /// Whether the whole of `text` matches.
    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        match &self.program {
            Program::Literals(literals) => literals.binary_search_by(|literal| (**literal).cmp(text)).is_ok(),
            Program::Regex(regex) => regex.is_match(text),
        }
    }
}

fn compile(pattern: &str, root: &Node) -> Result<Regex, Re2Error> {
    RegexBuilder::new(&emit::anchored(root, RegexSyntax::Rust))
        .size_limit(MAX_PROGRAM_BYTES)
        .nest_limit(MAX_WRITTEN_NESTING)
        .build()
        .map_err(|error| {
            let reason = match error {
                regex::Error::CompiledTooBig(_) => "the compiled pattern would be larger than 32 MiB",
                _ => "the translated pattern does not compile",
            };
            Re2Error::untranslatable(reason, pattern, 0)
        })
}

/// The texts that match, sorted, when the pattern is nothing but alternatives of literals.
fn literals(root: &Node) -> Option<Vec<Box<str>>> {
    let literal = |node: &Node| match node.kind() {
        Kind::Literal(text) => Some(Box::from(text.as_str())),
        Kind::Empty => Some(Box::from("")),
        _ => None,
    };
    let mut texts = match root.kind() {
        Kind::Alternate(alternatives) => alternatives.iter().map(literal).collect::<Option<Vec<_>>>()?,
        _ => vec![literal(root)?],
    };
    texts.sort_unstable();
    Some(texts)
}
