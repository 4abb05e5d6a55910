//! The vector selectors of a PromQL expression, as texts; what each means is the selector parser's to say.
//!
//! `query_exemplars` is asked with the whole expression of a panel, and all that matters of it is which series it names. So this
//! walks the expression once, always knowing whether a value or an operator comes next, because that alone tells a metric named
//! `by` from the word `by`. Types, function names and the number of arguments are not checked. It must never find a selector
//! that Prometheus does not find, nor miss one: what does not have the shape of an expression is refused.

mod cursor;
mod number;
mod words;

use self::cursor::{Cursor, Place};
use self::words::{GROUPINGS, OPERATORS, Word};

/// Why a text is no expression.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at character {at}")]
pub(super) struct ExpressionError {
    /// In characters from 1.
    at: usize,
    what: String,
}

/// A selector as it stands in the expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SelectorText<'a> {
    pub(super) text: &'a str,
    /// Whether it says which labels `info()` adds. Only there may every matcher accept the empty value, and then it selects no
    /// series of its own.
    pub(super) is_of_info: bool,
}

/// The selectors in the order of the expression, repeated as there.
///
/// # Errors
/// When the text does not have the shape of a PromQL expression.
pub(super) fn selector_texts(expression: &str) -> Result<Vec<SelectorText<'_>>, ExpressionError> {
    let mut walk = Walk {
        cursor: Cursor::new(expression),
        open: Vec::new(),
        found: Vec::new(),
    };
    walk.cursor.skip_space();
    if walk.cursor.peek().is_none() {
        return walk.cursor.fail("no expression found");
    }
    walk.expression()?;
    Ok(walk.found)
}

/// A parenthesis that is not closed yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    /// Around an expression.
    Group,
    /// Around arguments.
    Arguments,
    /// Around the arguments of an aggregation that may be grouped after them.
    Aggregation,
    /// Around the first argument of `info()`.
    Info,
    /// Around the labels that `info()` adds.
    InfoLabels,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Value,
    Operator,
    Nothing,
}

struct Walk<'a> {
    cursor: Cursor<'a>,
    /// Nesting is kept here and not on the stack of the thread, so that its depth can do no harm.
    open: Vec<Open>,
    found: Vec<SelectorText<'a>>,
}

