//! A part gives back exactly what went in, whatever it is, and refuses damage without a panic.

#![expect(clippy::unwrap_used, reason = "tests")]

mod ahead;
mod compacted;
mod damage;
mod fallback;
mod far_store;
mod golden;
mod histograms;
mod kept;
mod kinds;
mod layout;
mod metadata;
mod raw;
mod ready;
mod round_trip;
mod same_series;
mod sealed;
mod times;
mod windows;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use ulid::Ulid;

use emberkeep_model::{Labels, Matcher, Run, SeriesRuns, TenantId, TimeRange};

use super::{PartInfo, PartOrigin, PartReader, PartScan, PartSettings, PartSummary, PartWriter, ScanKinds, ScanQuery};
use crate::{ArchiveError, FileKind, PartEntry, WalRange, names};

/// What a part holds, in row order.
type Content = BTreeMap<(TenantId, Labels), Run>;

/// The files of a part.
type Files = BTreeMap<FileKind, Vec<u8>>;

fn info() -> PartInfo {
    PartInfo {
        dataset: "d".to_owned(),
        ulid: Ulid(77),
        origin: PartOrigin::Flush {
            receiver: "r".to_owned(),
            wal: WalRange {
                id: "w".to_owned(),
                from: 3,
                to: 9,
            },
        },
    }
}

/// Pages and row groups so small that a few thousand rows have several.
fn small() -> PartSettings {
    PartSettings {
        sample_page_rows: 4096,
        sample_group_rows: 12_000,
        series_page_rows: 256,
        series_group_rows: 700,
        ..PartSettings::default()
    }
}

fn writer(settings: PartSettings) -> PartWriter<'static, Vec<u8>> {
    PartWriter::create(|_| Ok(Vec::new()), info(), settings).unwrap()
}

/// Floats only.
fn runs(samples: &Run) -> SeriesRuns {
    SeriesRuns {
        samples: samples.clone(),
        ..SeriesRuns::default()
    }
}

fn fill(mut writer: PartWriter<'_, Vec<u8>>, content: &Content) -> (PartSummary, Files) {
    for ((tenant, labels), run) in content {
        writer.push(tenant, labels, &runs(run), &[]).unwrap();
    }
    let (summary, files) = writer.finish().unwrap();
    (summary, files.into_iter().collect())
}

/// The files in a store, and the entry that names them.
async fn stored(summary: &PartSummary, files: Files) -> (Arc<dyn ObjectStore>, PartEntry) {
    let entry = PartEntry::level0(Ulid(77), "r", summary, |kind| names::level0("r", 1, Ulid(77), kind));
    (store_of(&entry, files).await, entry)
}

/// The files under the names of their entry.
async fn store_of(entry: &PartEntry, files: Files) -> Arc<dyn ObjectStore> {
    let store = InMemory::new();
    for (kind, bytes) in files {
        let path = entry.file(kind).unwrap().location().unwrap();
        store
            .put(&path, PutPayload::from_bytes(Bytes::from(bytes)))
            .await
            .unwrap();
    }
    Arc::new(store)
}

async fn opened(content: &Content, settings: PartSettings) -> PartReader {
    let (summary, files) = fill(writer(settings), content);
    let (store, entry) = stored(&summary, files).await;
    PartReader::open(store, &entry).await.unwrap()
}

fn query(tenant: &str, range: TimeRange, matchers: Vec<Matcher>) -> ScanQuery {
    ScanQuery {
        tenant: TenantId::parse(tenant).unwrap(),
        range,
        matchers: matchers.into(),
        kinds: ScanKinds::Samples,
    }
}

/// Everything of a tenant, series without rows as well.
fn everything(tenant: &str) -> ScanQuery {
    ScanQuery {
        kinds: ScanKinds::All,
        ..query(tenant, TimeRange::ALL, vec![])
    }
}

/// Everything that a scan gives, with its samples.
async fn drain(mut scan: PartScan, range: TimeRange) -> Result<Vec<(Labels, Run)>, ArchiveError> {
    let mut found = Vec::new();
    while let Some(series) = scan.next().await? {
        let mut run = Run::default();
        scan.samples(series.samples, range, &mut run).await?;
        found.push((series.labels, run));
    }
    Ok(found)
}

/// Timestamp, bits of the value, start timestamp.
type Row = (i64, u64, i64);

/// Bits, because a NaN is unequal to itself.
fn bits(found: &[(Labels, Run)]) -> Vec<(Labels, Vec<Row>)> {
    let row = |sample: emberkeep_model::Sample| (sample.timestamp, sample.value.to_bits(), sample.start_timestamp);
    found
        .iter()
        .map(|(labels, run)| (labels.clone(), run.iter().map(row).collect()))
        .collect()
}

/// What a scan must give, from the content itself.
fn expected(content: &Content, query: &ScanQuery) -> Vec<(Labels, Run)> {
    let of_tenant = content.iter().filter(|((tenant, _), _)| *tenant == query.tenant);
    let matching = of_tenant.filter(|((_, labels), _)| query.matchers.iter().all(|m| m.matches_labels(labels)));
    let in_range = matching.map(|((_, labels), run)| {
        let mut run = run.clone();
        run.retain_range(query.range);
        (labels.clone(), run)
    });
    in_range.filter(|(_, run)| !run.is_empty()).collect()
}

fn run_async<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(work)
}
