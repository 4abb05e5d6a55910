//! Selector syntax of `match[]` and `--match`: `up{job=~"a.*"}`, `{"my.metric", "label name"="x"}`.
//!
//! A parser of its own, because promql-parser compiles patterns with Rust's regex while it parses: it refuses what RE2 accepts
//! (`\Q..\E`) and takes an `or` between matchers that PromQL does not have. Only the syntax is read here; what a matcher
//! means is the matcher's own business. It must never accept a text that Prometheus reads differently.

mod lexer;

use std::sync::Arc;

use self::lexer::{Lexer, Token};
use crate::excerpt::{QUOTED_BYTES_MAX, excerpt};
use crate::{Labels, MatchOp, Matcher, MatcherError, matches_all};

/// The label that holds a metric's name.
const METRIC_NAME: &str = "__name__";

/// A selector that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SelectorError {
    /// Not a selector.
    #[error("selector `{selector}`: {what} at character {at}")]
    Syntax {
        /// The text, or the beginning of a long one.
        selector: String,
        /// Where the text goes wrong, in characters from 1.
        at: usize,
        /// What is wrong.
        what: String,
    },
    /// A selector with a matcher that cannot be built.
    #[error("selector `{selector}`: {source}")]
    Matcher {
        /// The text, or the beginning of a long one.
        selector: String,
        /// What is wrong with the matcher.
        source: MatcherError,
    },
    /// Every matcher accepts the empty value, so that the selector would read the whole archive by accident.
    #[error("selector `{selector}` must contain at least one matcher that does not match the empty value")]
    MatchesEmpty {
        /// The text, or the beginning of a long one.
        selector: String,
    },
}

/// Parses one selector; all its matchers must hold.
///
/// # Errors
/// Text that PromQL does not accept as a vector selector, and selectors without a matcher that refuses the empty value.
pub fn parse_selector(text: &str) -> Result<Arc<[Matcher]>, SelectorError> {
    let mut parser = Parser {
        text,
        lexer: Lexer::new(text),
        matchers: Vec::new(),
        named: false,
    };
    parser.selector()?;
    if parser.matchers.iter().all(|m| m.matches("")) {
        return Err(SelectorError::MatchesEmpty {
            selector: excerpt(text, QUOTED_BYTES_MAX),
        });
    }
    Ok(parser.matchers.into())
}

/// Which series are wanted: those of any of its selectors.
#[derive(Debug, Clone)]
pub struct Selection {
    selectors: Vec<Arc<[Matcher]>>,
}

impl Selection {
    /// Every series.
    #[must_use]
    pub fn all() -> Self {
        Self {
            selectors: vec![Arc::from([])],
        }
    }

    /// The series that satisfy all matchers of one selector.
    #[must_use]
    pub fn of(selector: Arc<[Matcher]>) -> Self {
        Self {
            selectors: vec![selector],
        }
    }

    /// The series of any of these selectors; of all series when there is no selector.
    ///
    /// # Errors
    /// See [`parse_selector`].
    pub fn parse<S: AsRef<str>>(texts: &[S]) -> Result<Self, SelectorError> {
        if texts.is_empty() {
            return Ok(Self::all());
        }
        let selectors = texts
            .iter()
            .map(|text| parse_selector(text.as_ref()))
            .collect::<Result<_, _>>()?;
        Ok(Self { selectors })
    }

    /// The alternatives, at least one.
    #[must_use]
    pub fn selectors(&self) -> &[Arc<[Matcher]>] {
        &self.selectors
    }

    /// The matchers that every wanted series satisfies: those of the only selector, none when there are several.
    #[must_use]
    pub fn common(&self) -> Arc<[Matcher]> {
        match self.selectors.as_slice() {
            [only] => Arc::clone(only),
            _ => Arc::from([]),
        }
    }

    /// Whether a series is wanted.
    #[must_use]
    pub fn selects(&self, labels: &Labels) -> bool {
        self.selectors.iter().any(|selector| matches_all(selector, labels))
    }

    /// Whether a series that satisfies [`Self::common`] is wanted.
    #[must_use]
    pub fn accepts(&self, labels: &Labels) -> bool {
        self.selectors.len() == 1 || self.selects(labels)
    }
}

struct Parser<'a> {
    text: &'a str,
    lexer: Lexer<'a>,
    matchers: Vec<Matcher>,
    /// A name stands before the braces: then none may stand in them. In them there may be any number.
    named: bool,
}

impl Parser<'_> {
    fn selector(&mut self) -> Result<(), SelectorError> {
        let mut token = self.outside()?;
        if let Token::Identifier(name) = token {
            if name.eq_ignore_ascii_case("inf") || name.eq_ignore_ascii_case("nan") {
                return Err(self.wrong(format!("`{name}` is a number")));
            }
            self.label_matcher(METRIC_NAME.to_owned(), MatchOp::Equal, name)?;
            self.named = true;
            token = self.outside()?;
        }
        match token {
            Token::OpenBrace => self.matchers()?,
            Token::End if self.named => return Ok(()),
            other => return Err(self.wrong(format!("expected a metric name or `{{`, found {other}"))),
        }
        match self.outside()? {
            Token::End => Ok(()),
            other => Err(self.wrong(format!("expected the end, found {other}"))),
        }
    }

    /// Everything after `{`, the `}` included. A comma may stand before it.
    fn matchers(&mut self) -> Result<(), SelectorError> {
        loop {
            let (name, quoted) = match self.inside()? {
                Token::CloseBrace => return Ok(()),
                Token::Identifier(name) => (name, false),
                Token::Text(name) => (name, true),
                other => return Err(self.wrong(format!("expected a label name or `}}`, found {other}"))),
            };
            let end = match self.inside()? {
                Token::Operator(op) => {
                    let Token::Text(value) = self.inside()? else {
                        return Err(self.wrong("expected a quoted label value".to_owned()));
                    };
                    self.label_matcher(name, op, value)?;
                    self.inside()?
                }
                end @ (Token::Comma | Token::CloseBrace) if quoted => {
                    self.label_matcher(METRIC_NAME.to_owned(), MatchOp::Equal, name)?;
                    end
                }
                other => return Err(self.wrong(format!("expected one of = != =~ !~, found {other}"))),
            };
            match end {
                Token::Comma => {}
                Token::CloseBrace => return Ok(()),
                other => return Err(self.wrong(format!("expected `,` or `}}`, found {other}"))),
            }
        }
    }

    fn label_matcher(&mut self, name: String, op: MatchOp, value: String) -> Result<(), SelectorError> {
        if name == METRIC_NAME && self.named {
            return Err(self.wrong("the metric name is set twice".to_owned()));
        }
        let matcher = Matcher::new(name, op, value).map_err(|source| SelectorError::Matcher {
            selector: excerpt(self.text, QUOTED_BYTES_MAX),
            source,
        })?;
        self.matchers.push(matcher);
        Ok(())
    }

    fn outside(&mut self) -> Result<Token, SelectorError> {
        let token = self.lexer.token_outside_braces();
        token.map_err(|what| self.wrong(what))
    }

    fn inside(&mut self) -> Result<Token, SelectorError> {
        let token = self.lexer.token_inside_braces();
        token.map_err(|what| self.wrong(what))
    }

    fn wrong(&self, what: String) -> SelectorError {
        SelectorError::Syntax {
            selector: excerpt(self.text, QUOTED_BYTES_MAX),
            at: self.lexer.column(),
            what: excerpt(what, QUOTED_BYTES_MAX),
        }
    }
}

#[cfg(test)]
mod tests;