impl Walk<'_> {
    fn expression(&mut self) -> Result<(), ExpressionError> {
        let mut next = Next::Value;
        loop {
            self.cursor.skip_space();
            next = match next {
                Next::Value => self.value()?,
                Next::Operator => self.after_value()?,
                Next::Nothing => return Ok(()),
            };
        }
    }

    fn value(&mut self) -> Result<Next, ExpressionError> {
        let start = self.cursor.place();
        match self.cursor.peek() {
            Some('+' | '-') => {
                self.cursor.bump();
                Ok(Next::Value)
            }
            Some('(') => {
                self.cursor.bump();
                self.open.push(Open::Group);
                Ok(Next::Value)
            }
            Some('"' | '\'' | '`') => {
                self.cursor.string()?;
                Ok(Next::Operator)
            }
            Some('{') => self.selector(start),
            Some(c) if c.is_ascii_digit() || c == '.' => {
                self.cursor.number()?;
                Ok(Next::Operator)
            }
            Some(_) => self.named_value(start),
            None => self.cursor.fail("a value is missing"),
        }
    }

    fn named_value(&mut self, start: Place) -> Result<Next, ExpressionError> {
        let Some(name) = self.cursor.identifier() else {
            return self.cursor.fail_unexpected();
        };
        self.cursor.skip_space();
        let is_called = self.cursor.peek() == Some('(');
        match Word::of(name) {
            Word::Number => return Ok(Next::Operator),
            Word::Reserved => {
                let what = format!("`{name}` stands where a value is expected");
                return self.cursor.fail_at(start, &what);
            }
            Word::Aggregation if is_called => return self.call(Open::Aggregation),
            Word::Aggregation if self.cursor.take_word(&GROUPINGS) => {
                self.cursor.labels()?;
                self.cursor.skip_space();
                return self.call(Open::Arguments);
            }
            Word::Info if is_called => return self.call(Open::Info),
            Word::Function if is_called => return self.call(Open::Arguments),
            Word::Aggregation | Word::Info | Word::Function | Word::Metric => {}
        }
        self.selector(start)
    }

    /// From the opening parenthesis of arguments on.
    fn call(&mut self, open: Open) -> Result<Next, ExpressionError> {
        self.cursor.expect('(')?;
        self.cursor.skip_space();
        if self.cursor.peek() == Some(')') {
            self.cursor.bump();
            return Ok(Next::Operator);
        }
        self.open.push(open);
        Ok(Next::Value)
    }

    /// A selector whose name, if any, was passed.
    fn selector(&mut self, start: Place) -> Result<Next, ExpressionError> {
        if self.cursor.peek() == Some('{') {
            self.cursor.braces()?;
        }
        self.found.push(SelectorText {
            text: self.cursor.since(start).trim_end(),
            is_of_info: self.open.last() == Some(&Open::InfoLabels),
        });
        Ok(Next::Operator)
    }

    fn after_value(&mut self) -> Result<Next, ExpressionError> {
        match self.cursor.peek() {
            None if self.open.is_empty() => return Ok(Next::Nothing),
            None => return self.cursor.fail("a parenthesis is not closed"),
            Some(')') => return self.close(),
            Some(',') => {
                match self.open.last_mut() {
                    Some(Open::Arguments | Open::Aggregation | Open::InfoLabels) => {}
                    Some(open @ Open::Info) => *open = Open::InfoLabels,
                    Some(Open::Group) | None => return self.cursor.fail_unexpected(),
                }
                self.cursor.bump();
                return Ok(Next::Value);
            }
            Some('[') => {
                self.cursor.brackets()?;
                return Ok(Next::Operator);
            }
            Some('@') => {
                self.cursor.bump();
                self.cursor.moment()?;
                return Ok(Next::Operator);
            }
            Some(_) => {}
        }
        if self.cursor.take_word(&["offset"]) {
            self.cursor.duration()?;
            return Ok(Next::Operator);
        }
        if self.cursor.take_word(&["anchored", "smoothed"]) {
            return Ok(Next::Operator);
        }
        if !self.cursor.take_word(&OPERATORS) && !self.cursor.take_sign() {
            return self.cursor.fail_unexpected();
        }
        self.matching()?;
        Ok(Next::Value)
    }

    fn close(&mut self) -> Result<Next, ExpressionError> {
        let Some(open) = self.open.pop() else {
            return self.cursor.fail_unexpected();
        };
        self.cursor.bump();
        self.cursor.skip_space();
        if open == Open::Aggregation && self.cursor.take_word(&GROUPINGS) {
            self.cursor.labels()?;
        }
        Ok(Next::Operator)
    }

    /// What may stand between an operator and its right side: which labels are matched, and how.
    fn matching(&mut self) -> Result<(), ExpressionError> {
        self.cursor.skip_space();
        self.cursor.take_word(&["bool"]);
        self.cursor.skip_space();
        if self.cursor.take_word(&["on", "ignoring"]) {
            self.cursor.labels()?;
            self.cursor.skip_space();
            if self.cursor.take_word(&["group_left", "group_right"]) {
                self.cursor.skip_space();
                if self.cursor.peek() == Some('(') {
                    self.cursor.labels()?;
                }
            }
        }
        // One for each side, or one for both.
        for _ in 0..2 {
            self.cursor.skip_space();
            if self.cursor.take_called_word(&["fill", "fill_left", "fill_right"]) {
                self.cursor.expect('(')?;
                self.cursor.skip_space();
                self.cursor.signed_number()?;
                self.cursor.skip_space();
                self.cursor.expect(')')?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
