//! The guard: what would take away much of an archive at once needs a person who says yes.
//!
//! A mistyped duration, a clock that jumped or a matcher that matches everything look like any other setting. What they have in
//! common is that they take much at once. So every removal (retention, deletion, quota) passes here first, and is refused as a
//! whole: doing a part of it would be the same mistake in slices. Compaction loses nothing and does not pass here.

use emberkeep_archive::{ArchiveError, Live};
use emberkeep_service::time_expr::format_rfc3339;

/// Most of the archive's bytes that go at once without a confirmation, in percent, when nothing is said.
pub const MOST_AT_ONCE_PERCENT: u8 = 10;

/// Whether a person has confirmed what is to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consent {
    /// Nobody has.
    Missing,
    /// `--yes`.
    Given,
}

impl From<bool> for Consent {
    fn from(yes: bool) -> Self {
        if yes { Self::Given } else { Self::Missing }
    }
}

impl UpkeepError {
    /// Whether nothing of what was asked for can have come about. A store that does not answer may have done it all the same.
    pub(crate) fn is_certain(&self) -> bool {
        !matches!(self, Self::Archive(ArchiveError::Store { .. }))
    }
}

/// Why upkeep was not done.
#[derive(Debug, thiserror::Error)]
pub enum UpkeepError {
    /// The catalog or the store.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// More at once than is believed without a confirmation. Nothing was removed.
    #[error(
        "refused: {what} would remove {bytes} of {of} bytes, more than {percent} %; look at it with `{look}`, confirm it with `{confirm}`"
    )]
    TooMuch {
        /// Who wants to remove: retention, a deletion, the quota.
        what: &'static str,
        /// Bytes that would go.
        bytes: u64,
        /// Bytes of all live parts.
        of: u64,
        /// The bound.
        percent: u8,
        /// The command that shows it and does nothing.
        look: String,
        /// The command that does it.
        confirm: String,
    },
    /// A lock keeps what is to be removed.
    #[error("refused: lock {id} keeps {whose} data from {from} to {to}: {reason}")]
    Locked {
        /// The lock.
        id: String,
        /// `all` or the tenant.
        whose: String,
        /// First moment that is kept.
        from: String,
        /// First moment after it that is not.
        to: String,
        /// Why it is locked.
        reason: String,
    },
    /// There is nothing by that name.
    #[error("there is no {what} `{id}`")]
    Unknown {
        /// What was looked for.
        what: &'static str,
        /// Its name.
        id: String,
    },
    /// What was asked for makes no sense; the text says why.
    #[error("{0}")]
    Invalid(String),
}

impl UpkeepError {
    /// The error that names a lock.
    pub(crate) fn locked(lock: &emberkeep_archive::Lock) -> Self {
        Self::Locked {
            id: lock.id.clone(),
            whose: lock
                .tenant
                .as_ref()
                .map_or_else(|| "all".to_owned(), |tenant| format!("tenant `{tenant}`'s")),
            from: format_rfc3339(lock.from),
            to: format_rfc3339(lock.to),
            reason: lock.reason.clone(),
        }
    }

    /// Whether it is the guard that refused: only a person can go on.
    #[must_use]
    pub fn is_guard(&self) -> bool {
        matches!(self, Self::TooMuch { .. })
    }
}

/// Whether so many bytes are more than a share of all.
#[must_use]
pub fn is_too_much(bytes: u64, of: u64, percent: u8) -> bool {
    u128::from(bytes) * 100 > u128::from(of) * u128::from(percent)
}

/// What a removal is called, and the commands that show and confirm it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Removing<'a> {
    pub(crate) what: &'static str,
    pub(crate) look: &'a str,
    pub(crate) confirm: &'a str,
    pub(crate) percent: u8,
}

impl Removing<'_> {
    /// Refuses too much without a confirmation.
    pub(crate) fn check(&self, live: &Live, bytes: u64, consent: Consent) -> Result<(), UpkeepError> {
        self.check_of(live.bytes(), bytes, consent)
    }

    /// As [`Removing::check`], of so many bytes.
    pub(crate) fn check_of(&self, of: u64, bytes: u64, consent: Consent) -> Result<(), UpkeepError> {
        if consent == Consent::Given || !is_too_much(bytes, of, self.percent) {
            return Ok(());
        }
        Err(UpkeepError::TooMuch {
            what: self.what,
            bytes,
            of,
            percent: self.percent,
            look: self.look.to_owned(),
            confirm: self.confirm.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_is_allowed_and_a_byte_more_is_not() {
        assert!(!is_too_much(100, 1000, 10));
        assert!(is_too_much(101, 1000, 10));
        assert!(!is_too_much(0, 0, 10));
        assert!(is_too_much(1, 0, 10));
        assert!(!is_too_much(1000, 1000, 100));
        assert!(is_too_much(u64::MAX, u64::MAX, 99));
    }

    #[test]
    fn a_confirmation_lets_everything_pass() {
        let removing = Removing {
            what: "retention",
            look: "look",
            confirm: "confirm --yes",
            percent: 10,
        };
        let live = Live::default();
        assert!(removing.check(&live, 5, Consent::Given).is_ok());
        let refused = removing
            .check(&live, 5, Consent::Missing)
            .map_err(|error| error.to_string());
        assert_eq!(
            refused,
            Err("refused: retention would remove 5 of 0 bytes, more than 10 %; look at it with `look`, confirm it with `confirm --yes`"
                .to_owned())
        );
    }
}
