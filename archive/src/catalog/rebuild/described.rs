//! One part as its files describe it: what a catalog says of it is made from footers, and for parts of old versions from their rows.
//!
//! A part is taken only when it is whole: the rows that its series table tells of are in its files.

use std::collections::BTreeMap;
use std::sync::Arc;

use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use ulid::Ulid;

use super::is_no_damage;
use crate::catalog::{FileEntry, PartEntry};
use crate::part::{DescribedFile, PartOrigin, TenantSummary, part_number, tenants_in_rows};
use crate::{ArchiveError, FileKind, names};

/// The files of one part.
#[derive(Debug)]
pub(super) struct Described {
    pub(super) ulid: Ulid,
    /// Files that cannot be read, and why.
    pub(super) unusable: Vec<(String, String)>,
    files: Vec<(FileEntry, DescribedFile)>,
    /// What each tenant has in it, or why that is not known.
    tenants: Result<BTreeMap<String, TenantSummary>, String>,
}

impl Described {
    /// Reads the footers, and the tenants out of the rows where the footer of the series table does not tell them.
    pub(super) async fn read(
        store: &Arc<dyn ObjectStore>,
        ulid: Ulid,
        objects: Vec<ObjectMeta>,
    ) -> Result<Self, ArchiveError> {
        let mut part = Self {
            ulid,
            unusable: Vec::new(),
            files: Vec::new(),
            tenants: Err("its part has no series table".to_owned()),
        };
        for object in objects {
            let path = object.location.to_string();
            match DescribedFile::read(&**store, &object.location, object.size).await {
                Ok(file) => {
                    let entry = FileEntry {
                        kind: file.kind,
                        path,
                        rows: file.rows,
                        bytes: object.size,
                        // Not known before all of it was read; a check compares its size alone.
                        crc32c: 0,
                    };
                    part.files.push((entry, file));
                }
                Err(error) if is_no_damage(&error) => return Err(error),
                Err(error) => part.unusable.push((path, error.to_string())),
            }
        }
        part.files.sort_by_key(|(file, _)| file.kind);
        if let Some((_, table)) = part.series() {
            part.tenants = match table.tenants.clone() {
                Some(tenants) => Ok(tenants),
                None => part.old_tenants(store).await?,
            };
        }
        Ok(part)
    }

    /// Names of the files that can be read.
    pub(super) fn paths(&self) -> Vec<String> {
        self.files.iter().map(|(file, _)| file.path.clone()).collect()
    }

    fn series(&self) -> Option<&(FileEntry, DescribedFile)> {
        self.files.iter().find(|(file, _)| file.kind == FileKind::Series)
    }

    /// Versions before 3 said in their commit records only which tenants are in a part, so its rows are asked.
    async fn old_tenants(
        &self,
        store: &Arc<dyn ObjectStore>,
    ) -> Result<Result<BTreeMap<String, TenantSummary>, String>, ArchiveError> {
        let files: Vec<FileEntry> = self.files.iter().map(|(file, _)| file.clone()).collect();
        match tenants_in_rows(store, &files, part_number(self.ulid)).await {
            Ok(tenants) => Ok(Ok(tenants)),
            Err(error) if is_no_damage(&error) => Err(error),
            Err(error) => Ok(Err(format!(
                "a version before 3 wrote it, and its rows cannot be read: {error}"
            ))),
        }
    }

    /// The catalog's entry of the part, and its sources when it was merged; or why it can be none.
    pub(super) fn entry(self) -> Result<(PartEntry, Option<Vec<Ulid>>), String> {
        let ulid = self.ulid;
        let (series, table) = self.series().ok_or("its part has no series table")?;
        let tenants = self.tenants.clone()?;
        for (file, said) in &self.files {
            if said.info != table.info || said.info.ulid != ulid {
                return Err(format!("`{}` says that it belongs to another part", file.path));
            }
        }
        self.check_rows(&tenants)?;
        let mut entry = PartEntry {
            ulid,
            part: part_number(ulid),
            level: table.info.level(),
            receiver: None,
            min_time: table.min_time,
            max_time: table.max_time,
            tenants,
            committed_at: 0,
            day: None,
            masks: 0,
            merge: None,
            rules: Vec::new(),
            files: Vec::new(),
        };
        let mut sources = None;
        match &table.info.origin {
            // As the name says: what was adopted was written by another one than the one that committed it.
            PartOrigin::Flush { .. } => {
                let path = Path::parse(&series.path).ok();
                entry.receiver = path.and_then(|path| Some(names::parse_level0(&path)?.0));
            }
            PartOrigin::Compacted(of) => {
                (entry.committed_at, entry.day, entry.masks) = (of.committed_at, Some(of.day), of.masks);
                entry.merge.clone_from(&of.merge);
                sources = Some(of.sources.clone());
            }
        }
        entry.files = self.files.into_iter().map(|(file, _)| file).collect();
        Ok((entry, sources))
    }

    /// Whether all rows of the series table are in the files.
    fn check_rows(&self, tenants: &BTreeMap<String, TenantSummary>) -> Result<(), String> {
        let rows = |kind: FileKind| {
            let file = self.files.iter().find(|(file, _)| file.kind == kind);
            file.map_or(0, |(file, _)| file.rows)
        };
        let sums = tenants.values().fold([0_u64; 4], |sums, held| {
            let counts = [held.samples, held.histograms, held.exemplars, held.series];
            std::array::from_fn(|i| sums[i].saturating_add(counts[i]))
        });
        let kinds = [
            FileKind::Samples,
            FileKind::Histograms,
            FileKind::Exemplars,
            FileKind::Series,
        ];
        if let Some((kind, _)) = kinds.iter().zip(sums).find(|&(kind, sum)| rows(*kind) != sum) {
            return Err(format!("its part does not have all rows of `{}`", kind.as_str()));
        }
        if tenants.values().any(|held| held.metadata > 0) && rows(FileKind::Metadata) == 0 {
            return Err("its part has no metadata, and should".to_owned());
        }
        Ok(())
    }
}
