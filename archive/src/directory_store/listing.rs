//! Listings of the directory store, always in the order of names. Unfinished files and foreign names are never shown.

use std::io::ErrorKind;

use object_store::path::Path;
use object_store::{ObjectMeta, Result};

use emberkeep_disk::Entry;

use super::files::{Files, TEMPORARY, error_of, meta};

impl Files {
    /// All objects below a prefix, in the order of names.
    pub(super) fn list(&self, prefix: Option<&Path>, after: Option<&Path>) -> Result<Vec<ObjectMeta>> {
        let mut found = Vec::new();
        let prefix = prefix.cloned().unwrap_or_default();
        self.walk(&prefix, &mut found)?;
        found.retain(|object| after.is_none_or(|after| object.location > *after));
        found.sort_by(|a, b| a.location.cmp(&b.location));
        Ok(found)
    }

    /// Objects and directories directly below a prefix.
    pub(super) fn list_level(&self, prefix: Option<&Path>) -> Result<(Vec<ObjectMeta>, Vec<Path>)> {
        let prefix = prefix.cloned().unwrap_or_default();
        let (mut objects, mut directories) = (Vec::new(), Vec::new());
        for (location, entry) in self.children(&prefix)? {
            if entry.is_file() {
                objects.push(meta(location, &entry));
            } else if entry.is_dir() {
                directories.push(location);
            }
        }
        Ok((objects, directories))
    }

    fn walk(&self, prefix: &Path, found: &mut Vec<ObjectMeta>) -> Result<()> {
        for (location, entry) in self.children(prefix)? {
            if entry.is_dir() {
                self.walk(&location, found)?;
            } else if entry.is_file() {
                found.push(meta(location, &entry));
            }
        }
        Ok(())
    }

    /// What lies directly below a prefix. Names that are no object names (another program's) are passed over.
    fn children(&self, prefix: &Path) -> Result<Vec<(Path, Entry)>> {
        let directory = self.path_of(prefix)?;
        let entries = match self.fs.read_dir(&directory) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                // A store that went away, unmounted perhaps, is not an empty one.
                self.fs.read_dir(self.root()).map_err(error_of(prefix))?;
                Vec::new()
            }
            entries => entries.map_err(error_of(prefix))?,
        };
        let is_root = prefix.as_ref().is_empty();
        let entries = entries
            .into_iter()
            .filter(|entry| !(is_root && entry.name_str() == Some(TEMPORARY)));
        let named = entries.filter_map(|entry| {
            let name = entry.name_str()?;
            let text = if is_root {
                name.to_owned()
            } else {
                format!("{prefix}/{name}")
            };
            Some((Path::parse(text).ok()?, entry))
        });
        Ok(named.collect())
    }
}
