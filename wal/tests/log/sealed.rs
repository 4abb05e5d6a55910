//! Encrypted records, under a cipher that anybody can see through: the log's part of it is what is tested here.

use std::sync::Arc;

use emberkeep_disk::ForgetfulFs;
use emberkeep_wal::{
    DamageKind, OpenError, Position, Record, RecordSealing, Recovery, RecoveryOptions, SegmentSealing, Wal, WalError,
    recover, survey_sealed,
};

use crate::rig::{ID, dir, disk_with, files, record, small_segments, write};

/// Turns bits around by a number that stands in front, and proves place and content by a sum.
#[derive(Debug)]
struct Toy {
    write: Option<u8>,
    known: Vec<u8>,
}

#[derive(Debug)]
struct ToySegment(u8);

fn sum(position: Position, place: &[u8], clear: &[u8]) -> u8 {
    let of_place = place
        .iter()
        .chain(clear)
        .fold(0_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(*byte));
    of_place.wrapping_add(position.offset as u8)
}

impl RecordSealing for Toy {
    fn segment(&self) -> std::io::Result<Option<Box<dyn SegmentSealing>>> {
        Ok(self
            .write
            .map(|key| Box::new(ToySegment(key)) as Box<dyn SegmentSealing>))
    }

    fn check(&self, sealed: &[u8]) -> Result<(), String> {
        match self.known.contains(&sealed[0]) {
            true => Ok(()),
            false => Err(format!("key {} is not there", sealed[0])),
        }
    }

    fn open(&self, position: Position, place: &[u8], sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        self.check(sealed).map_err(OpenError::Key)?;
        let (last, rest) = sealed.split_last().unwrap();
        let clear: Vec<u8> = rest[1..].iter().map(|byte| byte ^ sealed[0]).collect();
        match sum(position, place, &clear) == *last {
            true => Ok(clear),
            false => Err(OpenError::Damaged("the sum is another".to_owned())),
        }
    }
}

impl SegmentSealing for ToySegment {
    fn overhead(&self) -> usize {
        2
    }

    fn seal(&mut self, position: Position, place: &[u8], pieces: [&[u8]; 2], out: &mut Vec<u8>) {
        let clear = pieces.concat();
        out.push(self.0);
        out.extend(clear.iter().map(|byte| byte ^ self.0));
        out.push(sum(position, place, &clear));
    }
}

fn toy(write: Option<u8>, known: &[u8]) -> Arc<Toy> {
    Arc::new(Toy {
        write,
        known: known.to_vec(),
    })
}

/// Writes records under a key.
fn write_sealed(fs: &ForgetfulFs, first: u64, sealing: Arc<Toy>, segment_bytes: u64, records: &[Record]) {
    let options = small_segments(segment_bytes);
    let on_fatal = Box::new(|_: &std::io::Error| {});
    let wal = Wal::start_sealed(Arc::new(fs.clone()), dir(), ID, first, options, Some(sealing), on_fatal).unwrap();
    for record in records {
        wal.append(record.clone()).wait().unwrap();
    }
}

fn read_sealed(fs: &ForgetfulFs, sealing: Option<&Toy>) -> Result<(Recovery, Vec<Record>), WalError> {
    let mut records = Vec::new();
    let options = RecoveryOptions {
        sealing: sealing.map(|toy| toy as &dyn RecordSealing),
        ..RecoveryOptions::default()
    };
    let recovery = recover(fs, dir(), ID, options, &mut |_, view| {
        records.push(view.to_record());
        Ok(())
    })?;
    Ok((recovery, records))
}

#[test]
fn clear_and_encrypted_segments_make_one_log() {
    for segment_bytes in [300, 64 << 10] {
        let fs = ForgetfulFs::new();
        let records: Vec<_> = (1..10).map(|n| record(n, 40 + n as usize)).collect();
        write(&fs, 0, segment_bytes, &records[..3]);
        let next = || {
            read_sealed(&fs, Some(&toy(None, &[7, 9])))
                .unwrap()
                .0
                .last_segment
                .unwrap()
                + 1
        };
        write_sealed(&fs, next(), toy(Some(7), &[7]), segment_bytes, &records[3..6]);
        write_sealed(&fs, next(), toy(Some(9), &[7, 9]), segment_bytes, &records[6..8]);
        write_sealed(&fs, next(), toy(None, &[7, 9]), segment_bytes, &records[8..]);
        let fs = fs.restart();
        let (recovery, read) = read_sealed(&fs, Some(&toy(None, &[7, 9]))).unwrap();
        assert_eq!(read, records);
        assert_eq!(recovery.damage, vec![]);
        // Old programs know version 1 only, and must refuse what they cannot read.
        let versions: Vec<u8> = files(&fs, dir()).iter().map(|(_, bytes)| bytes[8]).collect();
        assert!(versions.contains(&1) && versions.contains(&2), "{versions:?}");
    }
}

