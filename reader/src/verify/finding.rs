//! What a verification found wrong: a list that is bounded, and counts that are whole.
//!
//! Each finding says which object, what was expected, what was found, and what to do. A store that did not answer proves nothing: that
//! is a finding of its own kind and never taken for damage.

use std::collections::BTreeMap;

use emberkeep_archive::ArchiveError;
use emberkeep_model::excerpt::{QUOTED_BYTES_MAX, excerpt};
use serde::Serialize;

use crate::ReaderError;

/// What kind of trouble it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FindingKind {
    /// Something that must be there is not.
    Missing,
    /// Bytes are not what they were, or no bytes of their kind at all.
    Damaged,
    /// Rows are not those that were expected.
    Different,
    /// There is something that should not be.
    Extra,
    /// It could not be checked; nothing is known about it.
    Unchecked,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of trouble it is.
    pub kind: FindingKind,
    /// The object in the bucket, or the path on disk.
    pub object: String,
    /// The series, when it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series: Option<String>,
    /// Which rows: their kind, and the window of two hours in which they lie.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<String>,
    /// What should be.
    pub expected: String,
    /// What is.
    pub found: String,
    /// What to do about it.
    pub advice: String,
}

impl Finding {
    /// What an error of the archive says about an object.
    pub(super) fn of_archive(object: &str, expected: impl Into<String>, error: &ArchiveError, advice: &str) -> Self {
        let (kind, found) = match error {
            error if error.is_not_found() => (FindingKind::Missing, "it is not there".to_owned()),
            ArchiveError::Corrupt { reason, .. } if reason.starts_with("it is gone") => {
                (FindingKind::Missing, reason.clone())
            }
            ArchiveError::Corrupt { reason, .. } => (FindingKind::Damaged, reason.clone()),
            ArchiveError::NewerVersion { .. } | ArchiveError::Invalid(_) => (FindingKind::Damaged, error.to_string()),
            other => (FindingKind::Unchecked, other.to_string()),
        };
        let advice = match kind {
            FindingKind::Unchecked => "nothing is known about it: run this again when the store answers",
            _ => advice,
        };
        Self {
            kind,
            object: object.to_owned(),
            series: None,
            rows: None,
            expected: expected.into(),
            found,
            advice: advice.to_owned(),
        }
    }

    /// What an error of a read says.
    pub(super) fn of_reader(object: &str, expected: &str, error: &ReaderError, advice: &str) -> Self {
        match error {
            ReaderError::Archive(error) => Self::of_archive(object, expected, error, advice),
            ReaderError::Inconsistent(why) => {
                let error = ArchiveError::Corrupt {
                    object: object.to_owned(),
                    reason: why.clone(),
                };
                Self::of_archive(object, expected, &error, advice)
            }
            other => Self::unchecked(object, other),
        }
    }

    /// Something that could not be looked at.
    pub(super) fn unchecked(object: &str, why: &dyn std::fmt::Display) -> Self {
        Self {
            kind: FindingKind::Unchecked,
            object: object.to_owned(),
            series: None,
            rows: None,
            expected: "that it can be read".to_owned(),
            found: why.to_string(),
            advice: "nothing is known about it: run this again when it can be read".to_owned(),
        }
    }

    /// As it is, about a series.
    pub(super) fn of_series(mut self, labels: &dyn std::fmt::Display) -> Self {
        self.series = Some(excerpt(labels, QUOTED_BYTES_MAX));
        self
    }
}

/// All that was found, the first of it listed.
#[derive(Debug, Clone)]
pub struct Findings {
    most: usize,
    listed: Vec<Finding>,
    counts: BTreeMap<FindingKind, u64>,
}

impl Findings {
    /// A list of at most so many.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            most,
            listed: Vec::new(),
            counts: BTreeMap::new(),
        }
    }

    /// Counts it, and lists it when there is room.
    pub fn push(&mut self, finding: Finding) {
        *self.counts.entry(finding.kind).or_default() += 1;
        if self.listed.len() < self.most {
            self.listed.push(finding);
        }
    }

    /// Adds what another part of the work found.
    pub fn merge(&mut self, other: Self) {
        for (kind, count) in other.counts {
            *self.counts.entry(kind).or_default() += count;
        }
        let room = self.most - self.listed.len();
        self.listed.extend(other.listed.into_iter().take(room));
    }

    /// Those that are listed.
    #[must_use]
    pub fn listed(&self) -> &[Finding] {
        &self.listed
    }

    /// How many there are of a kind, listed or not.
    #[must_use]
    pub fn count(&self, kind: FindingKind) -> u64 {
        self.counts.get(&kind).copied().unwrap_or(0)
    }

    /// How many prove that something is wrong.
    #[must_use]
    pub fn differences(&self) -> u64 {
        self.counts.values().sum::<u64>() - self.unchecked()
    }

    /// How many could not be checked.
    #[must_use]
    pub fn unchecked(&self) -> u64 {
        self.count(FindingKind::Unchecked)
    }

    /// How many are not listed.
    #[must_use]
    pub fn unlisted(&self) -> u64 {
        self.counts.values().sum::<u64>() - self.listed.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(kind: FindingKind) -> Finding {
        Finding {
            kind,
            ..Finding::unchecked("x", &"y")
        }
    }

    #[test]
    fn the_list_is_bounded_and_the_count_is_whole() {
        let mut all = Findings::new(3);
        let mut other = Findings::new(3);
        for _ in 0..5 {
            other.push(finding(FindingKind::Damaged));
        }
        all.push(finding(FindingKind::Unchecked));
        all.merge(other);
        assert_eq!(
            (all.listed().len(), all.differences(), all.unchecked(), all.unlisted()),
            (3, 5, 1, 3)
        );
        assert_eq!(all.count(FindingKind::Damaged), 5);
    }

    #[test]
    fn a_store_that_does_not_answer_proves_nothing() {
        let silent = ArchiveError::Write(std::io::Error::other("full"));
        let found = Finding::of_archive("x", "y", &silent, "z");
        assert_eq!(found.kind, FindingKind::Unchecked);
        let corrupt = ArchiveError::Corrupt {
            object: "x".to_owned(),
            reason: "bad".to_owned(),
        };
        assert_eq!(Finding::of_archive("x", "y", &corrupt, "z").kind, FindingKind::Damaged);
    }
}
