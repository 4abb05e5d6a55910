//! The owner of data. Parsed once at the edge, so that no path or object name is ever made of unchecked text.

use std::fmt;
use std::sync::Arc;

/// A tenant id by the rules that Cortex and Mimir document: at most 150 characters of `A-Z a-z 0-9 ! - _ . * ' ( )`, not `.` or `..`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(Arc<str>);

/// A tenant id that cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TenantError {
    /// Longer than 150 bytes, or empty.
    #[error("tenant id has {0} bytes, it must have 1 to 150")]
    Length(usize),
    /// A character outside the allowed set.
    #[error("tenant id `{0}` has the character `{1}`; allowed are letters, digits and !-_.*'()")]
    Character(String, char),
    /// `.` and `..` are path steps.
    #[error("tenant id `{0}` is a path step")]
    PathStep(String),
}

impl TenantId {
    /// The tenant of requests that name none.
    pub const ANONYMOUS: &'static str = "anonymous";

    /// Checks and takes a tenant id.
    ///
    /// # Errors
    /// Says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, TenantError> {
        if text.is_empty() || text.len() > 150 {
            return Err(TenantError::Length(text.len()));
        }
        if let Some(c) = text
            .chars()
            .find(|c| !c.is_ascii_alphanumeric() && !"!-_.*'()".contains(*c))
        {
            return Err(TenantError::Character(text.to_owned(), c));
        }
        if text == "." || text == ".." {
            return Err(TenantError::PathStep(text.to_owned()));
        }
        Ok(Self(text.into()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for TenantId {
    fn default() -> Self {
        Self(Self::ANONYMOUS.into())
    }
}

impl std::str::FromStr for TenantId {
    type Err = TenantError;

    fn from_str(text: &str) -> Result<Self, TenantError> {
        Self::parse(text)
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_could_leave_their_directory_are_refused() {
        for bad in ["", ".", "..", "a/b", "a\\b", "a b", "ä", "a|b", "a\0"] {
            assert!(TenantId::parse(bad).is_err(), "{bad:?}");
        }
        assert!(TenantId::parse(&"a".repeat(151)).is_err());
        for good in ["anonymous", "team-1", "a.b", "it's(ok)!*_"] {
            assert_eq!(TenantId::parse(good).map(|t| t.to_string()), Ok(good.to_owned()));
        }
    }
}
