//! What each tenant has in a part, counted from its rows: for parts of versions 1 and 2, whose footers do not say it.
//!
//! It reads a few narrow columns, one row group at a time. It must give what the commit record of the part said, so that a catalog that is
//! rebuilt answers as before.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{Int64Type, TimestampMillisecondType};
use arrow::record_batch::RecordBatch;
use object_store::ObjectStore;
use parquet::file::metadata::PageIndexPolicy;

use super::part_file::{GroupRows, PartFile};
use super::{TenantSummary, TimeSpan, schema};
use crate::catalog::FileEntry;
use crate::{ArchiveError, FileKind};

/// Rows that are decoded at once.
const BATCH_ROWS: usize = 4096;

/// A sum of a summary.
type Sum = fn(&mut TenantSummary) -> &mut u64;

/// Columns of row counts in the series table, and where they are summed up.
const COUNTS: [(&str, Sum); 3] = [
    (schema::SAMPLES_ROW_COUNT, |held| &mut held.samples),
    (schema::HISTOGRAMS_ROW_COUNT, |held| &mut held.histograms),
    (schema::EXEMPLARS_ROW_COUNT, |held| &mut held.exemplars),
];

/// What each tenant has in the files of a flush.
///
/// # Errors
/// As [`PartReader::open`](super::PartReader::open).
pub(crate) async fn tenants_in_rows(
    store: &Arc<dyn ObjectStore>,
    files: &[FileEntry],
    part: i64,
) -> Result<BTreeMap<String, TenantSummary>, ArchiveError> {
    let mut tenants = BTreeMap::new();
    for entry in files {
        let (columns, add): (&[&str], Add) = match entry.kind {
            FileKind::Series => (
                &[
                    schema::MIN_TIME,
                    schema::MAX_TIME,
                    schema::SAMPLES_ROW_COUNT,
                    schema::HISTOGRAMS_ROW_COUNT,
                    schema::EXEMPLARS_ROW_COUNT,
                ],
                add_series,
            ),
            FileKind::Exemplars => (&[schema::TIMESTAMP], add_exemplars),
            FileKind::Metadata => (&[schema::FIRST_SEEN, schema::LAST_SEEN], add_metadata),
            FileKind::Samples | FileKind::Histograms => continue,
        };
        let file = PartFile::open(Arc::clone(store), entry, part, PageIndexPolicy::Skip).await?;
        let mut columns = file.known(columns);
        columns.push(schema::TENANT);
        let projection = file.projection(&columns);
        for (row_group, group) in file.metadata().row_groups().iter().enumerate() {
            let row_count =
                usize::try_from(group.num_rows()).map_err(|_| file.corrupt("a row group has too many rows"))?;
            let all = 0..row_count;
            let rows = GroupRows {
                row_group,
                row_count,
                rows: vec![all],
            };
            let mut reader = file.read(&rows, &projection, BATCH_ROWS).await?;
            while let Some(batch) = file.next_batch(&mut reader)? {
                add(&mut tenants, &batch).ok_or_else(|| file.corrupt("a column is not what it should be"))?;
            }
        }
    }
    Ok(tenants)
}

/// Adds the rows of a batch; none when a column is not what it should be.
type Add = fn(&mut BTreeMap<String, TenantSummary>, &RecordBatch) -> Option<()>;

fn add_series(tenants: &mut BTreeMap<String, TenantSummary>, batch: &RecordBatch) -> Option<()> {
    let (first, last) = (times(batch, schema::MIN_TIME)?, times(batch, schema::MAX_TIME)?);
    let counts = COUNTS.map(|(name, of)| {
        (
            batch
                .column_by_name(name)
                .and_then(|column| column.as_primitive_opt::<Int64Type>()),
            of,
        )
    });
    for row in 0..batch.num_rows() {
        let held = held(tenants, batch, row)?;
        held.series = held.series.saturating_add(1);
        for (column, of) in counts {
            let count = column.map_or(0, |column| column.value(row));
            let sum = of(held);
            *sum = sum.saturating_add(u64::try_from(count).ok()?);
        }
        let has_samples = counts[..2]
            .iter()
            .any(|(column, _)| column.is_some_and(|column| column.value(row) > 0));
        if has_samples {
            held.min_time = held.min_time.min(first[row]);
            held.max_time = held.max_time.max(last[row]);
        }
    }
    Some(())
}

fn add_exemplars(tenants: &mut BTreeMap<String, TenantSummary>, batch: &RecordBatch) -> Option<()> {
    let at = times(batch, schema::TIMESTAMP)?;
    for (row, at) in at.iter().enumerate() {
        let held = held(tenants, batch, row)?;
        held.exemplar_times = TimeSpan::join(held.exemplar_times, TimeSpan::new(*at, *at));
    }
    Some(())
}

fn add_metadata(tenants: &mut BTreeMap<String, TenantSummary>, batch: &RecordBatch) -> Option<()> {
    let (first, last) = (times(batch, schema::FIRST_SEEN)?, times(batch, schema::LAST_SEEN)?);
    for row in 0..batch.num_rows() {
        let held = held(tenants, batch, row)?;
        held.metadata = held.metadata.saturating_add(1);
        held.metadata_times = TimeSpan::join(held.metadata_times, TimeSpan::new(first[row], last[row]));
    }
    Some(())
}

fn times<'a>(batch: &'a RecordBatch, name: &str) -> Option<&'a [i64]> {
    let column = batch
        .column_by_name(name)?
        .as_primitive_opt::<TimestampMillisecondType>()?;
    Some(column.values())
}

/// The sums of the tenant of a row.
fn held<'a>(
    tenants: &'a mut BTreeMap<String, TenantSummary>,
    batch: &RecordBatch,
    row: usize,
) -> Option<&'a mut TenantSummary> {
    let column = batch.column_by_name(schema::TENANT)?.as_string_opt::<i32>()?;
    let tenant = column.value(row);
    if !tenants.contains_key(tenant) {
        tenants.insert(tenant.to_owned(), TenantSummary::default());
    }
    tenants.get_mut(tenant)
}
