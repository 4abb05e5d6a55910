//! Flush: one frozen generation becomes one staged part.
//!
//! Frozen table -> series sorted by tenant and labels -> runs settled -> Parquet files, synced -> manifest, rename -> the segments may
//! go. Blocking, in a thread of its own. It must never remove segments before the staged part is durable.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use emberkeep_archive::{
    ArchiveError, FileKind, Keys, PartEntry, PartInfo, PartOrigin, PartSettings, PartSummary, PartWriter, Ulid,
    WalRange, fresh_nonce,
};
use emberkeep_disk::{FileSystem, Sequential, create_dir_all_durable, remove_dir_all};
use emberkeep_model::{Labels, TenantId};
use emberkeep_wal::{SegmentRange, WalId};
use parking_lot::Mutex;

use crate::error::ReceiverError;
use crate::generations::Generation;
use crate::identity::Identity;
use crate::series_table::FrozenTable;
use crate::staging::{Manifest, StagedPart};

type Output = BufWriter<Sequential>;

/// Series with conflicts that one flush names; the metric counts them all.
const CONFLICTS_TOLD_MAX: usize = 5;

/// Where and as whom a flush writes.
#[derive(Debug)]
pub(crate) struct Flush {
    pub(crate) fs: Arc<dyn FileSystem>,
    pub(crate) staging: PathBuf,
    pub(crate) wal_path: PathBuf,
    pub(crate) identity: Arc<Mutex<Identity>>,
    pub(crate) keys: Keys,
}

/// What a flush did.
#[derive(Debug)]
pub(crate) struct Flushed {
    /// None when the generation held nothing.
    pub(crate) part: Option<StagedPart>,
    pub(crate) conflicts: Conflicts,
}

/// Rows that lost against a different one of the same series and timestamp.
#[derive(Debug, Default)]
pub(crate) struct Conflicts {
    pub(crate) by_tenant: BTreeMap<TenantId, u64>,
    /// Some of the series, to be told: the first ones.
    pub(crate) told: Vec<(TenantId, Labels, u64)>,
}

impl Conflicts {
    fn add(&mut self, tenant: &TenantId, labels: &Labels, conflicts: u64) {
        if conflicts == 0 {
            return;
        }
        *self.by_tenant.entry(tenant.clone()).or_default() += conflicts;
        if self.told.len() < CONFLICTS_TOLD_MAX {
            self.told.push((tenant.clone(), labels.clone(), conflicts));
        }
    }

    pub(crate) fn total(&self) -> u64 {
        self.by_tenant.values().sum()
    }
}

impl Flush {
    /// Writes a frozen generation as a staged part. The segments stay; see [`Flush::trim`].
    #[inline(never)]
    pub(crate) fn stage(&self, generation: &Generation, segments: SegmentRange) -> Result<Flushed, ReceiverError> {
        if generation.table.is_empty() {
            return Ok(Flushed {
                part: None,
                conflicts: Conflicts::default(),
            });
        }
        let (wal_id, receiver, dataset) = {
            let identity = self.identity.lock();
            (
                identity.wal_id(),
                identity.receiver().to_owned(),
                identity.dataset().to_owned(),
            )
        };
        let wal = wal_range(wal_id, segments);
        let temporary = StagedPart::temporary(&self.staging, &wal);
        StagedPart::clear(&*self.fs, &self.staging, &wal)?;
        create_dir_all_durable(&*self.fs, &temporary).map_err(ReceiverError::disk(&temporary))?;

        let ulid = Ulid::generate();
        let info = PartInfo {
            dataset,
            ulid,
            origin: PartOrigin::Flush {
                receiver: receiver.clone(),
                wal: wal.clone(),
            },
        };
        let frozen = generation.table.freeze();
        let (summary, conflicts) = self.write(&temporary, info, &frozen).inspect_err(|_| {
            // On a full disk the log may need the space before the next try clears it.
            let _ = remove_dir_all(&*self.fs, &temporary);
        })?;
        let manifest = Manifest {
            nonce: fresh_nonce(),
            wal,
            newest_arrival: generation.newest_arrival(),
            part: PartEntry::level0(ulid, &receiver, &summary, |kind| file_name(kind).into()),
        };
        let part = StagedPart::publish(&*self.fs, &self.staging, &temporary, manifest, &self.keys)?;
        Ok(Flushed {
            part: Some(part),
            conflicts,
        })
    }

