//! What one file says of itself, read without the catalog: how a lost catalog is rebuilt from files (DESIGN §5.8).

use std::collections::BTreeMap;

use object_store::ObjectStore;
use object_store::path::Path;

use super::part_file::footer_of;
use super::{PartInfo, TenantSummary, part_number};
use crate::{ArchiveError, FileKind};

/// A file as its footer describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedFile {
    /// Which file of its part.
    pub kind: FileKind,
    /// Where the part comes from.
    pub info: PartInfo,
    /// Number of rows.
    pub rows: u64,
    /// Oldest float or histogram of the part, milliseconds since 1970; `i64::MAX` without any.
    pub min_time: i64,
    /// Newest float or histogram of the part, milliseconds since 1970; `i64::MIN` without any.
    pub max_time: i64,
    /// What each tenant has in the part: in series tables from version 3 on.
    pub tenants: Option<BTreeMap<String, TenantSummary>>,
}

impl DescribedFile {
    /// Reads the footer of a file of so many bytes: one ranged read for most files.
    ///
    /// # Errors
    /// As [`PartReader::open`](super::PartReader::open).
    pub async fn read(store: &dyn ObjectStore, location: &Path, bytes: u64) -> Result<Self, ArchiveError> {
        let (footer, rows) = footer_of(store, location, bytes).await?;
        let wrong = |what: &str| ArchiveError::corrupt(location, format!("its footer has {what}"));
        let info = footer.info().map_err(wrong)?;
        if part_number(info.ulid) != footer.part {
            return Err(wrong("a part number that is not that of its name"));
        }
        Ok(Self {
            kind: footer.kind,
            info,
            rows,
            min_time: footer.min_time,
            max_time: footer.max_time,
            tenants: footer.tenants().cloned(),
        })
    }
}
