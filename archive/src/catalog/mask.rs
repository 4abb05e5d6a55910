//! A mask: rows that are deleted, before they are rewritten and after (DESIGN §6).
//!
//! It holds from the root that names it: for every part that was not written under it, for commit records that are not folded,
//! and for heads, whether the rows came before it or come later, until it is lifted. It must never hide a row of another tenant.

use serde::{Deserialize, Serialize};

use emberkeep_model::{Labels, MatchOp, Matcher, TenantId, TimeRange, matches_all};

use super::PartEntry;
use crate::ArchiveError;
use crate::envelope::CatalogObject;

/// What is deleted, by whom and why. Also the object `_archive/masks/<id>`, from which a lost catalog is rebuilt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mask {
    /// Its ULID as text.
    pub id: String,
    /// The number of the root that first named it; 0 in the object, which exists before that root.
    pub number: u64,
    /// Whose rows.
    pub tenant: String,
    /// Which series: all must match.
    pub matchers: Vec<MatcherText>,
    /// First timestamp that is deleted, milliseconds since 1970.
    pub from: i64,
    /// First timestamp after it that is not.
    pub to: i64,
    /// Why, in words.
    pub reason: String,
    /// Who asked for it.
    pub who: String,
    /// When, milliseconds since 1970.
    pub created_at: i64,
}

impl CatalogObject for Mask {
    const VERSION: u64 = 1;
}

/// One matcher as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MatcherText {
    /// Label name.
    pub name: String,
    /// `=`, `!=`, `=~` or `!~`.
    pub op: String,
    /// Value or RE2 pattern.
    pub value: String,
}

/// A mask ready to be applied.
#[derive(Debug)]
pub struct CompiledMask {
    number: u64,
    tenant: String,
    matchers: Vec<Matcher>,
    range: TimeRange,
}

impl From<&Matcher> for MatcherText {
    fn from(matcher: &Matcher) -> Self {
        let op = match matcher.op() {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regex => "=~",
            MatchOp::NotRegex => "!~",
        };
        Self {
            name: matcher.name().to_owned(),
            op: op.to_owned(),
            value: matcher.value().to_owned(),
        }
    }
}

impl MatcherText {
    fn compile(&self, object: &str) -> Result<Matcher, ArchiveError> {
        let op = match self.op.as_str() {
            "=" => MatchOp::Equal,
            "!=" => MatchOp::NotEqual,
            "=~" => MatchOp::Regex,
            "!~" => MatchOp::NotRegex,
            other => {
                return Err(ArchiveError::corrupt(
                    object,
                    format!("`{other}` is no operator of a matcher"),
                ));
            }
        };
        Matcher::new(&self.name, op, &self.value).map_err(|error| ArchiveError::corrupt(object, error))
    }
}

impl Mask {
    /// The mask ready to be applied.
    ///
    /// # Errors
    /// [`ArchiveError::Corrupt`] when a matcher is none.
    pub fn compile(&self) -> Result<CompiledMask, ArchiveError> {
        Ok(CompiledMask {
            number: self.number,
            tenant: self.tenant.clone(),
            matchers: self.compile_matchers()?,
            range: self.range(),
        })
    }

    /// Its matchers.
    ///
    /// # Errors
    /// [`ArchiveError::Corrupt`] when one is none.
    pub fn compile_matchers(&self) -> Result<Vec<Matcher>, ArchiveError> {
        let object = format!("mask {}", self.id);
        self.matchers.iter().map(|matcher| matcher.compile(&object)).collect()
    }

    /// Which time it deletes.
    #[must_use]
    pub fn range(&self) -> TimeRange {
        TimeRange {
            start: self.from,
            end: self.to,
        }
    }

    /// Whether the part may hold rows that it deletes and that were written before it.
    #[must_use]
    pub fn concerns(&self, part: &PartEntry) -> bool {
        let range = self.range();
        part.masks < self.number && (part.may_hold(&self.tenant, range) || part.may_hold_exemplars(&self.tenant, range))
    }
}

impl CompiledMask {
    /// The number of the root that first named it.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Which time it deletes.
    #[must_use]
    pub fn range(&self) -> TimeRange {
        self.range
    }

    /// Whether rows of the series inside its time are deleted.
    #[must_use]
    pub fn hides_series(&self, tenant: &TenantId, labels: &Labels) -> bool {
        self.tenant == tenant.as_str() && matches_all(&self.matchers, labels)
    }

    /// Whether it says anything about the tenant.
    #[must_use]
    pub fn is_of(&self, tenant: &TenantId) -> bool {
        self.tenant == tenant.as_str()
    }
}
