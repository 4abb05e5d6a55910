//! A record with a right checksum that replay cannot take: the start sets it aside and comes to its end.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use emberkeep_disk::{CrashMode, ForgetfulFs, read_to_vec};
use emberkeep_model::TenantId;
use emberkeep_wal::{Options, Protocol, Record, Verdict, Wal, WalId};

use crate::found::Found;
use crate::ledger::Ledger;
use crate::life::{Ground, Life, names};
use crate::request::{NOW, Request};
use crate::verdict::{all_there, once_each};

/// Not snappy; snappy of no protobuf; a length that nobody has memory for.
pub(crate) const BODIES: [&[u8]; 3] = [
    b"\xff\xff\xff\xff\xff\xff",
    b"\x02\x04\xff\xff",
    b"\xff\xff\xff\xff\x0f",
];

/// Puts a record into the receiver's log that no intake would have let through.
pub(crate) fn plant(fs: &ForgetfulFs, segment: u64, body: &'static [u8], validator: u32) {
    let identity = read_to_vec(fs, Path::new("/node/data/receiver.json"), 1 << 16).unwrap();
    let identity: serde_json::Value = serde_json::from_slice(&identity).unwrap();
    let id: WalId = identity["wal_id"].as_str().unwrap().parse().unwrap();
    let fs = Arc::new(fs.clone());
    let wal = Wal::start(
        fs,
        Path::new("/node/data/wal"),
        id,
        segment,
        Options {
            segment_bytes: 1600,
            ..Options::default()
        },
        Box::new(|_| {}),
    )
    .unwrap();
    let record = Record {
        tenant: TenantId::default(),
        protocol: Protocol::V1,
        arrival: NOW,
        verdict: Verdict::new(validator),
        body: Bytes::from_static(body),
    };
    wal.append(record).wait().unwrap();
    wal.close();
}

#[test]
fn a_poison_record_is_set_aside_and_the_rest_is_there() {
    for body in BODIES {
        let (fs, ledger) = (ForgetfulFs::new(), Ledger::default());
        let ground = Ground::new(&fs, &ledger);
        let life = Life::start(ground.clone()).unwrap();
        life.write(&Request::numbered(0)).unwrap();
        drop(life);
        plant(&fs, 1000, body, 1);
        let life = Life::start(ground.clone()).unwrap();
        life.write(&Request::numbered(1)).unwrap();
        drop(life);

        let life = Life::start(ground).unwrap();
        all_there(&Found::read(&life).unwrap(), &ledger.told()).unwrap();
        let directory = Path::new("/node/data/wal/set-aside");
        let set_aside = names(&fs, directory);
        let of_kind = |kind: &str| set_aside.iter().filter(|name| name.ends_with(kind)).count();
        assert_eq!((of_kind(".poison"), of_kind(".reason")), (1, 1), "{set_aside:?}");
        // It goes on as if the record was not there, and starts again to the same.
        life.write(&Request::numbered(2)).unwrap();
        life.flush().unwrap();
        life.settle().unwrap();
        let why = life.drain().unwrap_err();
        assert!(
            why.contains("set-aside"),
            "whoever takes the machine away is told: {why}"
        );
        drop(life);
        let crashed = fs.crash(CrashMode::LoseAll);
        let life = Life::start(Ground::new(&crashed, &ledger)).unwrap();
        let found = Found::read(&life).unwrap();
        all_there(&found, &ledger.told()).unwrap();
        once_each(&found, &ledger.told()).unwrap();
        assert_eq!(names(&crashed, directory), set_aside);
    }
}