    /// Removes segments that a staged part replaces, or that hold nothing to keep. Their numbers are never used again.
    pub(crate) fn trim(&self, segments: SegmentRange) -> Result<(), ReceiverError> {
        let remove = |from, to| emberkeep_wal::remove(&*self.fs, &self.wal_path, SegmentRange { from, to });
        // The last one keeps the numbers below it from being used again, so the others may go first: they make room on a full disk.
        if segments.from < segments.to {
            remove(segments.from, segments.to - 1)?;
        }
        self.identity.lock().raise_floor(segments.to + 1)?;
        Ok(remove(segments.to, segments.to)?)
    }

    /// Removes the segments that a staged part replaces, when they are segments of the present log.
    pub(crate) fn trim_replaced(&self, part: &StagedPart) -> Result<(), ReceiverError> {
        let wal = &part.manifest.wal;
        if wal.id != self.identity.lock().wal_id().to_string() {
            return Ok(());
        }
        self.trim(SegmentRange {
            from: wal.from,
            to: wal.to - 1,
        })
    }

    /// What a drained data directory must not hold any more.
    ///
    /// # Errors
    /// Names what is left: segments, staged parts, or records that were set aside because they could not be read.
    pub(crate) fn check_empty(&self) -> Result<(), ReceiverError> {
        let left = |path: &Path, what: String| ReceiverError::Left {
            path: path.to_owned(),
            what,
        };
        let segments = emberkeep_wal::usage(&*self.fs, &self.wal_path)?.segments;
        if segments > 0 {
            return Err(left(&self.wal_path, format!("{segments} segments of the log")));
        }
        let staged = self
            .fs
            .read_dir(&self.staging)
            .map_err(ReceiverError::disk(&self.staging))?;
        if let Some(part) = staged
            .iter()
            .find(|entry| !entry.name.as_encoded_bytes().starts_with(b"."))
        {
            return Err(left(&self.staging.join(&part.name), "a staged part".to_owned()));
        }
        let aside = self.wal_path.join("set-aside");
        let torn = |name: &std::ffi::OsStr| name.as_encoded_bytes().ends_with(b".torn");
        match self.fs.read_dir(&aside) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            // What a crash tore off was never acknowledged.
            Ok(entries) if entries.iter().all(|entry| torn(&entry.name)) => Ok(()),
            Ok(_) => Err(left(
                &aside,
                "records that could not be read, perhaps acknowledged ones".to_owned(),
            )),
            Err(error) => Err(ReceiverError::disk(&aside)(error)),
        }
    }

    fn write(
        &self,
        directory: &Path,
        info: PartInfo,
        table: &FrozenTable<'_>,
    ) -> Result<(PartSummary, Conflicts), ReceiverError> {
        let open = |kind: FileKind| -> Result<Output, ArchiveError> {
            let file = self.fs.create_new(&directory.join(file_name(kind)));
            Ok(BufWriter::with_capacity(
                1 << 20,
                Sequential::new(file.map_err(ArchiveError::Write)?),
            ))
        };
        let settings = PartSettings {
            keys: self.keys.clone(),
            ..PartSettings::default()
        };
        let mut writer = PartWriter::create(open, info, settings)?;
        let conflicts = write_rows(&mut writer, table)?;
        let (summary, files) = writer.finish()?;
        for (kind, mut output) in files {
            output
                .flush()
                .and_then(|()| output.get_ref().file().sync_all())
                .map_err(ReceiverError::disk(directory.join(file_name(kind))))?;
        }
        Ok((summary, conflicts))
    }
}

/// Writes all that a table holds, tenant by tenant: its series in label order, then its families.
pub(crate) fn write_rows<W: Write + Send>(
    writer: &mut PartWriter<W>,
    table: &FrozenTable<'_>,
) -> Result<Conflicts, ArchiveError> {
    let mut conflicts = Conflicts::default();
    let mut families = table.families().into_iter().peekable();
    table.visit(|tenant, labels, series| {
        while let Some((tenant, family, variants)) = families.next_if(|(of_family, ..)| of_family < tenant) {
            writer.push_family(&tenant, &family, &variants)?;
        }
        conflicts.add(tenant, labels, series.conflicts);
        writer.push(tenant, labels, &series.runs, &series.metadata)
    })?;
    for (tenant, family, variants) in families {
        writer.push_family(&tenant, &family, &variants)?;
    }
    Ok(conflicts)
}

pub(crate) fn wal_range(id: WalId, segments: SegmentRange) -> WalRange {
    WalRange {
        id: id.to_string(),
        from: segments.from,
        to: segments.to + 1,
    }
}

/// The name of a part's file inside its staging directory.
pub(crate) fn file_name(kind: FileKind) -> String {
    format!("{}.parquet", kind.as_str())
}
