//! Why a source did not answer, told apart by what the caller can do about it.

/// Every variant names the URL, without user and password.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The configuration cannot be used: correct it.
    #[error("source `{place}`: {reason}")]
    Config {
        /// The URL or file as it was given.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It cannot be reached, is overloaded, or broke off: try again later.
    #[error("`{url}` cannot be read now: {reason}")]
    Unavailable {
        /// What was asked.
        url: String,
        /// What happened.
        reason: String,
    },
    /// It understood and will not: a wrong URL, missing rights, an endpoint that it does not have. Trying again does not help.
    #[error("`{url}` answers {status}: {said}")]
    Refused {
        /// What was asked.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The first bytes of its answer.
        said: String,
    },
    /// More than it gives, or more than is taken, in one answer: ask for less time or fewer series.
    #[error("`{url}`: too much for one answer: {reason}")]
    TooMuch {
        /// What was asked.
        url: String,
        /// Whose limit.
        reason: String,
    },
    /// What came is no answer of a Prometheus, or is damaged. Nothing of it may be used.
    #[error("`{url}`: no usable answer: {reason}")]
    Answer {
        /// What was asked.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl SourceError {
    /// Whether the same request may be answered later.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// Whether a smaller request may be answered.
    #[must_use]
    pub fn is_too_much(&self) -> bool {
        matches!(self, Self::TooMuch { .. })
    }
}
