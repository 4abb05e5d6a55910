//! Where rows come from, as the rest of a seed sees it.

use emberkeep_model::{Labels, SeriesRuns};

use super::SeedError;

/// Series of one window, one after the other. Their order is almost that of labels; see [`super::lanes`].
pub(super) trait Rows {
    /// The next series: its labels, and its rows in the window in place of what `runs` held, settled. None at the end.
    async fn next(&mut self, runs: &mut SeriesRuns) -> Result<Option<Labels>, SeedError>;
}
