//! Reading an output back from the store, before anything relies on it.
//!
//! A checksum says that the bytes are those that were written, and digests over the decoded rows that the rows are those that were handed
//! to the writer: neither can say what the other does.

use std::sync::Arc;

use emberkeep_archive::digest::Digests;
use emberkeep_archive::{ArchiveError, ObjectStore, PartEntry, PartReader, ScanKinds, ScanQuery};
use emberkeep_model::{Labels, SeriesRuns, TenantId, TimeRange};

use super::MergeError;
use super::scratch::Scratch;

/// Rows that are decoded at once.
const WINDOW_ROWS: usize = 64 << 10;

/// Brings a part from the store and reads all of it.
pub(super) async fn verify(
    store: &Arc<dyn ObjectStore>,
    scratch: &Scratch,
    entry: &PartEntry,
) -> Result<(), MergeError> {
    let failed = |error: ArchiveError| match error {
        ArchiveError::Corrupt { object, reason } => MergeError::BadOutput { file: object, reason },
        error => scratch.of_transfer(error),
    };
    scratch.bring(&**store, entry).await.map_err(failed)?;
    let checked = read_rows(scratch.local(), entry).await.map_err(failed);
    scratch.remove_part(entry);
    checked?.map_err(|reason| MergeError::BadOutput {
        file: format!("part {}", entry.ulid),
        reason,
    })
}

/// Reads all rows of a part, also for the scrub; the inner error says what is different.
pub(crate) async fn read_rows(
    store: Arc<dyn ObjectStore>,
    entry: &PartEntry,
) -> Result<Result<(), String>, ArchiveError> {
    let reader = PartReader::open(store, entry).await?;
    for (name, held) in &entry.tenants {
        let Ok(tenant) = TenantId::parse(name) else {
            return Ok(Err(format!("it has a tenant `{name}`")));
        };
        let query = ScanQuery {
            tenant: tenant.clone(),
            range: TimeRange::ALL,
            matchers: [].into(),
            kinds: ScanKinds::AllWithDigests,
        };
        let mut scan = reader.scan(query, WINDOW_ROWS);
        let (mut runs, mut found, mut rows, mut series) = (SeriesRuns::default(), Digests::default(), 0, 0_u64);
        while scan.advance().await? {
            runs.clear();
            scan.take_rows(&mut runs).await?;
            found.clear();
            found.add(&runs);
            // A flush has none.
            if entry.level > 0 && found != scan.digests()? {
                let labels = Labels::of_canonical(scan.labels());
                return Ok(Err(format!("the rows of series {labels} have other digests")));
            }
            rows += runs.len() as u64;
            series += 1;
        }
        let mut metadata = 0;
        let mut cursor = reader.metadata(&tenant, None);
        while let Some(batch) = cursor.next().await? {
            metadata += batch.len() as u64;
        }
        let expected = (
            held.series,
            held.samples + held.histograms + held.exemplars,
            held.metadata,
        );
        if (series, rows, metadata) != expected {
            return Ok(Err(format!(
                "it has {:?} series, rows and variants, not {expected:?}",
                (series, rows, metadata)
            )));
        }
    }
    Ok(Ok(()))
}
