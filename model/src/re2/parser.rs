//! Parses Go's dialect of RE2, as `regexp/syntax` reads it with the flags `Perl` and `DotNL`.
//!
//! The parser keeps open groups on its own stack, so the depth of a pattern never becomes depth of calls. It follows
//! Go where Go is odd, because accepted patterns must be the same ones: flags between an operand and its operator
//! are transparent, `{` without valid bounds is a literal, and `\Q` may stay open.

mod class;
mod cursor;
mod escape;
mod group;

use cursor::Cursor;
use group::Group;
use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

use super::Re2Error;
use super::node::{Kind, Look, MAX_COPIES, Node};
use super::unicode;

/// The longest pattern that is accepted, in bytes.
const MAX_PATTERN_BYTES: usize = 1 << 20;

/// The most groups that may be open at once. Go has no such limit for groups that do not capture.
const MAX_OPEN_GROUPS: usize = 1000;

/// The most ranges that all classes together may have. `\pL` alone has 650; Go allows 16 million.
const MAX_CLASS_RANGES: usize = 100_000;

/// The flags that change what a pattern matches. `U` is read and dropped: it only changes which match is preferred.
#[derive(Debug, Clone, Copy)]
struct Flags {
    fold_case: bool,
    multi_line: bool,
    dot_matches_newline: bool,
}

struct Parser<'p> {
    cursor: Cursor<'p>,
    flags: Flags,
    /// The groups around `inner`, outermost first.
    outer: Vec<Group>,
    inner: Group,
    class_ranges: usize,
    /// The first thing that Go accepts and that has no translation. It is reported only at the end, because a
    /// pattern that Go refuses is invalid first of all.
    untranslatable: Option<Re2Error>,
}

/// Parses a pattern.
pub(super) fn parse(pattern: &str) -> Result<Node, Re2Error> {
    if pattern.len() > MAX_PATTERN_BYTES {
        return Err(Re2Error::untranslatable("the pattern is longer than 1 MiB", pattern, 0));
    }
    let flags = Flags {
        fold_case: false,
        multi_line: false,
        dot_matches_newline: true,
    };
    let parser = Parser {
        cursor: Cursor::new(pattern),
        flags,
        outer: Vec::new(),
        inner: Group::new(flags, false),
        class_ranges: 0,
        untranslatable: None,
    };
    parser.run()
}

impl Parser<'_> {
    fn run(mut self) -> Result<Node, Re2Error> {
        let mut after_repeat = false;
        while let Some(next) = self.cursor.peek() {
            let start = self.cursor.at();
            let mut repeated = false;
            match next {
                '(' => self.open_group()?,
                ')' => self.close_group()?,
                '|' => {
                    self.cursor.bump();
                    self.inner.end_alternative();
                    self.check_alternative()?;
                }
                '^' => {
                    self.cursor.bump();
                    self.look(if self.flags.multi_line {
                        Look::LineStart
                    } else {
                        Look::TextStart
                    });
                }
                '$' => {
                    self.cursor.bump();
                    self.look(if self.flags.multi_line {
                        Look::LineEnd
                    } else {
                        Look::TextEnd
                    });
                }
                '.' => {
                    self.cursor.bump();
                    self.push_class(dot(self.flags))?;
                }
                '[' => {
                    let class = self.parse_class()?;
                    self.push_class(class)?;
                }
                '*' | '+' | '?' => {
                    self.cursor.bump();
                    let (min, max) = match next {
                        '*' => (0, None),
                        '+' => (1, None),
                        _ => (0, Some(1)),
                    };
                    self.repeat(start, min, max, after_repeat)?;
                    repeated = true;
                }
                '{' => match self.cursor.bounds() {
                    None => {
                        self.cursor.bump();
                        self.literal('{')?;
                    }
                    Some((min, max)) => {
                        if min > MAX_COPIES || max.is_some_and(|max| max > MAX_COPIES || min > max) {
                            return Err(self.invalid("bad repetition bounds", start));
                        }
                        self.repeat(start, min, max, after_repeat)?;
                        repeated = true;
                    }
                },
                '\\' => self.escape()?,
                _ => {
                    self.cursor.bump();
                    self.literal(next)?;
                }
            }
            after_repeat = repeated;
        }
        if !self.outer.is_empty() {
            return Err(self.invalid("missing `)`", self.cursor.at()));
        }
        let root = self.inner.close();
        if let Some(error) = self.untranslatable {
            return Err(error);
        }
        match root.excess() {
            Some(reason) => Err(Re2Error::untranslatable(reason, self.cursor.pattern(), 0)),
            None => Ok(root),
        }
    }

    /// Repeats the last item.
    fn repeat(&mut self, start: usize, min: u32, max: Option<u32>, after_repeat: bool) -> Result<(), Re2Error> {
        self.cursor.eat("?");
        if after_repeat {
            return Err(self.invalid("a repetition of a repetition", start));
        }
        let Some(sub) = self.inner.items.pop() else {
            return Err(self.invalid("nothing to repeat", start));
        };
        let node = Node::repeat(sub, min, max);
        if node.copies() > MAX_COPIES {
            return Err(self.invalid("nested repetitions of more than 1000 copies", start));
        }
        self.check(&node)?;
        self.inner.items.push(node);
        Ok(())
    }

    fn literal(&mut self, character: char) -> Result<(), Re2Error> {
        if self.flags.fold_case {
            let mut class = ClassUnicode::new([ClassUnicodeRange::new(character, character)]);
            unicode::fold(&mut class);
            if class.ranges().iter().map(ClassUnicodeRange::len).sum::<usize>() > 1 {
                return self.push_class(class);
            }
        }
        self.inner.push(Node::leaf(Kind::Literal(character.to_string())));
        Ok(())
    }

    fn look(&mut self, look: Look) {
        self.inner.push(Node::leaf(Kind::Look(look)));
    }

    fn push_class(&mut self, class: ClassUnicode) -> Result<(), Re2Error> {
        self.class_ranges += class.ranges().len();
        if self.class_ranges > MAX_CLASS_RANGES {
            return Err(self.untranslatable("classes of more than 100000 ranges together", self.cursor.at()));
        }
        self.inner.push(Node::leaf(Kind::Class(class)));
        Ok(())
    }

    fn check(&self, node: &Node) -> Result<(), Re2Error> {
        node.excess()
            .map_or(Ok(()), |reason| Err(self.untranslatable(reason, self.cursor.at())))
    }

    fn check_alternative(&self) -> Result<(), Re2Error> {
        self.inner
            .alternatives
            .last()
            .map_or(Ok(()), |alternative| self.check(alternative))
    }

    fn invalid(&self, reason: &'static str, at: usize) -> Re2Error {
        Re2Error::invalid(reason, self.cursor.pattern(), at)
    }

    fn untranslatable(&self, reason: &'static str, at: usize) -> Re2Error {
        Re2Error::untranslatable(reason, self.cursor.pattern(), at)
    }

    /// Keeps the first thing without translation, to be reported if the rest of the pattern is valid.
    fn give_up(&mut self, reason: &'static str, at: usize) {
        if self.untranslatable.is_none() {
            self.untranslatable = Some(self.untranslatable(reason, at));
        }
    }
}

fn dot(flags: Flags) -> ClassUnicode {
    let mut class = ClassUnicode::empty();
    if !flags.dot_matches_newline {
        class.push(ClassUnicodeRange::new('\n', '\n'));
    }
    class.negate();
    class
}
