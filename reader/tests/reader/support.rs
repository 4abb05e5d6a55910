//! What the tests share: an archive in a directory, a head that is made up, a server, and small makers of rows.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;

use emberkeep_archive::{
    CommitRecord, Committed, FileKind, ObjectStore, PartEntry, PartInfo, PartOrigin, PartSettings, PartWriter,
    StoreConfig, Ulid, WalRange, commit, names,
};
use emberkeep_model::head::{Head, HeadAnswer, HeadError, HeadKinds, HeadPosition, HeadQuery, HeadSeries};
use emberkeep_model::{
    Exemplar, Histogram, Labels, Metadata, MetadataEntry, MetricType, Run, Sample, SeenMetadata, SeriesRuns, TenantId,
};
use emberkeep_reader::{HeadSource, Reader, ReaderMetrics, ReaderSettings};

use crate::model::{naive, naive_exemplars};

/// What the cases of a property run on: one for all of them.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("threads can be started")
}

pub(crate) const RECEIVER: &str = "r1";

/// One thing that was received.
#[derive(Debug, Clone)]
pub(crate) enum Row {
    Float(Sample),
    Histogram(i64, i64, Arc<Histogram>),
    Exemplar(Exemplar),
    /// About the series.
    Metadata(SeenMetadata),
    /// About the family that has the metric name of the labels.
    Family(SeenMetadata),
}

/// Rows as they were received: nothing sorted, nothing deduplicated.
pub(crate) type Rows = Vec<(TenantId, Labels, Row)>;
/// Series with settled rows.
pub(crate) type Series = BTreeMap<Labels, SeriesRuns>;

/// What one tenant has in a part.
#[derive(Default)]
struct TenantRows {
    families: BTreeMap<String, Vec<SeenMetadata>>,
    series: BTreeMap<Labels, (SeriesRuns, Vec<SeenMetadata>)>,
}

/// An archive in a directory of its own.
pub(crate) struct TestArchive {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) store: Arc<dyn ObjectStore>,
    committed: u64,
}

impl TestArchive {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory for tests");
        let store = StoreConfig::directory(directory.path())
            .open()
            .expect("a directory is a store");
        Self {
            directory,
            store,
            committed: 0,
        }
    }

    /// Writes the rows as one part and commits it.
    pub(crate) async fn flush(&mut self, rows: &Rows) -> PartEntry {
        let mut tenants: BTreeMap<TenantId, TenantRows> = BTreeMap::new();
        for (tenant, labels, row) in rows {
            let of_tenant = tenants.entry(tenant.clone()).or_default();
            if let Row::Family(seen) = row {
                let family = labels.metric_name().to_owned();
                of_tenant.families.entry(family).or_default().push(seen.clone());
                continue;
            }
            let (runs, metadata) = of_tenant.series.entry(labels.clone()).or_default();
            match row {
                Row::Float(sample) => runs.samples.push(*sample),
                Row::Histogram(timestamp, start, histogram) => runs.histograms.push(*timestamp, *start, histogram),
                Row::Exemplar(exemplar) => runs.exemplars.push(exemplar.clone()),
                Row::Metadata(seen) => metadata.push(seen.clone()),
                Row::Family(_) => unreachable!("families were pushed above"),
            }
        }
        self.write(|writer| {
            for (tenant, rows) in tenants {
                for (family, seen) in &rows.families {
                    writer.push_family(&tenant, family, seen).expect("metadata is valid");
                }
                for (labels, (mut runs, metadata)) in rows.series {
                    runs.settle();
                    writer
                        .push(&tenant, &labels, &runs, &metadata)
                        .expect("rows are in order");
                }
            }
        })
        .await
    }

    /// Writes settled runs, in order, as one part and commits it.
    pub(crate) async fn flush_runs(
        &mut self,
        runs: impl IntoIterator<Item = (TenantId, Labels, SeriesRuns)>,
    ) -> PartEntry {
        self.write(|writer| {
            for (tenant, labels, runs) in runs {
                writer.push(&tenant, &labels, &runs, &[]).expect("rows are in order");
            }
        })
        .await
    }

    async fn write(&mut self, fill: impl FnOnce(&mut PartWriter<'_, File>)) -> PartEntry {
        let seq = self.committed + 1;
        let ulid = Ulid::from_parts(1_700_000_000_000 + seq, u128::from(seq));
        let path_of = |kind| names::level0(RECEIVER, seq, ulid, kind);
        let create = |kind| {
            let path = self.directory.path().join(path_of(kind).to_string());
            fs::create_dir_all(path.parent().expect("below the archive")).expect("a folder");
            Ok(File::create(path).expect("a file"))
        };
        let info = PartInfo {
            dataset: "d".to_owned(),
            ulid,
            origin: PartOrigin::Flush {
                receiver: RECEIVER.to_owned(),
                wal: WalRange {
                    id: "w".to_owned(),
                    from: seq,
                    to: seq + 1,
                },
            },
        };
        let mut writer = PartWriter::create(create, info, PartSettings::default()).expect("a part");
        fill(&mut writer);
        let (summary, _) = writer.finish().expect("a part");
        let entry = PartEntry::level0(ulid, RECEIVER, &summary, path_of);
        let record = CommitRecord {
            nonce: format!("n{seq}"),
            receiver: RECEIVER.to_owned(),
            epoch: 1,
            seq,
            wal: WalRange {
                id: "w".to_owned(),
                from: seq,
                to: seq + 1,
            },
            committed_at: 0,
            newest_arrival: 0,
            parts: vec![entry.clone()],
        };
        let committed = commit(&*self.store, &record).await.expect("a commit");
        assert!(matches!(committed, Committed::Done));
        self.committed = seq;
        entry
    }

    /// Where a file of a part lies on disk.
    pub(crate) fn file(&self, part: &PartEntry, kind: FileKind) -> PathBuf {
        self.directory
            .path()
            .join(&part.file(kind).expect("the part has it").path)
    }

    /// The last sequence committed.
    pub(crate) fn committed(&self) -> u64 {
        self.committed
    }

    pub(crate) fn reader(&self, heads: Vec<HeadSource>, settings: ReaderSettings) -> Arc<Reader> {
        Arc::new(Reader::new(
            Arc::clone(&self.store),
            heads,
            settings,
            ReaderMetrics::default(),
        ))
    }
}

