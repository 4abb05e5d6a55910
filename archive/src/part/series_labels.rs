//! The labels at some rows of the series table.
//!
//! Rows are numbers, so a lookup reads the pages that have them and no others, wherever they lie.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use arrow::array::{AsArray, Int64Array, StringArray};
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;

use emberkeep_model::{Labels, TenantId};

use super::label_batch::LabelBatch;
use super::metadata_batch::SeriesPlace;
use super::part_file::{GroupRows, PartFile};
use super::schema::{self, Form};
use super::series_batch::tenants;
use super::series_pages;
use crate::ArchiveError;

/// Pages of labels that are read at once have so many bytes, at most, or are one.
const READ_BYTES: u64 = 256 << 10;

/// Series that are decoded at once.
const DECODED_ROWS: usize = 1024;

/// The labels of the series at these rows, by row. A row that is not there, is of another tenant or has another id is corruption.
pub(super) async fn labels_at(
    file: &PartFile,
    tenant: &TenantId,
    mut places: Vec<SeriesPlace>,
) -> Result<BTreeMap<u64, Labels>, ArchiveError> {
    places.sort_unstable();
    places.dedup();
    let mut found = BTreeMap::new();
    let projection = file.projection(&file.known(&[schema::TENANT, schema::SERIES_ID, schema::LABELS]));
    let windows = windows(file, &places)?;
    let mut expected = places.iter();
    for window in windows {
        let mut decoder = file.read(&window, &projection, DECODED_ROWS).await?;
        while let Some(batch) = file.next_batch(&mut decoder)? {
            let table = Table::new(&batch, file.form())
                .ok_or_else(|| file.corrupt("a column has another type than the footer says"))?;
            for row in 0..batch.num_rows() {
                let place = expected.next();
                let place = place.ok_or_else(|| file.corrupt("it has more rows than it says"))?;
                if !table.is_of(row, tenant) || !file.may_hold(tenant) || table.ids.value(row) != place.id {
                    let SeriesPlace { row, id } = place;
                    return Err(file.corrupt(format!("row {row} is not series {id}, which has metadata")));
                }
                let labels = table.labels.labels(row).map_err(|error| file.corrupt(error))?;
                found.insert(place.row, labels);
            }
        }
    }
    match expected.next() {
        None => Ok(found),
        Some(SeriesPlace { row, .. }) => Err(file.corrupt(format!("it has no row {row}, which has metadata"))),
    }
}

/// The columns of one batch.
struct Table<'a> {
    tenants: Option<&'a StringArray>,
    ids: &'a Int64Array,
    labels: LabelBatch<'a>,
}

impl<'a> Table<'a> {
    /// None when a column is not what it should be.
    fn new(batch: &'a RecordBatch, form: Form) -> Option<Self> {
        Some(Self {
            tenants: tenants(batch, form)?,
            ids: batch
                .column_by_name(schema::SERIES_ID)?
                .as_primitive_opt::<Int64Type>()?,
            labels: LabelBatch::new(batch)?,
        })
    }

    fn is_of(&self, row: usize, tenant: &TenantId) -> bool {
        self.tenants.is_none_or(|tenants| tenants.value(row) == tenant.as_str())
    }
}

/// Exactly these rows, which rise, by what is read at once. Rows that the file does not have are left out.
pub(super) fn windows(file: &PartFile, places: &[SeriesPlace]) -> Result<Vec<GroupRows>, ArchiveError> {
    let leaf = file.leaf(&format!("{}.key_value.value", schema::LABELS))?;
    let mut places: VecDeque<u64> = places.iter().map(|place| place.row).collect();
    let mut windows = Vec::new();
    let mut start = 0_u64;
    for (row_group, group) in file.metadata().row_groups().iter().enumerate() {
        let row_count = usize::try_from(group.num_rows()).map_err(|error| file.corrupt(error))?;
        let end = start.saturating_add(row_count as u64);
        if places.front().is_some_and(|&row| row < end) {
            let mut open: Option<(GroupRows, u64)> = None;
            for (page, bytes) in series_pages::pages(file, row_group, leaf, row_count)? {
                let rows = take_rows(&mut places, start, &page);
                if rows.is_empty() {
                    continue;
                }
                open = match open {
                    Some((mut window, so_far)) if so_far.saturating_add(bytes) <= READ_BYTES => {
                        window.rows.extend(rows);
                        Some((window, so_far + bytes))
                    }
                    full => {
                        windows.extend(full.map(|(window, _)| window));
                        let window = GroupRows {
                            row_group,
                            row_count,
                            rows,
                        };
                        Some((window, bytes))
                    }
                };
            }
            windows.extend(open.map(|(window, _)| window));
        }
        start = end;
    }
    Ok(windows)
}

/// Takes the rows off the front that lie in a page, as ranges inside the row group that begins at `start`.
fn take_rows(places: &mut VecDeque<u64>, start: u64, page: &Range<usize>) -> Vec<Range<usize>> {
    let mut taken: Vec<Range<usize>> = Vec::new();
    while let Some(&row) = places.front()
        && let Some(local) = row.checked_sub(start).and_then(|row| usize::try_from(row).ok())
        && local < page.end
    {
        places.pop_front();
        match taken.last_mut() {
            Some(last) if last.end == local => last.end += 1,
            _ => taken.push(local..local + 1),
        }
    }
    taken
}
