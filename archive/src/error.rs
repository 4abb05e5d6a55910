//! The errors of the archive, told apart by what the caller can do about them.

use crate::KeyError;

/// Why an operation on the archive failed.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The store did not do it, or did not say whether it did: try again later.
    #[error("object store, `{object}`: {source}")]
    Store {
        /// The object, or the prefix that was listed.
        object: String,
        /// What the store said.
        source: object_store::Error,
    },
    /// Writing a local file failed (full disk, I/O error).
    #[error("write part: {0}")]
    Write(#[source] std::io::Error),
    /// The bytes are not what their name promises. Reading them again will not help.
    #[error("`{object}` is corrupt: {reason}")]
    Corrupt {
        /// The object.
        object: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A newer program wrote the object.
    #[error("`{object}` has version {found}, this program reads {supported}: upgrade")]
    NewerVersion {
        /// The object.
        object: String,
        /// Its version.
        found: u64,
        /// The newest version that this program reads.
        supported: u64,
    },
    /// It is encrypted, and the key is missing or wrong; the object may be as good as ever.
    #[error("`{object}`: {source}")]
    Key {
        /// The object.
        object: String,
        /// Which key, and what is wrong with it.
        source: KeyError,
    },
    /// The configuration of the store cannot be used; the text says what to change.
    #[error("object store configuration: {0}")]
    Config(String),
    /// The caller broke a rule of the function: a bug in this program.
    #[error("{0}")]
    Invalid(String),
    /// The archive's own rules forbid it as things are now; the text says why.
    #[error("refused: {0}")]
    Refused(String),
    /// Other committers won each time; nothing is lost, try again later.
    #[error("lost the creation of `{object}` {attempts} times in a row")]
    Contended {
        /// The object that others created each time.
        object: String,
        /// How often it was tried.
        attempts: usize,
    },
}

impl ArchiveError {
    /// Wraps an error of the store with the object it concerns.
    pub(crate) fn store(object: impl ToString) -> impl FnOnce(object_store::Error) -> Self {
        let object = object.to_string();
        move |source| match of_encryption(source) {
            Ok(ours) => ours,
            Err(source) => Self::Store {
                object,
                source: crate::store::in_one_line(source),
            },
        }
    }

    /// Wraps what is wrong with a key with the object it concerns.
    pub(crate) fn key(object: impl ToString) -> impl Fn(KeyError) -> Self {
        let object = object.to_string();
        move |source| Self::Key {
            object: object.clone(),
            source,
        }
    }

    /// Says what is wrong with an object.
    pub(crate) fn corrupt(object: impl ToString, reason: impl ToString) -> Self {
        Self::Corrupt {
            object: object.to_string(),
            reason: reason.to_string(),
        }
    }

    /// Whether the store says that the object is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(
            self,
            Self::Store {
                source: object_store::Error::NotFound { .. },
                ..
            }
        )
    }

    /// Whether the store says that it is not allowed.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        use object_store::Error::{PermissionDenied, Unauthenticated};
        let denied = |source: &object_store::Error| matches!(source, PermissionDenied { .. } | Unauthenticated { .. });
        matches!(self, Self::Store { source, .. } if denied(source))
    }

    /// Whether trying again later can help: the store or the local disk was the trouble, not the data.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Store { .. } | Self::Write(_) | Self::Contended { .. })
    }
}

/// What a store with keys found wrong, which is no trouble of the store below it.
fn of_encryption(error: object_store::Error) -> Result<ArchiveError, object_store::Error> {
    match error {
        object_store::Error::Generic { store, source } => match source.downcast::<ArchiveError>() {
            Ok(ours) => Ok(*ours),
            Err(source) => Err(object_store::Error::Generic { store, source }),
        },
        other => Err(other),
    }
}