/// A head made of rows.
#[derive(Debug, Clone)]
pub(crate) struct TestHead {
    pub(crate) rows: Rows,
    pub(crate) committed: u64,
    pub(crate) is_down: bool,
}

impl TestHead {
    pub(crate) fn source(rows: Rows, committed: u64) -> HeadSource {
        HeadSource::Local(Arc::new(Self {
            rows,
            committed,
            is_down: false,
        }))
    }

    fn metadata(&self, tenant: &TenantId) -> Vec<MetadataEntry> {
        let of_tenant = self.rows.iter().filter(|(owner, ..)| owner == tenant);
        let entry = |(_, labels, row): &(TenantId, Labels, Row)| {
            let (series, seen) = match row {
                Row::Metadata(seen) => (Some(labels.clone()), seen),
                Row::Family(seen) => (None, seen),
                _ => return None,
            };
            Some(MetadataEntry {
                family: labels.metric_name().to_owned(),
                series,
                seen: seen.clone(),
            })
        };
        of_tenant.filter_map(entry).collect()
    }
}

impl Head for TestHead {
    fn read(&self, query: &HeadQuery) -> Result<HeadAnswer, HeadError> {
        if self.is_down {
            return Err(HeadError::Unavailable {
                who: RECEIVER.to_owned(),
                why: "it is replaying".to_owned(),
            });
        }
        let (series, metadata) = match query.kinds {
            HeadKinds::Samples => (
                naive(&self.rows, &query.tenant, query.range, &query.matchers),
                Vec::new(),
            ),
            HeadKinds::Exemplars => (
                naive_exemplars(&self.rows, &query.tenant, query.range, &query.matchers),
                Vec::new(),
            ),
            HeadKinds::Metadata => (Series::new(), self.metadata(&query.tenant)),
        };
        let series = series
            .into_iter()
            .map(|(labels, runs)| HeadSeries { labels, runs })
            .collect();
        let position = HeadPosition {
            receiver: RECEIVER.to_owned(),
            epoch: 1,
            committed: self.committed,
        };
        Ok(HeadAnswer {
            position,
            series,
            metadata,
        })
    }
}

/// Serves a reader on a free port; returns its base URL. It ends with the runtime.
pub(crate) async fn serve(reader: Arc<Reader>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move { axum::serve(listener, reader.router()).await });
    format!("http://{address}")
}

/// A client for plain HTTP; the provider of TLS has to be chosen all the same.
pub(crate) fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

pub(crate) fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).expect("labels of tests are valid")
}

pub(crate) fn float(timestamp: i64, value: f64) -> Sample {
    Sample {
        timestamp,
        value,
        start_timestamp: 0,
    }
}

pub(crate) fn sample(timestamp: i64, value: f64) -> Row {
    Row::Float(float(timestamp, value))
}

pub(crate) fn histogram(timestamp: i64, histogram: Histogram) -> Row {
    Row::Histogram(timestamp, 0, Arc::new(histogram))
}

pub(crate) fn exemplar(timestamp: i64, value: f64, pairs: &[(&str, &str)]) -> Row {
    Row::Exemplar(Exemplar {
        timestamp,
        value,
        labels: labels(pairs),
    })
}

pub(crate) fn seen(metric_type: MetricType, help: &str, first_seen: i64, last_seen: i64) -> SeenMetadata {
    SeenMetadata {
        metadata: Metadata {
            metric_type,
            unit: String::new(),
            help: help.to_owned(),
        },
        first_seen,
        last_seen,
    }
}

/// A series of floats alone.
pub(crate) fn floats(samples: Run) -> SeriesRuns {
    SeriesRuns {
        samples,
        ..SeriesRuns::default()
    }
}
