//! Words, numbers, quoted texts and brackets of an expression: everything that is passed over without a look inside.
//!
//! It must know where each of them ends, so that a brace in a quoted text or a comment is never taken for a selector.

use super::ExpressionError;
use super::number::is_number;

/// Functions that make a duration.
const OF_DURATIONS: [&str; 4] = ["max_of", "min_of", "range", "step"];
/// Operators that are signs, the longer one first where one begins with the other.
const SIGNS: [&str; 14] = [
    "==", "!=", "<=", "</", "<", ">=", ">/", ">", "+", "-", "*", "/", "%", "^",
];

/// Goes through an expression from front to back.
pub(super) struct Cursor<'a> {
    text: &'a str,
    /// Byte offset of what comes next, always at a character boundary.
    at: usize,
}

/// A place that the cursor was at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place(usize);

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub(super) fn place(&self) -> Place {
        Place(self.at)
    }

    /// The text from a place up to here.
    pub(super) fn since(&self, start: Place) -> &'a str {
        &self.text[start.0..self.at]
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    /// Passes spaces and comments.
    pub(super) fn skip_space(&mut self) {
        loop {
            self.skip_while(|c| matches!(c, ' ' | '\t' | '\n' | '\r'));
            if self.peek() != Some('#') {
                return;
            }
            self.skip_while(|c| c != '\n');
        }
    }

    pub(super) fn expect(&mut self, wanted: char) -> Result<(), ExpressionError> {
        if self.peek() != Some(wanted) {
            return self.fail(&format!("expected `{wanted}`"));
        }
        self.bump();
        Ok(())
    }

    /// A word, colons included, if one begins here.
    pub(super) fn identifier(&mut self) -> Option<&'a str> {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        let start = self.place();
        if !self.peek().is_some_and(|c| is_part(c) && !c.is_ascii_digit()) {
            return None;
        }
        self.skip_while(is_part);
        Some(self.since(start))
    }

    /// Passes the next word if it is one of these, in any case.
    pub(super) fn take_word(&mut self, words: &[&str]) -> bool {
        let start = self.at;
        let found = self
            .identifier()
            .is_some_and(|found| words.iter().any(|word| word.eq_ignore_ascii_case(found)));
        if !found {
            self.at = start;
        }
        found
    }

    /// Passes the next word and the space behind it if it is one of these and a parenthesis follows.
    pub(super) fn take_called_word(&mut self, words: &[&str]) -> bool {
        let start = self.at;
        let found = self.take_word(words);
        self.skip_space();
        if found && self.peek() == Some('(') {
            return true;
        }
        self.at = start;
        false
    }

    /// Passes an operator that is no word, if one stands here.
    pub(super) fn take_sign(&mut self) -> bool {
        let found = SIGNS.iter().find(|sign| self.rest().starts_with(**sign));
        self.at += found.map_or(0, |sign| sign.len());
        found.is_some()
    }

    /// A quoted text; what its escapes mean does not matter here.
    pub(super) fn string(&mut self) -> Result<(), ExpressionError> {
        let start = self.place();
        let quote = self.bump();
        let is_raw = quote == Some('`');
        loop {
            match self.bump() {
                c if c == quote && c.is_some() => return Ok(()),
                Some('\n') if !is_raw => break,
                Some('\\') if !is_raw => _ = self.bump(),
                Some(_) => {}
                None => break,
            }
        }
        self.fail_at(start, "the closing quote is missing, of the text that begins")
    }

    /// `{...}`; what is inside is the selector parser's matter.
    pub(super) fn braces(&mut self) -> Result<(), ExpressionError> {
        let start = self.place();
        self.bump();
        loop {
            self.skip_space();
            match self.peek() {
                Some('"' | '\'' | '`') => self.string()?,
                Some('}') => {
                    self.bump();
                    return Ok(());
                }
                Some(_) => _ = self.bump(),
                None => return self.fail_at(start, "the closing `}` is missing, of the selector that begins"),
            }
        }
    }

    /// `(a, b, "c")` of a grouping or matching.
    pub(super) fn labels(&mut self) -> Result<(), ExpressionError> {
        self.skip_space();
        self.expect('(')?;
        loop {
            self.skip_space();
            match self.peek() {
                Some(')') => break,
                Some('"' | '\'' | '`') => self.string()?,
                _ if self.identifier().is_some() => {}
                _ => return self.fail("expected a label name"),
            }
            self.skip_space();
            match self.peek() {
                Some(',') => _ = self.bump(),
                Some(')') => break,
                _ => return self.fail("expected `,` or `)` among label names"),
            }
        }
        self.bump();
        Ok(())
    }

    /// A number or a duration such as `1h30m`, which is a number too.
    pub(super) fn number(&mut self) -> Result<(), ExpressionError> {
        let start = self.place();
        let is_hex = self.rest().starts_with("0x") || self.rest().starts_with("0X");
        let mut before = ' ';
        while let Some(c) = self.peek() {
            let is_sign_of_exponent = matches!(c, '+' | '-') && matches!(before, 'e' | 'E') && !is_hex;
            if !(c.is_ascii_alphanumeric() || c == '_' || c == '.' || is_sign_of_exponent) {
                break;
            }
            before = c;
            self.bump();
        }
        let text = self.since(start);
        if is_number(text) {
            return Ok(());
        }
        self.fail_at(start, &format!("bad number or duration `{text}`"))
    }

    pub(super) fn signed_number(&mut self) -> Result<(), ExpressionError> {
        if matches!(self.peek(), Some('+' | '-')) {
            self.bump();
            self.skip_space();
        }
        if self.take_word(&["inf", "nan"]) {
            return Ok(());
        }
        self.number()
    }

    /// What follows `@`.
    pub(super) fn moment(&mut self) -> Result<(), ExpressionError> {
        self.skip_space();
        if self.take_called_word(&["start", "end"]) {
            self.bump();
            self.skip_space();
            return self.expect(')');
        }
        self.signed_number()
    }

    /// What follows `offset`: a duration, or a calculation of one.
    pub(super) fn duration(&mut self) -> Result<(), ExpressionError> {
        self.skip_space();
        while matches!(self.peek(), Some('+' | '-')) {
            self.bump();
            self.skip_space();
        }
        if self.take_called_word(&OF_DURATIONS) || self.peek() == Some('(') {
            return self.calculation('(', ')');
        }
        self.number()
    }

    /// `[5m]`, `[1h:1m]`, and calculations in them.
    pub(super) fn brackets(&mut self) -> Result<(), ExpressionError> {
        self.calculation('[', ']')
    }

    /// Brackets around a calculation of durations, in which no selector can stand.
    fn calculation(&mut self, open: char, close: char) -> Result<(), ExpressionError> {
        let (start, mut depth, mut is_empty) = (self.place(), 0usize, true);
        self.bump();
        loop {
            self.skip_space();
            match self.peek() {
                Some(c) if c == close && depth == 0 => break,
                Some(c) if c.is_ascii_digit() || c == '.' => self.number()?,
                Some(':') if open == '[' && depth == 0 && !is_empty => _ = self.bump(),
                Some('+' | '-' | '*' | '/' | '%' | '^' | ',') => _ = self.bump(),
                Some('(') => {
                    depth += 1;
                    self.bump();
                }
                Some(')') if depth > 0 => {
                    depth -= 1;
                    self.bump();
                }
                _ if self.take_word(&OF_DURATIONS) => {}
                None => return self.fail_at(start, &format!("the closing `{close}` is missing, of the duration")),
                Some(_) => return self.fail_unexpected(),
            }
            is_empty = false;
        }
        if is_empty && open == '[' {
            return self.fail("a duration is missing");
        }
        self.bump();
        Ok(())
    }

    pub(super) fn fail<T>(&self, what: &str) -> Result<T, ExpressionError> {
        self.fail_at(self.place(), what)
    }

    pub(super) fn fail_at<T>(&self, place: Place, what: &str) -> Result<T, ExpressionError> {
        Err(ExpressionError {
            at: self.text[..place.0].chars().count() + 1,
            what: what.to_owned(),
        })
    }

    pub(super) fn fail_unexpected<T>(&self) -> Result<T, ExpressionError> {
        match self.peek() {
            Some(c) => self.fail(&format!("unexpected `{c}`")),
            None => self.fail("unexpected end"),
        }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip_while(&mut self, wanted: impl Fn(char) -> bool) {
        let rest = self.rest();
        self.at += rest.find(|c| !wanted(c)).unwrap_or(rest.len());
    }
}
