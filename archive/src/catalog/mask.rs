//! A mask: rows that are deleted, before they are rewritten and after (DESIGN §6).
//!
//! It holds from the root that names it: for every part that was not written under it, for commit records that are not folded,
//! and for heads, whether the rows came before it or come later, until it is lifted. It must never hide a row of another tenant.

use serde::{Deserialize, Serialize};

use emberkeep_model::{Labels, MatchOp, Matcher, SeenMetadata, TenantId, TimeRange, matches_all};

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
    /// Whether it asks for nothing but the metric's name.
    is_of_names: bool,
}

/// Whether masks hide an entry of metadata as one part, record or head has it. The rule for everybody who reads or rewrites metadata:
///
/// Metadata has no rows in time, only the time in which it was said, so it is hidden when masks together cover all of this time, and else
/// not at all. What was said of a series is hidden by masks of that series. What was said of a family belongs to all its series, so only
/// masks that ask for nothing but the metric's name can hide it: it must not go while it is also said of something that is not deleted.
#[must_use]
pub fn hides_metadata<'a>(
    masks: impl Iterator<Item = &'a CompiledMask> + Clone,
    tenant: &TenantId,
    family: &str,
    series: Option<&Labels>,
    seen: &SeenMetadata,
) -> bool {
    let named = match series {
        Some(_) => None,
        None => Labels::from_pairs([(Labels::METRIC_NAME, family)]).ok(),
    };
    let Some(labels) = series.or(named.as_ref()) else {
        return false;
    };
    let concerned = masks.filter(|mask| (series.is_some() || mask.is_of_names) && mask.hides_series(tenant, labels));
    let ranges = concerned.map(|mask| mask.range);
    let mut from = seen.first_seen;
    while from <= seen.last_seen {
        // Goes on where those that hold this moment end.
        match ranges
            .clone()
            .filter(|range| range.contains(from))
            .map(|range| range.end)
            .max()
        {
            Some(end) => from = end,
            None => return false,
        }
    }
    seen.first_seen <= seen.last_seen
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
            is_of_names: self.matchers.iter().all(|matcher| matcher.name == Labels::METRIC_NAME),
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn mask(name: &str, from: i64, to: i64) -> CompiledMask {
        let mask = Mask {
            id: String::new(),
            number: 1,
            tenant: "a".to_owned(),
            matchers: vec![MatcherText {
                name: name.to_owned(),
                op: "=".to_owned(),
                value: "up".to_owned(),
            }],
            from,
            to,
            reason: String::new(),
            who: String::new(),
            created_at: 0,
        };
        mask.compile().unwrap()
    }

    fn seen(first_seen: i64, last_seen: i64) -> SeenMetadata {
        SeenMetadata {
            metadata: emberkeep_model::Metadata::default(),
            first_seen,
            last_seen,
        }
    }

    proptest! {
        #[test]
        fn it_is_hidden_when_every_moment_in_which_it_was_said_is(
            ranges in prop::collection::vec((-20_i64..20, 0_i64..12), 0..5),
            first in -25_i64..25,
            length in -1_i64..20,
        ) {
            let tenant = TenantId::parse("a").unwrap();
            let masks: Vec<_> = ranges.iter().map(|&(from, length)| mask("__name__", from, from + length)).collect();
            let last = first + length;
            let is_covered = |t: i64| ranges.iter().any(|&(from, length)| (from..from + length).contains(&t));
            let expected = first <= last && (first..=last).all(is_covered);
            let hides = |family: &str, series: Option<&Labels>| {
                hides_metadata(masks.iter(), &tenant, family, series, &seen(first, last))
            };
            let series = |name: &str| Labels::from_pairs([("__name__", name), ("job", "x")]).unwrap();
            prop_assert_eq!(hides("up", None), expected);
            prop_assert_eq!(hides("up", Some(&series("up"))), expected);
            prop_assert!(!hides("down", None));
            prop_assert!(!hides("down", Some(&series("down"))));
            let other = TenantId::parse("b").unwrap();
            prop_assert!(!hides_metadata(masks.iter(), &other, "up", None, &seen(first, last)));
        }
    }

    #[test]
    fn what_is_said_of_a_family_stays_while_only_some_of_its_series_are_deleted() {
        let tenant = TenantId::parse("a").unwrap();
        let masks = [mask("job", i64::MIN, i64::MAX)];
        let series = Labels::from_pairs([("__name__", "up"), ("job", "up")]).unwrap();
        let hides = |series| hides_metadata(masks.iter(), &tenant, "up", series, &seen(1, 2));
        assert!(hides(Some(&series)));
        assert!(!hides(None));
    }
}
