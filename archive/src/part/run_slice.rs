//! The samples of one series, borrowed column by column from wherever they lie.

use emberkeep_model::Run;

/// Samples of one series. They may be written when they are settled: times rise strictly.
#[derive(Debug, Clone, Copy, Default)]
pub struct RunSlice<'a> {
    /// Milliseconds since 1970.
    pub timestamps: &'a [i64],
    /// Values, one for each timestamp.
    pub values: &'a [f64],
    /// Start timestamps, 0 = unset; empty when none is set.
    pub start_timestamps: &'a [i64],
}

impl RunSlice<'_> {
    /// Number of samples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Whether there is no sample.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// Whether the timestamps rise strictly, and each has a value and a start timestamp, unless there are none of those.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let starts = self.start_timestamps.len();
        self.values.len() == self.len()
            && (starts == 0 || starts == self.len())
            && self.timestamps.is_sorted_by(|a, b| a < b)
    }
}

impl<'a> From<&'a Run> for RunSlice<'a> {
    fn from(run: &'a Run) -> Self {
        Self {
            timestamps: &run.timestamps,
            values: &run.values,
            start_timestamps: &run.start_timestamps,
        }
    }
}
