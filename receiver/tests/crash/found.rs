//! Everything that can be read of a receiver and its archive: the head, the live parts, the commit records.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use emberkeep_archive::{
    ArchiveError, Catalog, CommitRecord, PartEntry, PartReader, ScanKinds, ScanQuery, Ulid, open_envelope,
};
use emberkeep_disk::{FileSystem, read_to_vec};
use emberkeep_model::head::HeadKinds;
use emberkeep_model::{SeriesRuns, TenantId, TimeRange};

use crate::life::{ARCHIVE, Life, everything_of, names};
use crate::request::{Key, metadata_key, rows};

/// What was found at one moment.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) head: BTreeSet<Key>,
    /// Each item of the archive, with the number of live parts that hold it.
    pub(crate) parts: BTreeMap<Key, usize>,
    /// The live parts.
    pub(crate) live: BTreeMap<Ulid, Vec<Key>>,
}

impl Found {
    /// Reads the head first and the archive after, as readers do: what moves in between is seen twice.
    pub(crate) fn read(life: &Life) -> Result<Self, String> {
        Self::default().again(life)
    }

    /// Reads again; parts that were read before are not opened again, since nothing may ever change one.
    pub(crate) fn again(&self, life: &Life) -> Result<Self, String> {
        life.replayed()?;
        let head = read_head(life)?;
        let live = read_parts(life, &self.live)?;
        let mut parts = BTreeMap::new();
        for key in live.values().flatten() {
            *parts.entry(key.clone()).or_default() += 1;
        }
        Ok(Self { head, parts, live })
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
        for kinds in [HeadKinds::Samples, HeadKinds::Exemplars, HeadKinds::Metadata] {
            let query = everything_of(tenant, kinds);
            let head = life.receiver.head();
            let read = life
                .runtime
                .block_on(async { tokio::task::spawn_blocking(move || head.read(&query)).await });
            let answer = read.unwrap().map_err(|error| error.to_string())?;
            let of_series = answer
                .series
                .iter()
                .flat_map(|series| rows(tenant, &series.labels, &series.runs));
            let metadata = answer.metadata.iter().map(|entry| metadata_key(tenant, entry));
            for key in of_series.chain(metadata) {
                if !found.insert(key) {
                    return Err("the head answers an item twice".to_owned());
                }
            }
        }
    }
    Ok(found)
}

fn read_parts(life: &Life, known: &BTreeMap<Ulid, Vec<Key>>) -> Result<BTreeMap<Ulid, Vec<Key>>, String> {
    let read = async {
        let mut live = BTreeMap::new();
        let view = Catalog::new(life.store.clone()).refresh().await?;
        for part in &view.parts {
            let keys = match known.get(&part.ulid) {
                Some(keys) => keys.clone(),
                None => read_part(life, part).await?,
            };
            if live.insert(part.ulid, keys).is_some() {
                return Err(ArchiveError::Invalid(format!("part {} is live twice", part.ulid)));
            }
        }
        Ok(live)
    };
    life.runtime.block_on(read).map_err(|error| error.to_string())
}

async fn read_part(life: &Life, part: &PartEntry) -> Result<Vec<Key>, ArchiveError> {
    let mut keys = Vec::new();
    let reader = PartReader::open(life.store.clone(), part).await?;
    for name in part.tenants.keys() {
        let tenant = TenantId::parse(name).unwrap();
        let query = ScanQuery {
            tenant,
            range: TimeRange::ALL,
            matchers: Arc::from([]),
            kinds: ScanKinds::All,
        };
        let mut scan = reader.scan(query, 1024);
        while let Some(series) = scan.next().await? {
            let mut runs = SeriesRuns::default();
            scan.samples(series.samples, TimeRange::ALL, &mut runs.samples).await?;
            scan.histograms(series.histograms, TimeRange::ALL, &mut runs.histograms)
                .await?;
            scan.exemplars(series.exemplars, TimeRange::ALL, &mut runs.exemplars)
                .await?;
            keys.extend(rows(name, &series.labels, &runs));
        }
        let mut metadata = reader.metadata(&TenantId::parse(name).unwrap(), None);
        while let Some(entries) = metadata.next().await? {
            keys.extend(entries.iter().map(|entry| metadata_key(name, entry)));
        }
    }
    Ok(keys)
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
