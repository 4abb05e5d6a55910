//! Epochs: each incarnation of a receiver claims the next number before its first commit, so that of two processes with one
//! receiver id (a restored disk image, a paused machine) the older one is fenced.

use object_store::ObjectStore;
use serde::{Deserialize, Serialize};

use super::load::numbered;
use crate::envelope::CatalogObject;
use crate::{ArchiveError, Created, names, put_create};

/// How many claims in a row may be lost to others before giving up.
const ATTEMPTS: usize = 100;

/// `_archive/receivers/<receiver>/epoch/<n>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EpochClaim {
    /// Random text of the incarnation.
    pub(crate) nonce: String,
    /// The receiver's id.
    pub(crate) receiver: String,
    /// The claimed number.
    pub(crate) epoch: u64,
}

impl CatalogObject for EpochClaim {
    const VERSION: u64 = 1;
}

/// Claims the next epoch of a receiver, from 1. `nonce` names the incarnation: the same nonce gets the same epoch again as long
/// as no later one was claimed.
///
/// # Errors
/// [`ArchiveError::Store`] when the store does not answer: try again. [`ArchiveError::Invalid`] for a bad receiver id.
pub async fn claim_epoch(store: &dyn ObjectStore, receiver: &str, nonce: &str) -> Result<u64, ArchiveError> {
    if !names::is_receiver_id(receiver) {
        return Err(ArchiveError::Invalid(format!("`{receiver}` is no receiver id")));
    }
    let prefix = names::epochs(receiver);
    let claimed = numbered(store, &prefix, names::parse_epoch).await?;
    let newest = claimed.into_iter().map(|(_, n)| n).max().unwrap_or(0);
    // The newest claim may be our own, from an attempt whose answer was lost.
    let first = newest.max(1);
    for n in first..first.saturating_add(ATTEMPTS as u64) {
        let claim = EpochClaim {
            nonce: nonce.to_owned(),
            receiver: receiver.to_owned(),
            epoch: n,
        };
        if put_create(store, &names::epoch(receiver, n), &claim, nonce).await? == Created::Ours {
            return Ok(n);
        }
    }
    Err(ArchiveError::Contended {
        object: prefix.to_string(),
        attempts: ATTEMPTS,
    })
}
