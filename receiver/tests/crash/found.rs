//! Everything that can be read of a receiver and its archive: the head, the live parts, the commit records.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use emberkeep_archive::{Catalog, CommitRecord, PartReader, ScanQuery, open_envelope};
use emberkeep_disk::{FileSystem, read_to_vec};
use emberkeep_model::head::HeadQuery;
use emberkeep_model::{Run, TenantId, TimeRange};

use crate::life::{ARCHIVE, Life, names};
use crate::request::{Key, key};

/// What was found at one moment.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) head: BTreeSet<Key>,
    /// Each sample of the archive, with the number of live parts that hold it.
    pub(crate) parts: BTreeMap<Key, usize>,
}

impl Found {
    /// Reads the head first and the archive after, as readers do: what moves in between is seen twice.
    pub(crate) fn read(life: &Life) -> Result<Self, String> {
        let head = read_head(life)?;
        let parts = read_parts(life)?;
        Ok(Self { head, parts })
    }

    pub(crate) fn holds(&self, key: &Key) -> bool {
        self.head.contains(key) || self.parts.contains_key(key)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.head.iter().chain(self.parts.keys())
    }
}

fn read_head(life: &Life) -> Result<BTreeSet<Key>, String> {
    let mut found = BTreeSet::new();
    for tenant in ["anonymous", "tenant-2"] {
        let query =
            HeadQuery { tenant: TenantId::parse(tenant).unwrap(), range: TimeRange::ALL, matchers: Arc::from([]) };
        let head = life.receiver.head();
        let read = life.runtime.block_on(async { tokio::task::spawn_blocking(move || head.read(&query)).await });
        for series in read.unwrap().map_err(|error| error.to_string())?.series {
            for sample in series.samples.iter() {
                if !found.insert(key(tenant, &series.labels, sample)) {
                    return Err("the head answers a sample twice".to_owned());
                }
            }
        }
    }
    Ok(found)
}

fn read_parts(life: &Life) -> Result<BTreeMap<Key, usize>, String> {
    let read = async {
        let mut found = BTreeMap::new();
        let mut ulids = BTreeSet::new();
        let view = Catalog::new(life.store.clone()).refresh().await?;
        for part in &view.parts {
            assert!(ulids.insert(part.ulid), "part {} is live twice", part.ulid);
            let reader = PartReader::open(life.store.clone(), part).await?;
            for name in part.tenants.keys() {
                let tenant = TenantId::parse(name).unwrap();
                let query = ScanQuery { tenant, range: TimeRange::ALL, matchers: Arc::from([]) };
                let mut scan = reader.scan(query, 1024);
                while let Some(series) = scan.next().await? {
                    let mut run = Run::default();
                    scan.samples(series.rows, TimeRange::ALL, &mut run).await?;
                    for sample in run.iter() {
                        *found.entry(key(name, &series.labels, sample)).or_default() += 1;
                    }
                }
            }
        }
        Ok(found)
    };
    let found: Result<_, emberkeep_archive::ArchiveError> = life.runtime.block_on(read);
    found.map_err(|error| error.to_string())
}

/// All commit records of the archive, by name.
pub(crate) fn commit_records(fs: &dyn FileSystem) -> Vec<CommitRecord> {
    let log = Path::new(ARCHIVE).join("_archive/log");
    let record = |name: &String| {
        let bytes = read_to_vec(fs, &log.join(name), 1 << 20).unwrap();
        open_envelope(name, &bytes).unwrap()
    };
    names(fs, &log).iter().map(record).collect()
}
