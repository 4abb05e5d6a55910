//! What is live as of the newest root: what a change of the catalog is decided on.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use ulid::Ulid;

use super::view::KnownRoot;
use super::{CondemnedEntry, Lock, ManifestEntry, Mask, PartEntry, Root};
use crate::names;

/// The newest root with the parts of all its manifests. Before the first root it is empty.
#[derive(Debug, Clone, Default)]
pub struct Live {
    pub(super) known: Option<Arc<KnownRoot>>,
}

impl Live {
    /// The root's number; 0 before the first.
    #[must_use]
    pub fn root_n(&self) -> u64 {
        self.known.as_ref().map_or(0, |known| known.root.n)
    }

    /// The root without its parts of level 0, which [`Live::parts`] gives; none before the first.
    #[must_use]
    pub fn root(&self) -> Option<&Root> {
        self.known.as_ref().map(|known| &known.root)
    }

    /// All live parts: level 0 in the order in which they were folded, then the others by day.
    pub fn parts(&self) -> impl Iterator<Item = &Arc<PartEntry>> {
        self.known.iter().flat_map(|known| known.parts())
    }

    /// Live parts by their own name.
    #[must_use]
    pub fn by_ulid(&self) -> BTreeMap<Ulid, Arc<PartEntry>> {
        self.parts().map(|part| (part.ulid, Arc::clone(part))).collect()
    }

    /// Names of the parts that cannot be read.
    #[must_use]
    pub fn quarantined(&self) -> HashSet<String> {
        let listed = self.root().map_or(&[][..], |root| &root.quarantined);
        listed.iter().map(|entry| entry.part.clone()).collect()
    }

    /// Deletions in force.
    #[must_use]
    pub fn masks(&self) -> &[Mask] {
        self.root().map_or(&[], |root| &root.masks)
    }

    /// Ranges that nothing may remove.
    #[must_use]
    pub fn locks(&self) -> &[Lock] {
        self.root().map_or(&[], |root| &root.locks)
    }

    /// Lists of what is live no more and not yet deleted.
    #[must_use]
    pub fn condemned(&self) -> &[CondemnedEntry] {
        self.root().map_or(&[], |root| &root.condemned)
    }

    /// Roots with smaller numbers may name files that are deleted.
    #[must_use]
    pub fn floor(&self) -> u64 {
        self.root().map_or(0, |root| root.floor)
    }

    /// Bytes of the files of all live parts.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.parts().map(|part| part.bytes()).fold(0, u64::saturating_add)
    }

    /// Whether the root names a manifest or a list of condemned files, given by object name.
    #[must_use]
    pub fn names_list(&self, name: &str) -> bool {
        let manifests = self.manifests().iter().map(|entry| names::manifest(&entry.name));
        let condemned = self.condemned().iter().map(|entry| names::condemned(&entry.name));
        manifests.chain(condemned).any(|path| path.as_ref() == name)
    }

    pub(super) fn manifests(&self) -> &[ManifestEntry] {
        self.root().map_or(&[], |root| &root.manifests)
    }
}
