//! Reading the metadata of a part with the labels of its series, batch by batch.
//!
//! What is held at a time is one batch with its labels, whatever the part holds.

use std::fmt;
use std::sync::Arc;

use emberkeep_model::{Labels, MetadataEntry, TenantId};

use super::metadata_pass::{Asked, MetadataPass};
use super::part_file::PartFile;
use super::reader::OpenFiles;
use super::series_labels::labels_at;
use crate::ArchiveError;

/// A read of metadata in progress.
pub struct MetadataCursor {
    pass: MetadataPass,
    /// Family and series of the last entry, when it was of a series.
    last: Option<(String, Labels)>,
}

impl fmt::Debug for MetadataCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetadataCursor")
            .field("tenant", &self.pass.tenant)
            .field("asked", &self.pass.asked)
            .finish_non_exhaustive()
    }
}

impl MetadataCursor {
    pub(super) fn new(files: Arc<OpenFiles>, tenant: TenantId, asked: Asked) -> Self {
        let pass = MetadataPass::new(files, tenant, asked);
        Self { pass, last: None }
    }

    /// The next batch, never an empty one; `None` at the end. Equal variants of one family or series come once in a part.
    ///
    /// # Errors
    /// As [`PartReader::open`](super::PartReader::open).
    pub async fn next(&mut self) -> Result<Option<Vec<MetadataEntry>>, ArchiveError> {
        let Some(rows) = self.pass.next().await? else {
            return Ok(None);
        };
        let files = Arc::clone(&self.pass.files);
        let file = &files.series;
        let places = rows.iter().filter_map(|row| row.series).collect();
        let labels = labels_at(file, &self.pass.tenant, places).await?;
        let mut entries = Vec::with_capacity(rows.len());
        for row in rows {
            let series = match row.series {
                Some(place) => {
                    let found = labels.get(&place.row).cloned();
                    Some(
                        found
                            .ok_or_else(|| file.corrupt(format!("it has no row {}, which has metadata", place.row)))?,
                    )
                }
                None => None,
            };
            if let Some(labels) = &series {
                self.check_order(file, &row.family, labels)?;
            }
            entries.push(MetadataEntry {
                family: row.family,
                series,
                seen: row.seen,
            });
        }
        Ok(Some(entries))
    }

    /// Rows of the series table rise inside a family; their labels must as well.
    fn check_order(&mut self, file: &PartFile, family: &str, labels: &Labels) -> Result<(), ArchiveError> {
        match &mut self.last {
            Some((last_family, last)) if last_family == family => {
                if *last > *labels {
                    return Err(file.corrupt(format!("series {labels} is out of order")));
                }
                *last = labels.clone();
            }
            last => *last = Some((family.to_owned(), labels.clone())),
        }
        Ok(())
    }
}
