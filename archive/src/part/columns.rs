//! Arrow columns that several files have: the same tenant and part in every row, times, lists, labels.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, Int64Array, ListArray, MapArray, PrimitiveArray, StringArray, StringBuilder,
    StructArray, TimestampMillisecondArray,
};
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer};
use arrow::datatypes::ArrowNativeType;
use parquet::errors::ParquetError;

use emberkeep_model::{Labels, UNSET_START_TIMESTAMP};

use super::schema::{self, Form};

fn tenants(tenant: &str, rows: usize) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(std::iter::repeat_n(tenant, rows)))
}

/// A column of integers; none are left.
pub(super) fn numbers(numbers: &mut Vec<i64>) -> ArrayRef {
    Arc::new(Int64Array::from(std::mem::take(numbers)))
}

/// The form of a file whose rows are of this tenant; of none in particular, when the tenant has no column.
pub(super) fn form(tenant: Option<&str>) -> Form {
    match tenant {
        Some(_) => Form::Flush,
        None => Form::Compacted,
    }
}

/// The columns with which every file begins: the tenant, which parts of one tenant leave out, and the part.
pub(super) fn of_all(tenant: Option<&str>, part: i64, rows: usize) -> Vec<ArrayRef> {
    let mut columns: Vec<ArrayRef> = tenant.map(|tenant| tenants(tenant, rows)).into_iter().collect();
    columns.push(parts(part, rows));
    columns
}

fn parts(part: i64, rows: usize) -> ArrayRef {
    Arc::new(Int64Array::from(vec![part; rows]))
}

/// A column of times; none are left.
pub(super) fn times(times: &mut Vec<i64>) -> ArrayRef {
    Arc::new(TimestampMillisecondArray::from(std::mem::take(times)).with_timezone("UTC"))
}

/// A column of start timestamps, null where it is not known. No start timestamps at all stand for `rows` unknown ones.
pub(super) fn start_times(starts: &mut Vec<i64>, rows: usize) -> ArrayRef {
    let starts = std::mem::take(starts);
    let column = if starts.is_empty() {
        TimestampMillisecondArray::new_null(rows)
    } else {
        let is_set: BooleanBuffer = starts.iter().map(|&start| start != UNSET_START_TIMESTAMP).collect();
        TimestampMillisecondArray::new(starts.into(), Some(NullBuffer::new(is_set)))
    };
    Arc::new(column.with_timezone("UTC"))
}

/// A column of lists on its way.
#[derive(Debug)]
pub(super) struct Lists<T> {
    values: Vec<T>,
    lengths: Vec<usize>,
}

impl<T> Default for Lists<T> {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            lengths: Vec::new(),
        }
    }
}

impl<T: ArrowNativeType> Lists<T> {
    /// Adds a list as one row.
    pub(super) fn push(&mut self, list: impl ExactSizeIterator<Item = T>) {
        self.lengths.push(list.len());
        self.values.extend(list);
    }

    /// The column; none are left.
    pub(super) fn take<P: ArrowPrimitiveType<Native = T>>(&mut self) -> Result<ArrayRef, ParquetError> {
        let values = PrimitiveArray::<P>::new(std::mem::take(&mut self.values).into(), None);
        let offsets = OffsetBuffer::from_lengths(std::mem::take(&mut self.lengths));
        let element = schema::list_element(P::DATA_TYPE);
        Ok(Arc::new(ListArray::try_new(element, offsets, Arc::new(values), None)?))
    }
}

/// A column of labels on its way.
#[derive(Debug, Default)]
pub(super) struct LabelColumn {
    names: StringBuilder,
    values: StringBuilder,
    counts: Vec<usize>,
}

impl LabelColumn {
    /// Adds a label set as one row.
    pub(super) fn push(&mut self, labels: &Labels) {
        let mut count = 0;
        for (name, value) in labels.iter() {
            self.names.append_value(name);
            self.values.append_value(value);
            count += 1;
        }
        self.counts.push(count);
    }

    /// The column; none are left.
    pub(super) fn take(&mut self) -> Result<ArrayRef, ParquetError> {
        let entries: Vec<ArrayRef> = vec![Arc::new(self.names.finish()), Arc::new(self.values.finish())];
        Ok(Arc::new(MapArray::try_new(
            schema::label_entries(),
            OffsetBuffer::from_lengths(std::mem::take(&mut self.counts)),
            StructArray::try_new(schema::label_fields(), entries, None)?,
            None,
            false,
        )?))
    }
}
