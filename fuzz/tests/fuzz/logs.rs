//! The write-ahead log after any damage: what is whole comes back, the rest is set aside, and a second start finds the same.

use std::io;
use std::path::Path;
use std::sync::Arc;

use emberkeep_disk::{FileSystem, ForgetfulFs, create_dir_all_durable, read_to_vec, write_new_durable};
use emberkeep_fuzz::{Bound, Input, Target};
use emberkeep_model::TenantId;
use emberkeep_proto::snappy;
use emberkeep_wal::{Options, Protocol, Record, RecoveryOptions, Verdict, Wal, WalError, WalId, recover};
use prost::Message;

use crate::material::{write_request_v1, write_request_v2};
use crate::writing::said;

const ID: WalId = WalId::from_bytes(*b"0123456789abcdef");
const SEGMENTS: [&str; 2] = ["00000000000000000000.wal", "00000000000000000001.wal"];
const SEGMENT_HEADER: usize = 40;
const RECORD_HEADER: usize = 44;

fn dir() -> &'static Path {
    Path::new("/wal")
}

/// Two segments with requests of both protocols, one of them refused in part.
fn log() -> Input {
    let fs = ForgetfulFs::new();
    create_dir_all_durable(&fs, dir()).unwrap();
    let options = Options {
        segment_bytes: 2500,
        ..Options::default()
    };
    let wal = Wal::start(
        Arc::new(fs.clone()),
        dir(),
        ID,
        0,
        options,
        Box::new(|_: &io::Error| {}),
    )
    .unwrap();
    for number in 0..6_u32 {
        let (protocol, body) = if number % 2 == 0 {
            (Protocol::V1, write_request_v1().encode_to_vec())
        } else {
            (Protocol::V2, write_request_v2().encode_to_vec())
        };
        let mut verdict = Verdict::new(2);
        for ordinal in (0..number).filter(|ordinal| ordinal % 3 != 1) {
            verdict.refuse(ordinal);
        }
        let record = Record {
            tenant: TenantId::parse("anonymous").unwrap(),
            protocol,
            arrival: 1_700_000_000_000 + i64::from(number),
            verdict,
            body: snappy::compress(&body).into(),
        };
        wal.append(record).wait().unwrap();
    }
    wal.close();
    drop(wal);
    let read = |name: &&str| read_to_vec(&fs, &dir().join(name), 1 << 20).unwrap();
    Input {
        files: SEGMENTS.iter().map(read).collect(),
    }
}

/// Makes headers name their own place again, and sums right: a record that was moved or changed is then a record.
fn repair(input: &mut Input) {
    for (segment, bytes) in input.files.iter_mut().enumerate() {
        if let Some(header) = bytes.first_chunk_mut::<SEGMENT_HEADER>() {
            let crc = crc_fast::crc32_iscsi(&header[..36]);
            header[36..].copy_from_slice(&crc.to_le_bytes());
        }
        let mut at = SEGMENT_HEADER;
        while let Some(found) = bytes
            .get(at..)
            .and_then(|rest| rest.windows(4).position(|four| four == b"EKWR"))
        {
            at += found;
            let Some(header) = bytes.get_mut(at..at + RECORD_HEADER) else {
                break;
            };
            header[4..20].copy_from_slice(ID.as_bytes());
            header[20..28].copy_from_slice(&(segment as u64).to_le_bytes());
            header[28..36].copy_from_slice(&(at as u64).to_le_bytes());
            let length = [header[36], header[37], header[38], header[39]];
            let end = at + RECORD_HEADER + u32::from_le_bytes(length) as usize;
            let Some(record) = bytes.get(at..end) else {
                at += 4;
                continue;
            };
            let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
            digest.update(&record[..40]);
            digest.update(&record[RECORD_HEADER..]);
            let crc = digest.finalize() as u32;
            bytes[at + 40..at + RECORD_HEADER].copy_from_slice(&crc.to_le_bytes());
            at = end;
        }
    }
}

/// Recovers; what was found, and a number for all records.
fn read(fs: &dyn FileSystem) -> Result<(String, u64), WalError> {
    let mut all = 0_u64;
    let recovery = recover(fs, dir(), ID, RecoveryOptions::default(), &mut |position, view| {
        let mut hash = position.segment ^ view.verdict.refused_count() ^ u64::from(view.verdict.validator());
        for byte in view.body {
            hash = hash.wrapping_mul(0x0100_0000_01b3) ^ u64::from(*byte);
        }
        all = all.wrapping_add(hash);
        if view.body.is_empty() {
            return Err("a body that the visitor refuses".to_owned());
        }
        Ok(())
    })?;
    let kinds: Vec<_> = recovery.damage.iter().map(|damage| damage.kind).collect();
    Ok((
        format!(
            "{} records, {kinds:?}, {} foreign",
            recovery.records,
            recovery.foreign.len()
        ),
        all,
    ))
}

/// A window of 1 MiB. The file system lies in memory, twice for what is durable, and copies of damage are files as well.
#[test]
fn wal() {
    let target = Target {
        name: "wal",
        rounds: 4000,
        max_bytes: 16 << 10,
        bound: Bound {
            per_byte: 24,
            flat: (1 << 20) + (512 << 10),
        },
        dictionary: &[b"EKWR", b"EKWALSEG", ID.as_bytes()],
        outcomes: 200,
    };
    target.run(vec![log()], repair, |input| {
        let fs = ForgetfulFs::new();
        create_dir_all_durable(&fs, dir()).unwrap();
        for (name, bytes) in SEGMENTS.iter().zip(&input.files) {
            write_new_durable(&fs, &dir().join(name), bytes).unwrap();
        }
        let first = read(&fs);
        let second = read(&fs);
        if let (Ok(first), Ok(second)) = (&first, &second) {
            assert_eq!(first, second, "a second start finds the same");
        }
        said(first.map(|(text, _)| text))
    });
}
