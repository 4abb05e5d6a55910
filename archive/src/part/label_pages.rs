//! The column `labels` of the series table while it is written: names, values, and the levels that say which are of one series.
//!
//! Series come sorted, so most of one is most of the one before it: what both begin with, and what both end with, is never looked at label by
//! label.

use parquet::errors::ParquetError;

use emberkeep_model::canonical_pairs;

use super::chunk::{ChunkWriter, Packer};
use super::chunk_file::Chunks;
use super::hybrid::Levels;
use super::place_column::PlaceColumn;
use super::varint::take_uvarint;

/// Two column chunks, of which one page is open.
pub(super) struct LabelPages {
    names: PlaceColumn,
    values: PlaceColumn,
    rows: u32,
    /// 0 for the first label of a series.
    repeats: Levels,
    /// 0 for a series without labels.
    is_there: Levels,
    levels: Vec<u8>,
    /// Of the open page, as they came.
    label_bytes: usize,
    before: LabelSet,
    /// For its memory.
    spare: LabelSet,
}

/// A series that was added.
#[derive(Default)]
struct LabelSet {
    bytes: Vec<u8>,
    /// Where each label ends.
    ends: Vec<usize>,
}

impl LabelSet {
    /// Where a label begins, or the one that would follow the last.
    fn start(&self, label: usize) -> Option<usize> {
        match label.checked_sub(1) {
            Some(before) => self.ends.get(before).copied(),
            None => Some(0),
        }
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

impl LabelPages {
    pub(super) fn new(names: ChunkWriter, values: ChunkWriter) -> Self {
        Self {
            names: PlaceColumn::new(names),
            values: PlaceColumn::new(values),
            rows: 0,
            repeats: Levels::default(),
            is_there: Levels::default(),
            levels: Vec::new(),
            label_bytes: 0,
            before: LabelSet::default(),
            spare: LabelSet::default(),
        }
    }

    /// Bytes of the pages that have ended.
    pub(super) fn bytes(&self) -> usize {
        self.names.bytes() + self.values.bytes()
    }

    /// Bytes of the labels in the open page.
    pub(super) fn page_bytes(&self) -> usize {
        self.label_bytes
    }

    /// Adds a label set, given by its canonical bytes.
    pub(super) fn push(&mut self, canonical: &[u8]) {
        let count = match self.names.has_numbers() && self.values.has_numbers() {
            true => self.push_changes(canonical),
            false => {
                self.before.clear();
                let mut count = 0;
                for (name, value) in canonical_pairs(canonical) {
                    self.push_label(name, value, count);
                    count += 1;
                }
                count
            }
        };
        self.repeats.push(false);
        match u32::try_from(count).expect("a label set is small") {
            0 => self.is_there.push(false),
            count => {
                self.repeats.push_many(true, count - 1);
                self.is_there.push_many(true, count);
            }
        }
        self.label_bytes += canonical.len();
        self.rows += 1;
    }

    fn push_label(&mut self, name: &[u8], value: &[u8], place: usize) {
        self.names.push(name, place);
        self.values.push(value, place);
    }

    /// Adds the labels of a set, as far as they are the same as before without looking at them; how many there are.
    fn push_changes(&mut self, canonical: &[u8]) -> usize {
        let (before, mut own) = (std::mem::take(&mut self.before), std::mem::take(&mut self.spare));
        own.clear();
        own.bytes.extend_from_slice(canonical);
        let same_bytes = common_front(&before.bytes, canonical);
        let mut count = before.ends.partition_point(|end| *end <= same_bytes);
        self.names.push_last(0..count);
        self.values.push_last(0..count);
        own.ends.extend_from_slice(&before.ends[..count]);
        let mut rest = &canonical[before.start(count).unwrap_or(0)..];
        let back = common_back(&before.bytes, rest);
        while !rest.is_empty() {
            // The same bytes from the start of the label in the same place on are the same labels.
            if rest.len() <= back && before.start(count) == Some(before.bytes.len() - rest.len()) {
                let left = count..before.ends.len();
                self.names.push_last(left.clone());
                self.values.push_last(left.clone());
                let moved = |end: &usize| canonical.len() - (before.bytes.len() - end);
                own.ends.extend(before.ends[left].iter().map(moved));
                count = before.ends.len();
                break;
            }
            let label = take_text(&mut rest).and_then(|name| Some((name, take_text(&mut rest)?)));
            let (name, value) = label.expect("labels were checked when they were made");
            self.push_label(name, value, count);
            own.ends.push(canonical.len() - rest.len());
            count += 1;
        }
        (self.before, self.spare) = (own, before);
        count
    }

    /// Ends the page.
    pub(super) fn end_page(&mut self, packer: &mut Packer) -> Result<(), ParquetError> {
        self.levels.clear();
        self.repeats.put(&mut self.levels);
        self.is_there.put(&mut self.levels);
        let values = [self.repeats.count(), self.is_there.zeros()];
        self.names.end_page(self.rows, &self.levels, values, packer)?;
        self.values.end_page(self.rows, &self.levels, values, packer)?;
        self.repeats.clear();
        self.is_there.clear();
        (self.rows, self.label_bytes) = (0, 0);
        Ok(())
    }

    /// Appends both chunks; none are left.
    pub(super) fn close(&mut self, packer: &mut Packer, chunks: &mut Chunks) -> Result<(), ParquetError> {
        chunks.push(self.names.close(packer)?);
        chunks.push(self.values.close(packer)?);
        self.before.clear();
        Ok(())
    }
}

/// Takes a text off the front of canonical bytes.
fn take_text<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take_uvarint(rest)?).ok()?;
    let (text, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some(text)
}

/// How many bytes are the same from the front on.
fn common_front(a: &[u8], b: &[u8]) -> usize {
    let words = a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0);
    let from = 8 * words.take_while(|(a, b)| a == b).count();
    let bytes = a[from..].iter().zip(&b[from..]);
    from + bytes.take_while(|(a, b)| a == b).count()
}

