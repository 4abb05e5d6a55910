//! Character classes in brackets.

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

use super::Parser;
use crate::re2::Re2Error;
use crate::re2::unicode;

/// Members of `[:name:]`.
const POSIX_CLASSES: [(&str, &[(char, char)]); 14] = [
    ("alnum", &[('0', '9'), ('A', 'Z'), ('a', 'z')]),
    ("alpha", &[('A', 'Z'), ('a', 'z')]),
    ("ascii", &[('\0', '\x7F')]),
    ("blank", &[('\t', '\t'), (' ', ' ')]),
    ("cntrl", &[('\0', '\x1F'), ('\x7F', '\x7F')]),
    ("digit", &[('0', '9')]),
    ("graph", &[('!', '~')]),
    ("lower", &[('a', 'z')]),
    ("print", &[(' ', '~')]),
    ("punct", &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')]),
    ("space", &[('\t', '\r'), (' ', ' ')]),
    ("upper", &[('A', 'Z')]),
    ("word", &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')]),
    ("xdigit", &[('0', '9'), ('A', 'F'), ('a', 'f')]),
];

impl Parser<'_> {
    /// Reads from `[` to the closing `]`.
    pub(super) fn parse_class(&mut self) -> Result<ClassUnicode, Re2Error> {
        let start = self.cursor.at();
        self.cursor.bump();
        let negated = self.cursor.eat("^");
        // What is written as characters folds; what is a class already has folded before it was negated.
        let mut written = Vec::new();
        let mut members = Vec::new();
        let mut first = true;
        while first || !self.cursor.eat("]") {
            first = false;
            if let Some(class) = self.posix_class()? {
                members.extend_from_slice(class.ranges());
            } else if let Some(class) = self.class_escape()? {
                members.extend_from_slice(class.ranges());
            } else {
                written.extend(self.class_range(start)?);
            }
        }
        let mut class = ClassUnicode::new(written);
        if self.flags.fold_case {
            unicode::fold(&mut class);
        }
        class.union(&ClassUnicode::new(members));
        if negated {
            class.negate();
        }
        Ok(class)
    }

    /// Reads `[:name:]` or `[:^name:]`. Without any `:]` in the rest of the pattern the bracket is a literal.
    fn posix_class(&mut self) -> Result<Option<ClassUnicode>, Re2Error> {
        let Some((name, _)) = self
            .cursor
            .rest()
            .strip_prefix("[:")
            .and_then(|rest| rest.split_once(":]"))
        else {
            return Ok(None);
        };
        let (negated, positive) = match name.strip_prefix('^') {
            Some(positive) => (true, positive),
            None => (false, name),
        };
        let Some((_, members)) = POSIX_CLASSES.iter().find(|(known, _)| *known == positive) else {
            return Err(self.invalid("unknown class name", self.cursor.at()));
        };
        self.cursor.take_until(":]");
        Ok(Some(self.ascii_class(members, negated)))
    }

    /// Reads a character or a range of characters.
    fn class_range(&mut self, class_start: usize) -> Result<Option<ClassUnicodeRange>, Re2Error> {
        let start = self.cursor.at();
        let low = self.class_code(class_start)?;
        let mut following = self.cursor.rest().chars();
        let high = if following.next() == Some('-') && following.next().is_some_and(|next| next != ']') {
            self.cursor.bump();
            self.class_code(class_start)?
        } else {
            low
        };
        if high < low {
            return Err(self.invalid("a range that ends before it begins", start));
        }
        let ends = (self.character(low, start), self.character(high, start));
        let (Some(low), Some(high)) = ends else { return Ok(None) };
        Ok(Some(ClassUnicodeRange::new(low, high)))
    }

    fn class_code(&mut self, class_start: usize) -> Result<u32, Re2Error> {
        if self.cursor.peek() == Some('\\') {
            return self.code_escape();
        }
        self.cursor
            .bump()
            .map(u32::from)
            .ok_or_else(|| self.invalid("missing `]`", class_start))
    }
}