#[test]
fn nothing_of_an_encrypted_record_shows() {
    let fs = ForgetfulFs::new();
    write_sealed(&fs, 0, toy(Some(7), &[7]), 300, &[record(1, 40)]);
    let (_, bytes) = files(&fs, dir()).remove(0);
    assert!(!bytes.windows(7).any(|seven| seven == b"tenant-"));
}

#[test]
fn a_missing_key_is_neither_damage_nor_poison() {
    let fs = ForgetfulFs::new();
    write_sealed(
        &fs,
        0,
        toy(Some(7), &[7]),
        300,
        &[record(1, 40), record(2, 200), record(3, 200)],
    );
    let before = files(&fs, dir());
    for (sealing, said) in [
        (Some(toy(None, &[9])), "key 7 is not there"),
        (None, "no key is configured"),
    ] {
        let error = read_sealed(&fs, sealing.as_deref()).unwrap_err();
        assert!(
            matches!(&error, WalError::Key { reason, .. } if reason.contains(said)),
            "{error}"
        );
    }
    // A key of an older segment alone is missed before anything is read, too.
    write_sealed(&fs, 9, toy(Some(9), &[9]), 300, &[record(4, 40)]);
    let survey = survey_sealed(&fs, dir(), ID, &[], Some(&*toy(None, &[9])));
    assert!(matches!(survey, Err(WalError::Key { .. })));
    assert_eq!(files(&fs, dir())[..before.len()], before, "nothing was touched");
    assert_eq!(read_sealed(&fs, Some(&toy(None, &[7, 9]))).unwrap().1.len(), 4);
}

#[test]
fn a_flipped_bit_costs_one_record_and_no_more() {
    let fs = ForgetfulFs::new();
    let records: Vec<_> = (1..6).map(|n| record(n, 30)).collect();
    write_sealed(&fs, 0, toy(Some(7), &[7]), 4000, &records);
    let whole = files(&fs, dir());
    let content = whole[0].1.iter().rposition(|byte| *byte != 0).unwrap();
    for at in 0..=content {
        let mut damaged = whole.clone();
        damaged[0].1[at] ^= 0x10;
        let fs = disk_with(&damaged);
        let (_, read) = read_sealed(&fs, Some(&toy(None, &[7]))).unwrap();
        assert!(read.len() >= records.len() - 1, "at {at}: {}", read.len());
        assert!(read.iter().all(|one| records.contains(one)));
        // Bytes of the segment's header cost none: all that a record needs stands in it.
        assert!(at >= 40 || read.len() == records.len(), "at {at}");
    }
}

#[test]
fn a_record_with_a_right_checksum_that_is_not_what_was_encrypted_is_set_aside() {
    let fs = ForgetfulFs::new();
    write_sealed(&fs, 0, toy(Some(7), &[7]), 4000, &[record(1, 30), record(2, 30)]);
    let mut forged = files(&fs, dir());
    let bytes = &mut forged[0].1;
    let length = usize::from(bytes[40 + 36]);
    // Somebody without the key who knows the format: one byte of the first payload, and the checksum over it.
    bytes[40 + 44 + 5] ^= 1;
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    digest.update(&bytes[40..80]);
    digest.update(&bytes[84..84 + length]);
    let crc = u32::try_from(digest.finalize()).unwrap();
    bytes[80..84].copy_from_slice(&crc.to_le_bytes());
    let fs = disk_with(&forged);
    let (recovery, read) = read_sealed(&fs, Some(&toy(None, &[7]))).unwrap();
    assert_eq!(read, vec![record(2, 30)]);
    assert_eq!(recovery.damage.len(), 1);
    assert_eq!(recovery.damage[0].kind, DamageKind::Poison);
}
