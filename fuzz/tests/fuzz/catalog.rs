//! Objects of the catalog: commit records, roots and the format, of this version and the ones before.

use std::fs;
use std::path::Path;

use emberkeep_archive::{CommitRecord, Format, Root, StoreConfig, crc32c, open_envelope, seal_envelope};
use emberkeep_fuzz::{Bound, Input, Target};

use crate::material::nothing;
use crate::texts::{LAUGHS, YAML_BOUND};
use crate::writing::said;

fn golden(name: &str) -> Input {
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("../archive/testdata");
    Input::of(fs::read(testdata.join(name)).unwrap())
}

/// Puts the right sum at the end of a text that has one there.
fn repair(input: &mut Input) {
    const TRAILER: &[u8] = b",\"crc32c\":\"";
    let bytes = &mut input.files[0];
    let Some(at) = bytes.windows(TRAILER.len()).rposition(|part| part == TRAILER) else {
        return;
    };
    let crc = crc32c(&bytes[..at]);
    bytes.truncate(at + TRAILER.len());
    bytes.extend_from_slice(format!("{crc:08x}\"}}").as_bytes());
}

/// A text, the text without its envelope, and what is made of it.
const BOUND: Bound = Bound {
    per_byte: 60,
    flat: 64 << 10,
};

const JSON: [&[u8]; 12] = [
    b"null",
    b"true",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\"",
    b"\\u0000",
    b"\"version\":2",
    b"\"part\":",
];

#[test]
fn catalog_objects() {
    let target = Target {
        name: "catalog_objects",
        rounds: 15_000,
        max_bytes: 16 << 10,
        bound: BOUND,
        dictionary: &JSON,
        outcomes: 200,
    };
    let seeds = [
        "catalog-v1/commit_record.json",
        "catalog-v1/root.json",
        "catalog-v1/format.json",
        "catalog-v2/commit_record.json",
        "catalog-v2/root.json",
    ];
    target.run(seeds.map(golden).to_vec(), repair, |input| {
        let bytes = input.bytes();
        let record = open_envelope::<CommitRecord>("o", bytes);
        if let Ok(record) = &record {
            let sealed = seal_envelope(record).expect("what was read can be written");
            let again: CommitRecord = open_envelope("o", &sealed).expect("what was written can be read");
            assert_eq!(&again, record);
        }
        let root = open_envelope::<Root>("o", bytes);
        if let Ok(root) = &root {
            let sealed = seal_envelope(root).expect("what was read can be written");
            let again: Root = open_envelope("o", &sealed).expect("what was written can be read");
            assert_eq!(&again, root);
        }
        let format = open_envelope::<Format>("o", bytes);
        format!(
            "{} / {} / {}",
            said(record.map(|record| format!("{} parts", record.parts.len()))),
            said(root.map(|root| format!("{} parts", root.level0.len()))),
            said(format.map(|_| "a format".to_owned()))
        )
    });
}

#[test]
fn store_form() {
    let target = Target {
        name: "store_form",
        rounds: 4000,
        max_bytes: 2000,
        bound: YAML_BOUND,
        dictionary: &[
            b": ", b"\n  ", b"&a ", b"*a", b"|\n", b"---\n", b"{", b"[", b"\"", b"type", b"config", b"prefix", b"GCS",
            b"AZURE",
        ],
        outcomes: 80,
    };
    let seeds = [
        "type: FILESYSTEM\nconfig:\n  directory: ./d\nprefix: a/b\n",
        "type: S3\nconfig:\n  bucket: b\n  endpoint: s3.example.com\n  access_key: a\n  secret_key: \"0123\"\n  insecure: true\n",
        "type: GCS\nconfig: {bucket: b, service_account: \"{}\"}\n",
        LAUGHS,
        "type: AZURE\nconfig:\n  storage_account: a\n  storage_account_key: a2V5\n  container: c\n",
    ];
    target.run(seeds.map(Input::of).to_vec(), nothing, |input| {
        let text = String::from_utf8_lossy(input.bytes());
        said(StoreConfig::parse(&text).map(|config| config.location("x")))
    });
}
