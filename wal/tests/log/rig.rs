//! What the tests share: records with a number in them, and a log opened and read in one call.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use emberkeep_disk::{FileSystem, ForgetfulFs, read_to_vec};
use emberkeep_model::TenantId;
use emberkeep_wal::{
    Options, Protocol, Record, Recovery, RecoveryOptions, SegmentRange, Verdict, Wal, WalError, WalId, recover,
};

pub(crate) const ID: WalId = WalId::from_bytes(*b"0123456789abcdef");

/// The log's directory.
pub(crate) fn dir() -> &'static Path {
    Path::new("/wal")
}

/// A record that can be told from all others by its number; its body has `len` bytes, none of them zero.
pub(crate) fn record(number: u32, len: usize) -> Record {
    let mut verdict = Verdict::new(1);
    if number.is_multiple_of(3) {
        verdict.refuse(number);
    }
    let body: Vec<u8> = (0..len)
        .map(|index| (index as u32).wrapping_mul(31).wrapping_add(number * 7) as u8 | 1)
        .collect();
    Record {
        tenant: TenantId::parse(&format!("tenant-{number}")).unwrap(),
        protocol: if number.is_multiple_of(2) {
            Protocol::V1
        } else {
            Protocol::V2
        },
        arrival: 1_000_000 + i64::from(number),
        verdict,
        body: Bytes::from(body),
    }
}

/// The number of a record made by [`record`].
pub(crate) fn number(record: &Record) -> u32 {
    record.tenant.as_str().strip_prefix("tenant-").unwrap().parse().unwrap()
}

pub(crate) fn small_segments(segment_bytes: u64) -> Options {
    Options {
        segment_bytes,
        ..Options::default()
    }
}

/// Starts a log that ignores fatal errors but in its answers.
pub(crate) fn start(fs: Arc<dyn FileSystem>, first_segment: u64, options: Options) -> Result<Wal, WalError> {
    Wal::start(fs, dir(), ID, first_segment, options, Box::new(|_: &io::Error| {}))
}

/// Writes these records, waiting for each, and closes the log.
pub(crate) fn write(fs: &ForgetfulFs, first_segment: u64, segment_bytes: u64, records: &[Record]) {
    let wal = start(Arc::new(fs.clone()), first_segment, small_segments(segment_bytes)).unwrap();
    for record in records {
        wal.append(record.clone()).wait().unwrap();
    }
}

/// Recovers into memory.
pub(crate) fn read(fs: &dyn FileSystem, skip: &[SegmentRange]) -> Result<(Recovery, Vec<Record>), WalError> {
    let mut records = Vec::new();
    let options = RecoveryOptions {
        skip,
        ..RecoveryOptions::default()
    };
    let recovery = recover(fs, dir(), ID, options, &mut |_, view| {
        records.push(view.to_record());
        Ok(())
    })?;
    Ok((recovery, records))
}

/// The names and contents of all files in a directory.
pub(crate) fn files(fs: &dyn FileSystem, dir: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs.read_dir(dir).unwrap_or_default();
    entries
        .into_iter()
        .filter(|entry| entry.is_file())
        .map(|entry| {
            let bytes = read_to_vec(fs, &dir.join(&entry.name), 1 << 30).unwrap();
            (entry.name.into_string().unwrap(), bytes)
        })
        .collect()
}

/// A file system with just this log in it, all durable.
pub(crate) fn disk_with(files: &[(String, Vec<u8>)]) -> ForgetfulFs {
    let fs = ForgetfulFs::new();
    emberkeep_disk::create_dir_all_durable(&fs, dir()).unwrap();
    for (name, bytes) in files {
        emberkeep_disk::write_new_durable(&fs, &dir().join(name), bytes).unwrap();
    }
    fs
}
