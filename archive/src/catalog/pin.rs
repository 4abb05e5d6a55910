//! Pins: what a long reader reads is not deleted under it (DESIGN §5.6).
//!
//! A pin is created, then the newest root is read. A collector raises the floor in a root, then lists the pins, then deletes. So
//! either the collector sees the pin, or the reader sees the floor: nothing is deleted that a held pin protects.

use std::time::Duration;

use futures::StreamExt;
use object_store::{ObjectStore, ObjectStoreExt};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::Catalog;
use super::load::load;
use crate::envelope::CatalogObject;
use crate::{ArchiveError, names, put_create};

/// `_archive/pins/<ULID>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// Its ULID as text.
    pub id: String,
    /// The root whose files are kept.
    pub root: u64,
    /// Until when, milliseconds since 1970, if nobody removes it before.
    pub expires_at: i64,
    /// Who reads, in words.
    pub who: String,
}

impl CatalogObject for Pin {
    const VERSION: u64 = 1;
}

/// A pin that is held. It ends by [`HeldPin::release`], or by itself when it expires: a reader that dies holds nothing for ever.
#[derive(Debug)]
pub struct HeldPin {
    pin: Pin,
}

impl HeldPin {
    /// Pins a root that is readable now.
    ///
    /// # Errors
    /// [`ArchiveError::Refused`] when files of the root may be deleted already: look again and pin that; otherwise as
    /// [`Catalog::refresh`].
    pub async fn hold(
        catalog: &Catalog,
        root: u64,
        lifetime: Duration,
        who: &str,
        now_ms: i64,
    ) -> Result<Self, ArchiveError> {
        let held = Self {
            pin: create(catalog, root, lifetime, who, now_ms).await?,
        };
        let floor = catalog.look_at_root().await?.floor();
        if root < floor {
            held.release(catalog).await;
            return Err(below(root, floor));
        }
        Ok(held)
    }

    /// Prolongs it: a new pin takes its place before the old one goes.
    ///
    /// # Errors
    /// [`ArchiveError::Refused`] when the old pin had expired before and files may be deleted already; otherwise as
    /// [`Catalog::refresh`], and the old pin holds until it expires.
    pub async fn renew(&mut self, catalog: &Catalog, lifetime: Duration, now_ms: i64) -> Result<(), ArchiveError> {
        let pin = create(catalog, self.pin.root, lifetime, &self.pin.who, now_ms).await?;
        let next = Self { pin };
        // The floor may be above the root because of what the old pin kept from being deleted. There was no moment without a pin when
        // the new one came before the old one expired; else the floor decides.
        let root = next.pin.root;
        let floor = catalog.look_at_root().await?.floor();
        if root < floor && next.stored_at(catalog).await? >= self.pin.expires_at {
            next.release(catalog).await;
            return Err(below(root, floor));
        }
        std::mem::replace(self, next).release(catalog).await;
        Ok(())
    }

    async fn stored_at(&self, catalog: &Catalog) -> Result<i64, ArchiveError> {
        let path = names::pin(&self.pin.id);
        let found = catalog.store().head(&path).await.map_err(ArchiveError::store(&path))?;
        Ok(found.last_modified.timestamp_millis())
    }

    /// The root whose files are kept.
    #[must_use]
    pub fn root(&self) -> u64 {
        self.pin.root
    }

    /// Ends it. A store that does not take the deletion lets it expire.
    pub async fn release(self, catalog: &Catalog) {
        // Nothing depends on it: an expired pin is passed over and removed by the collector.
        let _ = catalog.store().delete(&names::pin(&self.pin.id)).await;
    }
}

/// A root whose files may be deleted.
pub(super) fn below(root: u64, floor: u64) -> ArchiveError {
    ArchiveError::Refused(format!(
        "root {root} is older than root {floor}, files of it are deleted"
    ))
}

async fn create(catalog: &Catalog, root: u64, lifetime: Duration, who: &str, now_ms: i64) -> Result<Pin, ArchiveError> {
    let lifetime = i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX);
    let pin = Pin {
        id: Ulid::generate().to_string(),
        root,
        expires_at: now_ms.saturating_add(lifetime),
        who: who.to_owned(),
    };
    put_create(&**catalog.store(), &names::pin(&pin.id), &pin, &pin.id).await?;
    Ok(pin)
}

/// All pins that exist, expired ones too. One listing, and one read each.
pub(super) async fn pins(store: &dyn ObjectStore) -> Result<Vec<Pin>, ArchiveError> {
    let prefix = names::pins();
    let mut listing = store.list(Some(&prefix));
    let mut pins = Vec::new();
    while let Some(found) = listing.next().await {
        let found = found.map_err(ArchiveError::store(&prefix))?;
        match load::<Pin>(store, &found.location).await {
            Ok(pin) => pins.push(pin),
            // Its reader ended meanwhile.
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(pins)
}
