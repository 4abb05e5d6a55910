//! Label matchers with Prometheus' meaning: a missing label is an empty one, regular expressions are RE2 and fully anchored.

use std::fmt;

use crate::{Labels, Re2, Re2Error};

/// How a matcher compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Regex,
    /// `!~`
    NotRegex,
}

/// A matcher that cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum MatcherError {
    /// The pattern is refused, with the reason.
    #[error("matcher `{name}`: {source}")]
    Pattern {
        /// The label.
        name: String,
        /// Why the pattern is refused.
        source: Re2Error,
    },
}

/// One condition on one label.
#[derive(Debug)]
pub struct Matcher {
    name: String,
    op: MatchOp,
    value: String,
    pattern: Option<Re2>,
}

impl Matcher {
    /// Builds a matcher, compiling its pattern.
    ///
    /// # Errors
    /// A pattern that Go's regexp refuses, or that cannot be translated exactly.
    pub fn new(name: impl Into<String>, op: MatchOp, value: impl Into<String>) -> Result<Self, MatcherError> {
        let (name, value) = (name.into(), value.into());
        let pattern = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => Some(Re2::new(&value).map_err(|source| MatcherError::Pattern {
                name: name.clone(),
                source,
            })?),
        };
        Ok(Self {
            name,
            op,
            value,
            pattern,
        })
    }

    /// The label it looks at.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it compares.
    #[must_use]
    pub fn op(&self) -> MatchOp {
        self.op
    }

    /// The value or pattern it compares with.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether a label value satisfies it; pass the empty string for a missing label.
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        match (self.op, &self.pattern) {
            (MatchOp::NotEqual, _) => value != self.value,
            (MatchOp::Regex, Some(pattern)) => pattern.is_match(value),
            (MatchOp::NotRegex, Some(pattern)) => !pattern.is_match(value),
            (_, _) => value == self.value,
        }
    }

    /// Whether a label set satisfies it.
    #[must_use]
    pub fn matches_labels(&self, labels: &Labels) -> bool {
        self.matches(labels.value_of(&self.name))
    }
}

/// Whether a label set satisfies all matchers.
#[must_use]
pub fn matches_all(matchers: &[Matcher], labels: &Labels) -> bool {
    matchers.iter().all(|m| m.matches_labels(labels))
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let op = match self.op {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regex => "=~",
            MatchOp::NotRegex => "!~",
        };
        write!(f, "{}{op}{:?}", self.name, self.value)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_missing_label_is_an_empty_one_for_every_operator() {
        let labels = Labels::from_pairs([("__name__", "up")]).unwrap();
        for (op, value, expected) in [
            (MatchOp::Equal, "", true),
            (MatchOp::Equal, "x", false),
            (MatchOp::NotEqual, "x", true),
            (MatchOp::NotEqual, "", false),
            (MatchOp::Regex, ".*", true),
            (MatchOp::Regex, ".+", false),
            (MatchOp::NotRegex, ".+", true),
            (MatchOp::NotRegex, "a?", false),
        ] {
            assert_eq!(
                Matcher::new("job", op, value).unwrap().matches_labels(&labels),
                expected,
                "{op:?} {value:?}"
            );
        }
    }

    #[test]
    fn patterns_are_anchored() {
        let matcher = Matcher::new("job", MatchOp::Regex, "a|b").unwrap();
        assert!(matcher.matches("a") && matcher.matches("b"));
        assert!(!matcher.matches("ab") && !matcher.matches("xb"));
        assert!(Matcher::new("job", MatchOp::Regex, "(").is_err());
    }
}
