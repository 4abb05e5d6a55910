//! What a backslash begins.

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

use super::Parser;
use crate::re2::Re2Error;
use crate::re2::node::Look;
use crate::re2::unicode::{self, Property};

/// Members of `\d`, `\s` and `\w`. `\s` lacks the vertical tab that `[:space:]` has.
const PERL_CLASSES: [(char, &[(char, char)]); 3] = [
    ('d', &[('0', '9')]),
    ('s', &[('\t', '\n'), ('\x0C', '\r'), (' ', ' ')]),
    ('w', &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')]),
];

impl Parser<'_> {
    /// Reads an escape outside of a class.
    pub(super) fn escape(&mut self) -> Result<(), Re2Error> {
        let look = [
            (r"\A", Look::TextStart),
            (r"\z", Look::TextEnd),
            (r"\b", Look::WordBoundary),
            (r"\B", Look::NotWordBoundary),
        ];
        for (written, look) in look {
            if self.cursor.eat(written) {
                self.look(look);
                return Ok(());
            }
        }
        if self.cursor.eat(r"\Q") {
            let text = match self.cursor.take_until(r"\E") {
                Some(text) => text,
                None => self.cursor.take_rest(),
            };
            return text.chars().try_for_each(|character| self.literal(character));
        }
        if let Some(class) = self.class_escape()? {
            return self.push_class(class);
        }
        let start = self.cursor.at();
        let code = self.code_escape()?;
        match self.character(code, start) {
            Some(character) => self.literal(character),
            None => Ok(()),
        }
    }

    /// The character of a code point. Surrogates are code points in Go and can be written, but are no characters:
    /// they are remembered as untranslatable.
    pub(super) fn character(&mut self, code: u32, start: usize) -> Option<char> {
        let character = char::from_u32(code);
        if character.is_none() {
            self.give_up("a surrogate code point", start);
        }
        character
    }

    /// Reads `\d`, `\pL` and the like, or nothing when something else follows.
    pub(super) fn class_escape(&mut self) -> Result<Option<ClassUnicode>, Re2Error> {
        let mut following = self.cursor.rest().chars();
        let (Some('\\'), Some(letter)) = (following.next(), following.next()) else {
            return Ok(None);
        };
        if letter.eq_ignore_ascii_case(&'p') {
            return self.property_escape(letter == 'P').map(Some);
        }
        let Some((name, members)) = PERL_CLASSES.iter().find(|(name, _)| letter.eq_ignore_ascii_case(name)) else {
            return Ok(None);
        };
        self.cursor.bump();
        self.cursor.bump();
        Ok(Some(self.ascii_class(members, letter != *name)))
    }

    /// A class of ASCII characters. Folding comes before the negation, as in Go.
    pub(super) fn ascii_class(&self, members: &[(char, char)], negated: bool) -> ClassUnicode {
        let mut class = ClassUnicode::new(members.iter().map(|&(start, end)| ClassUnicodeRange::new(start, end)));
        if self.flags.fold_case {
            unicode::fold(&mut class);
        }
        if negated {
            class.negate();
        }
        class
    }

    fn property_escape(&mut self, mut negated: bool) -> Result<ClassUnicode, Re2Error> {
        let start = self.cursor.at();
        self.cursor.bump();
        self.cursor.bump();
        let rest = self.cursor.rest();
        let mut name = match self.cursor.bump() {
            Some('{') => self.cursor.take_until("}").unwrap_or_default(),
            Some(letter) => &rest[..letter.len_utf8()],
            None => "",
        };
        if let Some(positive) = name.strip_prefix('^') {
            negated = !negated;
            name = positive;
        }
        let mut class = match unicode::property(name) {
            Property::Known(class) if self.flags.fold_case => unicode::folded_property(name, class),
            Property::Known(class) => class,
            Property::Disputed => {
                self.give_up("a Unicode class name that releases of Go disagree about", start);
                ClassUnicode::empty()
            }
            Property::Unknown => return Err(self.invalid("unknown Unicode class", start)),
        };
        if negated {
            class.negate();
        }
        Ok(class)
    }

    /// Reads an escape that stands for one code point.
    pub(super) fn code_escape(&mut self) -> Result<u32, Re2Error> {
        let start = self.cursor.at();
        self.cursor.bump();
        let Some(first) = self.cursor.bump() else {
            return Err(self.invalid("trailing backslash", start));
        };
        let code = match first {
            'a' => Some(0x07),
            'f' => Some(0x0C),
            'n' => Some(0x0A),
            'r' => Some(0x0D),
            't' => Some(0x09),
            'v' => Some(0x0B),
            '0'..='7' => self.octal(first),
            'x' => self.hexadecimal(),
            _ if first.is_ascii() && !first.is_ascii_alphanumeric() => Some(u32::from(first)),
            _ => None,
        };
        code.ok_or_else(|| self.invalid("bad escape", start))
    }

    /// Up to three octal digits. A single one other than zero would be a back reference, which RE2 does not have.
    fn octal(&mut self, first: char) -> Option<u32> {
        let mut code = first.to_digit(8)?;
        for digits in 1..3 {
            let Some(digit) = self.cursor.peek().and_then(|next| next.to_digit(8)) else {
                return (digits > 1 || first == '0').then_some(code);
            };
            self.cursor.bump();
            code = code * 8 + digit;
        }
        Some(code)
    }

    /// Two hexadecimal digits, or any number of them in braces up to the last code point.
    fn hexadecimal(&mut self) -> Option<u32> {
        if !self.cursor.eat("{") {
            let high = self.cursor.bump()?.to_digit(16)?;
            return Some(high * 16 + self.cursor.bump()?.to_digit(16)?);
        }
        let digits = self.cursor.take_until("}")?;
        if digits.is_empty() {
            return None;
        }
        digits.chars().try_fold(0, |code, digit| {
            let code = code * 16 + digit.to_digit(16)?;
            (code <= u32::from(char::MAX)).then_some(code)
        })
    }
}