/// How many bytes are the same from the back on.
fn common_back(a: &[u8], b: &[u8]) -> usize {
    let words = a
        .as_rchunks::<8>()
        .1
        .iter()
        .rev()
        .zip(b.as_rchunks::<8>().1.iter().rev());
    let from = 8 * words.take_while(|(a, b)| a == b).count();
    let bytes = a[..a.len() - from].iter().rev().zip(b[..b.len() - from].iter().rev());
    from + bytes.take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use emberkeep_model::Labels;
    use proptest::prelude::*;

    use super::super::encoding;
    use super::super::schema::Form;
    use super::*;
    use crate::FileKind;

    /// Pages of label sets that are told by what came before, or not.
    fn pages(sets: &[Labels], page_rows: usize, forgets: impl Fn(usize) -> bool) -> Vec<bytes::Bytes> {
        let columns = encoding::columns(FileKind::Series, Form::Flush);
        let column = |i| ChunkWriter::new(columns.column(i));
        let (mut pages, mut packer) = (LabelPages::new(column(4), column(5)), Packer::new(1).unwrap());
        let mut chunks = Vec::new();
        for (i, labels) in sets.iter().enumerate() {
            if forgets(i) {
                pages.before.clear();
            }
            pages.push(labels.as_bytes());
            if i % page_rows == page_rows - 1 {
                pages.end_page(&mut packer).unwrap();
            }
            if i == sets.len() / 2 {
                pages.end_page(&mut packer).unwrap();
                pages.close(&mut packer, &mut chunks).unwrap();
            }
        }
        pages.end_page(&mut packer).unwrap();
        pages.close(&mut packer, &mut chunks).unwrap();
        chunks.into_iter().map(|(bytes, _)| bytes).collect()
    }

    fn label_set() -> impl Strategy<Value = Labels> {
        // Values that look like labels, so that the same bytes may begin elsewhere.
        let value = prop::sample::select(vec!["x", "y", "\u{1}a\u{1}x", "\u{1}b\u{1}x\u{1}c\u{1}y", "xx"]);
        let label = (prop::sample::select(vec!["a", "aa", "b", "c", "cc"]), value);
        prop::collection::btree_map(label.0, label.1, 0..6)
            .prop_map(|labels| Labels::from_pairs(labels.into_iter().collect::<Vec<_>>()).unwrap())
    }

    proptest! {
        #[test]
        fn what_is_not_looked_at_is_written_all_the_same(
            mut sets in prop::collection::vec(label_set(), 1..60),
            page_rows in 1_usize..20,
            is_sorted in any::<bool>(),
        ) {
            if is_sorted {
                sets.sort();
            }
            prop_assert_eq!(pages(&sets, page_rows, |_| false), pages(&sets, page_rows, |_| true));
        }

        #[test]
        fn common_bytes_are_counted(a in prop::collection::vec(0_u8..2, 0..40), b in prop::collection::vec(0_u8..2, 0..40)) {
            let front = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
            let back = a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count();
            prop_assert_eq!((common_front(&a, &b), common_back(&a, &b)), (front, back));
        }
    }
}
