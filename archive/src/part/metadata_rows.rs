//! Metadata of one tenant on its way: kept until the tenant ends, because its file is in the order of families, not of series.
//!
//! Texts are held once each, so what is kept grows by some forty bytes for each series, as the set of their ids does.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::record_batch::RecordBatch;
use parquet::errors::ParquetError;

use emberkeep_model::{Metadata, SeenMetadata};

use super::{TimeSpan, columns, schema};
use crate::FileKind;

/// So many rows are kept before it is worth a look whether some are equal.
const MANY_ROWS: usize = 64 << 10;

/// Variants of one tenant, and of what.
#[derive(Debug, Default)]
pub(super) struct MetadataRows {
    families: Texts<String>,
    variants: Texts<Metadata>,
    rows: Vec<Row>,
    /// Rows at which equal ones are made one: the same is said by every part of a merge.
    most_rows: usize,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    family: u32,
    /// Row of the series in the series table, and its id; none for a family.
    series: Option<(u64, i64)>,
    variant: u32,
    first_seen: i64,
    last_seen: i64,
}

/// Each text once, with a number.
#[derive(Debug)]
struct Texts<T> {
    numbers: HashMap<T, u32>,
    texts: Vec<T>,
}

impl<T> Default for Texts<T> {
    fn default() -> Self {
        Self {
            numbers: HashMap::new(),
            texts: Vec::new(),
        }
    }
}

impl<T: Eq + std::hash::Hash + Clone> Texts<T> {
    fn number<Q: Eq + std::hash::Hash + ToOwned<Owned = T> + ?Sized>(&mut self, text: &Q) -> u32
    where
        T: std::borrow::Borrow<Q>,
    {
        if let Some(&number) = self.numbers.get(text) {
            return number;
        }
        let number = u32::try_from(self.texts.len()).expect("fewer than 2^32 texts fit into memory");
        self.numbers.insert(text.to_owned(), number);
        self.texts.push(text.to_owned());
        number
    }
}

impl MetadataRows {
    /// From the first to the last time that any of them was seen.
    pub(super) fn time_span(&self) -> Option<TimeSpan> {
        let first = self.rows.iter().map(|row| row.first_seen).min()?;
        let last = self.rows.iter().map(|row| row.last_seen).max()?;
        TimeSpan::new(first, last)
    }

    /// Adds variants of a family, or of the series with this row of the series table and this id. Rows are in the
    /// order of labels, so sorting by them needs none.
    pub(super) fn push(&mut self, family: &str, series: Option<(u64, i64)>, seen: &[SeenMetadata]) {
        for seen in seen {
            let row = Row {
                family: self.families.number(family),
                series,
                variant: self.variants.number(&seen.metadata),
                first_seen: seen.first_seen,
                last_seen: seen.last_seen,
            };
            self.rows.push(row);
        }
        if self.rows.len() > self.most_rows.max(MANY_ROWS) {
            self.most_rows = 2 * self.settle();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Brings the rows into the order of the file: by family, what was said of the family first, then series in row order, then by
    /// variant. Equal variants become one. Returns how many rows there are.
    pub(super) fn settle(&mut self) -> usize {
        let Self {
            families,
            variants,
            rows,
            ..
        } = self;
        let family = |row: &Row| families.texts[row.family as usize].as_str();
        let variant = |row: &Row| &variants.texts[row.variant as usize];
        rows.sort_unstable_by(|a, b| {
            let by_what = family(a).cmp(family(b)).then_with(|| a.series.cmp(&b.series));
            by_what.then_with(|| variant(a).cmp(variant(b)))
        });
        rows.dedup_by(|next, kept| {
            let is_same = (next.family, next.series, next.variant) == (kept.family, kept.series, kept.variant);
            if is_same {
                kept.first_seen = kept.first_seen.min(next.first_seen);
                kept.last_seen = kept.last_seen.max(next.last_seen);
            }
            is_same
        });
        rows.len()
    }

    /// Some of the settled rows as Arrow columns.
    pub(super) fn batch(
        &self,
        rows: Range<usize>,
        tenant: Option<&str>,
        part: i64,
    ) -> Result<RecordBatch, ParquetError> {
        let rows = &self.rows[rows];
        let family = |row: &Row| self.families.texts[row.family as usize].as_str();
        let metadata = || rows.iter().map(|row| &self.variants.texts[row.variant as usize]);
        let ids: Int64Array = rows.iter().map(|row| row.series.map(|(_, id)| id)).collect();
        let number = |(row, _)| i64::try_from(row).expect("a file has fewer than 2^63 rows");
        let series_rows: Int64Array = rows.iter().map(|row| row.series.map(number)).collect();
        let mut columns = columns::of_all(tenant, part, rows.len());
        let own: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(rows.iter().map(family))),
            Arc::new(ids),
            Arc::new(series_rows),
            Arc::new(StringArray::from_iter_values(
                metadata().map(|m| m.metric_type.as_str()),
            )),
            Arc::new(StringArray::from_iter_values(metadata().map(|m| m.unit.as_str()))),
            Arc::new(StringArray::from_iter_values(metadata().map(|m| m.help.as_str()))),
            columns::times(&mut rows.iter().map(|row| row.first_seen).collect()),
            columns::times(&mut rows.iter().map(|row| row.last_seen).collect()),
        ];
        columns.extend(own);
        Ok(RecordBatch::try_new(
            schema::of(FileKind::Metadata, columns::form(tenant)).clone(),
            columns,
        )?)
    }
}
