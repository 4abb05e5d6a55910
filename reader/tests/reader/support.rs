//! What the tests share: an archive in a directory, a head that is made up, a server, and the naive model that knows the answer.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;

use emberkeep_archive::{
    CommitRecord, Committed, FileKind, ObjectStore, PartEntry, PartFiles, PartInfo, PartSettings, PartWriter,
    StoreConfig, Ulid, WalRange, commit, names,
};
use emberkeep_model::head::{Head, HeadAnswer, HeadError, HeadPosition, HeadQuery, HeadSeries};
use emberkeep_model::{Labels, Matcher, Run, Sample, TenantId, TimeRange, matches_all, order};
use emberkeep_reader::{HeadSource, Reader, ReaderMetrics, ReaderSettings};

pub(crate) const RECEIVER: &str = "r1";

/// Rows as they were received: nothing sorted, nothing deduplicated.
pub(crate) type Rows = Vec<(TenantId, Labels, Sample)>;
/// Series with settled samples.
pub(crate) type Series = BTreeMap<Labels, Run>;

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
        let mut runs: BTreeMap<(TenantId, Labels), Run> = BTreeMap::new();
        for (tenant, labels, sample) in rows {
            runs.entry((tenant.clone(), labels.clone())).or_default().push(*sample);
        }
        self.flush_runs(runs.into_iter().map(|((tenant, labels), mut run)| {
            run.settle();
            (tenant, labels, run)
        }))
        .await
    }

    /// Writes settled runs, in order, as one part and commits it.
    pub(crate) async fn flush_runs(&mut self, runs: impl IntoIterator<Item = (TenantId, Labels, Run)>) -> PartEntry {
        let seq = self.committed + 1;
        let ulid = Ulid::from_parts(1_700_000_000_000 + seq, u128::from(seq));
        let path_of = |kind| names::level0(RECEIVER, seq, ulid, kind);
        let create = |kind| {
            let path = self.directory.path().join(path_of(kind).to_string());
            fs::create_dir_all(path.parent().expect("below the archive")).expect("a folder");
            File::create(path).expect("a file")
        };
        let info = PartInfo {
            dataset: "d".to_owned(),
            receiver: RECEIVER.to_owned(),
            wal_id: "w".to_owned(),
            wal_from: seq,
            wal_to: seq + 1,
            ulid,
        };
        let files = PartFiles {
            samples: create(FileKind::Samples),
            series: create(FileKind::Series),
        };
        let mut writer = PartWriter::create(files, info, PartSettings::default()).expect("a part");
        for (tenant, labels, run) in runs {
            writer.push(&tenant, &labels, &run).expect("rows are in order");
        }
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
}

impl Head for TestHead {
    fn read(&self, query: &HeadQuery) -> Result<HeadAnswer, HeadError> {
        if self.is_down {
            return Err(HeadError::Unavailable {
                who: RECEIVER.to_owned(),
                why: "it is replaying".to_owned(),
            });
        }
        let series = naive(&self.rows, &query.tenant, query.range, &query.matchers);
        let series = series
            .into_iter()
            .map(|(labels, samples)| HeadSeries { labels, samples })
            .collect();
        let position = HeadPosition {
            receiver: RECEIVER.to_owned(),
            epoch: 1,
            committed: self.committed,
        };
        Ok(HeadAnswer { position, series })
    }
}

/// The answer by the definition: of all rows that match, the greatest of each series and timestamp.
pub(crate) fn naive(rows: &Rows, tenant: &TenantId, range: TimeRange, matchers: &[Matcher]) -> Series {
    let mut best: BTreeMap<Labels, BTreeMap<i64, Sample>> = BTreeMap::new();
    for (owner, labels, sample) in rows {
        if owner != tenant || !range.contains(sample.timestamp) || !matches_all(matchers, labels) {
            continue;
        }
        let kept = best
            .entry(labels.clone())
            .or_default()
            .entry(sample.timestamp)
            .or_insert(*sample);
        if order::prefer(sample, kept).is_gt() {
            *kept = *sample;
        }
    }
    best.into_iter()
        .map(|(labels, samples)| (labels, samples.into_values().collect()))
        .collect()
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

pub(crate) fn sample(timestamp: i64, value: f64) -> Sample {
    Sample {
        timestamp,
        value,
        start_timestamp: 0,
    }
}

/// Runs compare by bits here: a NaN equals itself, and `-0` does not equal `0`.
pub(crate) fn bits(run: &Run) -> Vec<(i64, u64)> {
    run.timestamps
        .iter()
        .zip(&run.values)
        .map(|(&timestamp, value)| (timestamp, value.to_bits()))
        .collect()
}

/// All series by their bits.
pub(crate) fn all_bits(series: &Series) -> Vec<(Labels, Vec<(i64, u64)>)> {
    series.iter().map(|(labels, run)| (labels.clone(), bits(run))).collect()
}
