//! The tree of a parsed pattern, with the measures by which Go limits patterns.
//!
//! Captures and greediness are not kept, since only whole-text matches are asked for; they still count in the
//! measures. Every node must know its measures when it is built: the limits guard the recursion over the tree.

mod factor;

use factor::factored_height;
use regex_syntax::hir::ClassUnicode;

/// The deepest tree that is accepted. The `regex` crate recurses over it when it compiles, with up to 10 KB of stack
/// per level when it is not optimised, and must get by with the 2 MiB of a worker thread.
pub(super) const MAX_DEPTH: u32 = 100;

/// The most copies of one part that nested counted repetitions may ask for (Go: `repeatIsValid`).
pub(super) const MAX_COPIES: u32 = 1000;

/// Go refuses trees higher than this. The height known here is an upper bound, so less is accepted, never more.
const MAX_GO_HEIGHT: u32 = 1000;

/// Go refuses programs of more than about 3.3 million instructions. The size known here ignores the sharing that Go
/// does before it counts, so the limit is lower: less is accepted, never more.
const MAX_GO_SIZE: u64 = 1_000_000;

/// A position that matches without consuming text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    TextStart,
    TextEnd,
    LineStart,
    LineEnd,
    /// Between an ASCII word character and anything else.
    WordBoundary,
    NotWordBoundary,
}

/// What a node matches.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Empty,
    /// At least one character, matched with case.
    Literal(String),
    /// One character; may have no members and then never matches.
    Class(ClassUnicode),
    Look(Look),
    /// `max` is `None` for no bound.
    Repeat {
        sub: Box<Node>,
        min: u32,
        max: Option<u32>,
    },
    Concat(Vec<Node>),
    Alternate(Vec<Node>),
}

/// A part of a pattern.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Node {
    kind: Kind,
    captured: bool,
    depth: u32,
    copies: u32,
    go_height: u32,
    go_size: u64,
}

impl Node {
    /// A node without parts.
    pub(super) fn leaf(kind: Kind) -> Self {
        let go_size = match &kind {
            Kind::Literal(text) => text.chars().count() as u64,
            _ => 1,
        };
        Self {
            kind,
            captured: false,
            depth: 1,
            copies: 1,
            go_height: 1,
            go_size,
        }
    }

    /// `sub` from `min` to `max` times.
    pub(super) fn repeat(sub: Node, min: u32, max: Option<u32>) -> Self {
        let go_height = sub.go_height.saturating_add(1);
        if max == Some(0) {
            // What is repeated zero times is not there, whatever it holds.
            return Self {
                go_height,
                ..Self::leaf(Kind::Empty)
            };
        }
        let bound = max.unwrap_or(min).max(1);
        let copies = bound.saturating_mul(sub.copies);
        let go_size = u64::from(bound)
            .saturating_mul(sub.go_size)
            .saturating_add(2 + u64::from(bound));
        let depth = sub.depth + 1;
        Self {
            kind: Kind::Repeat {
                sub: Box::new(sub),
                min,
                max,
            },
            captured: false,
            depth,
            copies,
            go_height,
            go_size,
        }
    }

    /// `items` after each other; groups that are sequences themselves are opened.
    pub(super) fn concat(items: Vec<Node>) -> Self {
        Self::collapse(
            items,
            |kind| {
                if let Kind::Concat(inner) = kind {
                    Ok(inner)
                } else {
                    Err(kind)
                }
            },
            Kind::Concat,
        )
    }

    /// Any of `alternatives`; groups that are alternatives themselves are opened.
    pub(super) fn alternate(alternatives: Vec<Node>) -> Self {
        let open = |kind| {
            if let Kind::Alternate(inner) = kind {
                Ok(inner)
            } else {
                Err(kind)
            }
        };
        let mut node = Self::collapse(alternatives, open, Kind::Alternate);
        if let Kind::Alternate(alternatives) = &node.kind {
            node.go_height = node.go_height.saturating_add(factored_height(alternatives));
            node.go_size = node.go_size.saturating_add(alternatives.len() as u64);
        }
        node
    }

    fn collapse(
        mut parts: Vec<Node>,
        open: impl Fn(Kind) -> Result<Vec<Node>, Kind>,
        kind: impl Fn(Vec<Node>) -> Kind,
    ) -> Self {
        if parts.len() <= 1 {
            return parts.pop().unwrap_or_else(|| Self::leaf(Kind::Empty));
        }
        let mut flat = Vec::with_capacity(parts.len());
        for mut part in parts {
            if part.captured {
                flat.push(part);
                continue;
            }
            match open(part.kind) {
                Ok(inner) => flat.extend(inner),
                Err(kind) => {
                    part.kind = kind;
                    flat.push(part);
                }
            }
        }
        let highest = |measure: fn(&Node) -> u32| flat.iter().map(measure).max().unwrap_or(0);
        let depth = highest(|part| part.depth) + 1;
        let copies = highest(|part| part.copies);
        let go_height = highest(|part| part.go_height).saturating_add(1);
        let go_size = flat.iter().fold(0_u64, |size, part| size.saturating_add(part.go_size));
        Self {
            kind: kind(flat),
            captured: false,
            depth,
            copies,
            go_height,
            go_size,
        }
    }

    /// The node inside a capturing group, which only the measures tell from a plain one.
    pub(super) fn captured(mut self) -> Self {
        self.captured = true;
        self.go_height = self.go_height.saturating_add(1);
        self.go_size = self.go_size.saturating_add(2);
        self
    }

    /// Appends `next` when both are literals, as Go does before it adds anything further.
    pub(super) fn append_literal(&mut self, next: Node) -> Result<(), Node> {
        match (&mut self.kind, &next.kind) {
            (Kind::Literal(text), Kind::Literal(more)) if !self.captured && !next.captured => {
                text.push_str(more);
                self.go_size = self.go_size.saturating_add(next.go_size);
                Ok(())
            }
            _ => Err(next),
        }
    }

    pub(super) fn kind(&self) -> &Kind {
        &self.kind
    }

    /// The most copies that nested counted repetitions ask for.
    pub(super) fn copies(&self) -> u32 {
        self.copies
    }

    /// Why the tree is too large to go on, if it is.
    pub(super) fn excess(&self) -> Option<&'static str> {
        if self.depth > MAX_DEPTH {
            Some("the pattern nests more than 100 levels")
        } else if self.go_height > MAX_GO_HEIGHT {
            Some("alternatives share prefixes too deeply")
        } else if self.go_size > MAX_GO_SIZE {
            Some("the pattern repeats itself into more than 1000000 parts")
        } else {
            None
        }
    }

    /// The parts that follow each other.
    fn sequence(&self) -> &[Node] {
        match &self.kind {
            Kind::Concat(items) if !self.captured => items,
            _ => std::slice::from_ref(self),
        }
    }
}
