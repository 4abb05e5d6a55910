//! One pass over the inputs: the series of a tenant in label order, each with all that any input has of it.

use emberkeep_model::{Labels, SeenMetadata, SeriesRuns, TenantId};

use super::cursor::Cursor;
use super::inputs::Inputs;
use super::order::Groups;
use super::stretch::Stretch;
use super::{MergeError, MergeOutcome};

/// Memory of the rows of one series that is kept for the next; what a long one took is given back.
const KEPT_BYTES: usize = 4 << 20;

/// What became of the rows of a tenant.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) rows_read: u64,
    pub(super) rows_written: u64,
    pub(super) duplicates: u64,
    pub(super) conflicts: u64,
    pub(super) masked: u64,
    pub(super) metadata_read: u64,
    pub(super) metadata_written: u64,
    pub(super) metadata_masked: u64,
}

impl Counts {
    pub(super) fn add_to(&self, outcome: &mut MergeOutcome) {
        outcome.rows_read += self.rows_read;
        outcome.rows_written += self.rows_written;
        outcome.duplicates += self.duplicates;
        outcome.conflicts += self.conflicts;
        outcome.masked += self.masked;
        outcome.metadata_masked += self.metadata_masked;
    }
}

/// Where merged series go.
pub(super) trait Sink {
    /// Where the pass counts what it reads; none when an earlier pass over the same rows did.
    fn counts(&mut self) -> Option<&mut Counts>;

    /// Takes a series: settled rows, and metadata as the inputs have it, in which variants may come several times.
    fn series(
        &mut self,
        tenant: &TenantId,
        labels: &Labels,
        runs: &mut SeriesRuns,
        seen: &[SeenMetadata],
    ) -> Result<(), MergeError>;

    /// Takes what an input says of a family.
    fn family(&mut self, tenant: &TenantId, family: &str, seen: SeenMetadata) -> Result<(), MergeError>;
}

/// Puts a cursor where it belongs. The labels of one that has no siblings yet are put together, and those of others need not be.
fn place(i: usize, cursors: &mut [Cursor<'_>], groups: &mut Groups) {
    if let Some(leader) = groups.leader()
        && let Ok([cursor, leader]) = cursors.get_disjoint_mut([i, leader])
        && cursor.is_at_same(leader)
    {
        return groups.join_leader(i);
    }
    cursors[i].labels();
    groups.add(i, |i| cursors[i].shown_labels());
}

/// Settles the rows of a series, counts them, and gives them on.
fn give(
    tenant: &TenantId,
    labels: &Labels,
    runs: &mut SeriesRuns,
    seen: &[SeenMetadata],
    sink: &mut impl Sink,
) -> Result<(), MergeError> {
    let before = runs.len() as u64;
    let conflicts = runs.settle();
    if let Some(counts) = sink.counts() {
        counts.rows_read += before;
        counts.conflicts += conflicts;
        counts.duplicates += before - runs.len() as u64 - conflicts;
        counts.metadata_read += seen.len() as u64;
    }
    sink.series(tenant, labels, runs, seen)?;
    if runs.heap_bytes() > KEPT_BYTES {
        *runs = SeriesRuns::default();
    }
    Ok(())
}

/// Merges everything that the inputs have of a tenant.
pub(super) async fn run(inputs: &Inputs, tenant: &TenantId, sink: &mut impl Sink) -> Result<(), MergeError> {
    let mut cursors = Vec::new();
    for input in inputs.of(tenant) {
        cursors.extend(Cursor::open(input, tenant, inputs.window_rows).await?);
    }
    let mut groups = Groups::default();
    for i in 0..cursors.len() {
        place(i, &mut cursors, &mut groups);
    }
    let (mut runs, mut seen, mut group) = (SeriesRuns::default(), Vec::new(), Vec::new());
    let mut stretch = Stretch::default();
    while groups.take_first(&mut group) {
        // Inputs that follow each other in time give a run that is settled as it stands.
        group.sort_by_key(|&i| (cursors[i].min_time(), i));
        // A cursor that stands elsewhere may have a series in between.
        let count = match groups.is_empty() {
            true => stretch.take(&mut cursors, &group).await?,
            false => 0,
        };
        for number in 0..count {
            let leader = &mut cursors[group[0]];
            leader.pass(number.min(1));
            let labels = Labels::of_canonical(leader.labels());
            runs.clear();
            seen.clear();
            let places = (cursors.as_mut_slice(), group.as_slice());
            stretch.append(number, places, &mut runs.samples, &mut seen).await?;
            give(tenant, &labels, &mut runs, &seen, sink)?;
        }
        if count > 0 {
            for (position, &i) in group.iter().enumerate() {
                if position > 0 {
                    cursors[i].pass(count - 1);
                }
                if cursors[i].advance().await? {
                    place(i, &mut cursors, &mut groups);
                }
            }
            continue;
        }
        let labels = Labels::of_canonical(cursors[group[0]].labels());
        runs.clear();
        seen.clear();
        for &i in &group {
            if cursors[i].take(&mut runs, &mut seen).await? {
                place(i, &mut cursors, &mut groups);
            }
        }
        give(tenant, &labels, &mut runs, &seen, sink)?;
    }
    drop(cursors);
    for input in inputs.of(tenant) {
        let mut families = input.reader.families_alone(tenant);
        while let Some(batch) = families.next().await.map_err(|error| input.error(error))? {
            for found in batch {
                if let Some(counts) = sink.counts() {
                    counts.metadata_read += 1;
                }
                sink.family(tenant, &found.family, found.seen)?;
            }
        }
    }
    Ok(())
}
