//! What a comparison found.

use emberkeep_model::{Labels, TimeRange};
use serde::Serialize;

use super::compare::Example;

/// Rows by how they differ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Rows that the source has and the archive does not.
    pub missing: u64,
    /// Rows that only the archive has: removed at the source, by a tombstone or otherwise.
    pub extra: u64,
    /// Rows of one series and time with different values.
    pub unequal: u64,
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.missing += other.missing;
        self.extra += other.extra;
        self.unequal += other.unequal;
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What differs as it should.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// Rows of series that the sender is told to leave out.
    pub left_out_by_sender: u64,
    /// Rows that are deleted in the archive.
    pub deleted_in_archive: u64,
    /// Rows that only the archive has, when that is expected.
    pub kept_by_archive: u64,
}

/// How a series differs in one slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The archive has nothing of it.
    Missing,
    /// The source has nothing of it.
    Extra,
    /// Both have rows, and not the same.
    Different,
}

/// One series in one slice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedSeries {
    /// Its labels, as Prometheus prints them.
    pub series: String,
    /// Start of the slice, milliseconds since 1970.
    pub window: i64,
    /// How it differs.
    pub kind: Kind,
    /// Its rows; all zero when they were not compared.
    pub rows: Counts,
    /// Time of the first row that differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<i64>,
    /// What the source has there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What the archive has there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archive: Option<String>,
}

/// What differs in one slice of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct WindowDiff {
    /// Start of the slice, milliseconds since 1970.
    pub from: i64,
    /// Its end, exclusive.
    pub to: i64,
    /// Series that differ.
    pub series: u64,
    /// Their rows.
    pub rows: Counts,
    /// Of the series, those whose rows were not compared because there are too many of them.
    pub not_compared: u64,
}

/// The result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DiffReport {
    /// Start of what was compared, milliseconds since 1970.
    pub from: i64,
    /// Its end, exclusive.
    pub to: i64,
    /// Whether nothing differs that should not.
    pub equal: bool,
    /// Rows that are the same on both sides.
    pub equal_rows: u64,
    /// Most series that any slice had.
    pub series: u64,
    /// What differs.
    pub rows: Counts,
    /// Series of a slice that differ, summed over slices.
    pub differing_series: u64,
    /// Of these, those whose rows were not compared one by one.
    pub not_compared: u64,
    /// What differs as it should.
    pub explained: Explained,
    /// Slices in which something differs.
    pub windows: Vec<WindowDiff>,
    /// The first series that differ.
    pub listed: Vec<ListedSeries>,
    /// Series that differ and are not listed.
    pub not_listed: u64,
    /// What to know about the comparison.
    pub notes: Vec<String>,
    #[serde(skip)]
    most_listed: usize,
}

impl DiffReport {
    pub(super) fn new(range: TimeRange, most_listed: usize) -> Self {
        Self {
            from: range.start,
            to: range.end,
            equal: true,
            equal_rows: 0,
            series: 0,
            rows: Counts::default(),
            differing_series: 0,
            not_compared: 0,
            explained: Explained::default(),
            windows: Vec::new(),
            listed: Vec::new(),
            not_listed: 0,
            notes: Vec::new(),
            most_listed,
        }
    }

    /// Whether another series would be listed.
    pub(super) fn has_room(&self) -> bool {
        self.listed.len() < self.most_listed
    }

    /// Lists a series that differs.
    pub(super) fn list(
        &mut self,
        window: &mut WindowDiff,
        (labels, kind): (&Labels, Kind),
        rows: Counts,
        example: Option<Example>,
    ) {
        window.series += 1;
        window.rows.add(rows);
        window.not_compared += u64::from(rows.is_empty());
        if !self.has_room() {
            self.not_listed += 1;
            return;
        }
        let (first, source, archive) = example.map_or((None, None, None), |example| {
            (Some(example.time), example.source, example.archive)
        });
        self.listed.push(ListedSeries {
            series: labels.to_string(),
            window: window.from,
            kind,
            rows,
            first,
            source,
            archive,
        });
    }

    /// Takes up what a slice found.
    pub(super) fn window(&mut self, window: WindowDiff) {
        if window.series > 0 {
            self.windows.push(window);
        }
    }

    /// Sums up, after the last slice.
    pub(super) fn settle(&mut self) {
        for window in &self.windows {
            self.rows.add(window.rows);
            self.differing_series += window.series;
            self.not_compared += window.not_compared;
        }
        self.equal = self.windows.is_empty();
    }
}
