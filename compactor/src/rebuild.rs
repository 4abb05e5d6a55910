//! Rebuild of a lost catalog: the decision whether it may be done, and what is told of it.

use emberkeep_archive::{Catalog, Rebuild, Root, fresh_nonce};

use crate::guard::{Consent, UpkeepError};

/// Looks at what a rebuild would find. Nothing is changed.
///
/// # Errors
/// As [`Rebuild::survey`].
pub async fn survey(catalog: &Catalog) -> Result<Rebuild, UpkeepError> {
    Ok(Rebuild::survey(catalog).await?)
}

/// Makes the catalog anew; or only makes live what an earlier rebuild missed, when the newest root can be read.
///
/// # Errors
/// [`UpkeepError::Invalid`] when the newest root can be read and nobody has confirmed: nothing is changed then; otherwise as
/// [`Rebuild::commit`].
pub async fn rebuild(catalog: &Catalog, found: Rebuild, consent: Consent, now_ms: i64) -> Result<Root, UpkeepError> {
    if found.is_readable && consent == Consent::Missing {
        // An earlier rebuild ended before it looked for what receivers had committed meanwhile.
        if let Some(root) = found.clone().take_in_missed(catalog, now_ms).await? {
            return Ok(root);
        }
        return Err(UpkeepError::Invalid(format!(
            "refused: root {} and all that it names can be read, so there is nothing to repair; `--yes` rebuilds it all the same, and \
             what was removed and not yet deleted becomes live again",
            found.newest_root
        )));
    }
    Ok(found.commit(catalog, &fresh_nonce(), now_ms).await?)
}

#[cfg(test)]
mod tests;
