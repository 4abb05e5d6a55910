//! Keys: what is derived is fixed for ever, what is stored proves itself, and no secret shows.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use bytes::Bytes;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use proptest::prelude::*;

use super::*;
use crate::{ArchiveError, Format, names};

fn keys() -> Keys {
    Keys::single("k-1", [7; 32]).unwrap()
}

/// HKDF-SHA256 by another program (Python's `hmac`), which is what readers of an encrypted file compute.
#[test]
fn keys_are_derived_as_documented() {
    let stamp = KeyStamp::new("k-1".to_owned(), [9; 32], *b"\xb9\x6e\x62\x3a\x08\x35\xf1\x1e");
    let hex = |purpose| keys().derived(&stamp, purpose).map(|key| key.reveal_hex().to_string());
    let expected = [
        (
            KeyPurpose::File,
            "b8bf636a334f1f7e8505d375f43d5e2c18b0395a14c71928743928bcff33b12f",
        ),
        (
            KeyPurpose::Object,
            "fb23c9acdc7575ecda7e96d8cf99b605bfb863bde749c890d9d444f14b84cfb3",
        ),
        (
            KeyPurpose::Segment,
            "6cf139f67b83ba68bedbdcb0ac4b198b8e4e1eacbfa0ffad726b8e2b1bf76bff",
        ),
    ];
    for (purpose, key) in expected {
        assert_eq!(hex(purpose).unwrap(), key);
    }
}

#[test]
fn secrets_do_not_show() {
    let keys = Keys::single("k-1", [0x61; 32]).unwrap();
    let (stamp, key) = keys.fresh(KeyPurpose::File).unwrap().unwrap();
    let shown = format!("{keys:?} {key:?} {stamp:?}");
    assert!(shown.contains("k-1"));
    for secret in ["97, 97", "aaaa", "6161", &*key.reveal_hex()] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn a_stamp_is_read_as_it_was_put() {
    let (stamp, _) = keys().fresh(KeyPurpose::Object).unwrap().unwrap();
    let mut stored = Vec::new();
    stamp.put(&mut stored);
    assert!(stored.len() <= STAMP_BYTES_MAX);
    for cut in 0..stored.len() {
        assert_eq!(KeyStamp::take(&stored[..cut]), None);
    }
    stored.extend_from_slice(b"rest");
    assert_eq!(KeyStamp::take(&stored), Some((stamp.clone(), &b"rest"[..])));
    let text = stamp.to_key_metadata();
    assert_eq!(KeyStamp::of_key_metadata(text.as_bytes()), Some(stamp));
    assert_eq!(KeyStamp::of_key_metadata(b"{}"), None);
}

#[test]
fn objects_say_what_is_wrong_with_them() {
    let clear = Bytes::from_static(b"{\"version\":1,\"canary\":true}");
    let sealed = seal_object(&keys(), "a/b", clear.clone()).unwrap();
    assert!(!sealed.windows(6).any(|six| six == b"canary"));
    assert_eq!(open_object(&keys(), "a/b", sealed.clone()).unwrap(), clear);
    // Without a key to write with nothing happens, and what is clear is read with and without keys.
    assert_eq!(seal_object(&Keys::default(), "a/b", clear.clone()).unwrap(), clear);
    assert_eq!(open_object(&keys(), "a/b", clear.clone()).unwrap(), clear);
    let key_of = |keys: &Keys| match open_object(keys, "a/b", sealed.clone()) {
        Err(ArchiveError::Key { object, source }) if object == "a/b" => source,
        other => panic!("{other:?}"),
    };
    let key = "k-1".to_owned();
    assert_eq!(key_of(&Keys::default()), KeyError::Unknown { key: key.clone() });
    assert_eq!(
        key_of(&Keys::single("k-2", [7; 32]).unwrap()),
        KeyError::Unknown { key: key.clone() }
    );
    assert_eq!(key_of(&Keys::single("k-1", [8; 32]).unwrap()), KeyError::Wrong { key });
    let moved = open_object(&keys(), "a/c", sealed.clone()).unwrap_err();
    assert!(matches!(moved, ArchiveError::Corrupt { .. }), "{moved}");
    let mut newer = sealed.to_vec();
    newer[4] = 2;
    assert!(matches!(
        open_object(&keys(), "a/b", newer.into()),
        Err(ArchiveError::Corrupt { .. })
    ));
}

/// As version 1 wrote it; encrypted objects are read for ever.
#[test]
fn an_encrypted_object_of_version_1_is_read() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/encrypted-v1/object");
    let opened = open_object(&keys(), "_archive/roots/7", std::fs::read(path).unwrap().into());
    assert_eq!(opened.unwrap(), "{\"version\":1}");
}

proptest! {
    #[test]
    fn any_change_of_an_object_is_noticed(at: prop::sample::Index, change in 1_u8..=255, cut: prop::sample::Index) {
        let sealed = seal_object(&keys(), "a", Bytes::from_static(b"{\"version\":1}")).unwrap();
        let mut changed = sealed.to_vec();
        let at = at.index(changed.len());
        changed[at] ^= change;
        let opened = open_object(&keys(), "a", changed.clone().into());
        // Without its magic it passes for a clear object, which then is no JSON.
        let is_noticed = matches!(opened, Err(ArchiveError::Corrupt { .. })) || at < 4;
        prop_assert!(is_noticed, "{at}: {opened:?}");
        let cut = cut.index(sealed.len());
        let opened = open_object(&keys(), "a", sealed.slice(..cut));
        let is_noticed = matches!(opened, Err(ArchiveError::Corrupt { .. })) || cut < 4;
        prop_assert!(is_noticed, "{cut}: {opened:?}");
    }
}

#[tokio::test]
async fn a_store_encrypts_the_catalog_and_nothing_else() {
    let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let store = KeyedStore::wrap(Arc::clone(&inner), &keys());
    let clear = Bytes::from_static(b"{\"version\":2,\"text\":1}");
    for (path, is_encrypted) in [
        (names::root(7), true),
        (names::log_record("r", 1), true),
        (names::mask("m"), true),
        (names::format(), false),
        (names::level0("r", 1, crate::Ulid(1), crate::FileKind::Series), false),
        (object_store::path::Path::from("samples/_delta_log/0.json"), false),
        (object_store::path::Path::from("_archive/check/x"), false),
    ] {
        store.put(&path, PutPayload::from_bytes(clear.clone())).await.unwrap();
        let stored = inner.get(&path).await.unwrap().bytes().await.unwrap();
        assert_eq!(stored != clear, is_encrypted, "{path}");
        let answer = store.get(&path).await.unwrap();
        assert_eq!(answer.meta.size, clear.len() as u64);
        assert_eq!(answer.bytes().await.unwrap(), clear);
        assert_eq!(store.get_range(&path, 6..10).await.unwrap(), clear.slice(6..10));
        let ranges = store.get_ranges(&path, &[0..5, 6..10]).await.unwrap();
        assert_eq!(ranges, vec![clear.slice(0..5), clear.slice(6..10)]);
    }
}

#[tokio::test]
async fn without_keys_a_catalog_is_encrypted_and_not_corrupt() {
    let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let store = KeyedStore::wrap(Arc::clone(&inner), &keys());
    crate::claim_epoch(&*store, "r", "nonce").await.unwrap();
    let path = names::epoch("r", 1);
    let stored = inner.get(&path).await.unwrap().bytes().await.unwrap();
    let refused = crate::open_envelope::<Format>(path.as_ref(), &stored).unwrap_err();
    let expected = "`_archive/receivers/r/epoch/00000000000000000001`: key `k-1` is needed and not configured";
    assert!(refused.to_string().starts_with(expected), "{refused}");
}

#[tokio::test]
async fn the_format_object_says_with_which_key_an_archive_was_made() {
    let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let with = |keys: Keys| KeyedStore::wrap(Arc::clone(&inner), &keys);
    let made = Format::load_or_create(&*with(keys()), 5).await.unwrap();
    assert_eq!(made.encryption.as_ref().unwrap().key, "k-1");
    assert_eq!(Format::load(&*with(keys())).await.unwrap(), Some(made));
    // After a rekey only another key may be left.
    assert!(
        Format::load(&*with(Keys::single("k-2", [8; 32]).unwrap()))
            .await
            .is_ok()
    );
    let refused = |keys| async { Format::load_or_create(&*with(keys), 5).await.unwrap_err().to_string() };
    let missing = refused(Keys::default()).await;
    assert!(missing.contains("key `k-1` is needed and not configured"), "{missing}");
    let wrong = refused(Keys::single("k-1", [8; 32]).unwrap()).await;
    assert!(wrong.contains("key `k-1` is not the one"), "{wrong}");
}

#[tokio::test]
async fn the_key_of_an_object_is_known_without_it_and_can_be_changed() {
    let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let with = |keys: Keys| KeyedStore::wrap(Arc::clone(&inner), &keys);
    let (path, clear) = (names::mask("m"), Bytes::from_static(b"{\"version\":1}"));
    inner.put(&path, PutPayload::from_bytes(clear.clone())).await.unwrap();
    assert_eq!(object_key(&*with(keys()), &path).await.unwrap(), None);
    reseal(&*with(keys()), &path).await.unwrap();
    let wrong = Keys::single("k-1", [8; 32]).unwrap();
    let other = Keys::single("k-2", [8; 32]).unwrap();
    for lacking in [Keys::default(), wrong.clone(), other, keys()] {
        let key = object_key(&*with(lacking), &path).await.unwrap();
        assert_eq!(key.as_deref(), Some("k-1"));
    }
    assert_eq!(with(keys()).get(&path).await.unwrap().bytes().await.unwrap(), clear);
    // What cannot be read is never written over.
    let stored = inner.get(&path).await.unwrap().bytes().await.unwrap();
    for lacking in [Keys::default(), wrong] {
        // Without any key the bytes are as they lie there, and stay so.
        let _ = reseal(&*with(lacking), &path).await;
        assert_eq!(inner.get(&path).await.unwrap().bytes().await.unwrap(), stored);
    }
}

#[tokio::test]
async fn the_format_object_takes_another_key_or_none() {
    let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let with = |keys: Keys| KeyedStore::wrap(Arc::clone(&inner), &keys);
    let made = Format::load_or_create(&*with(keys()), 5).await.unwrap();
    Format::renew(&*with(keys())).await.unwrap();
    assert_eq!(
        Format::load(&*with(keys())).await.unwrap(),
        Some(made.clone()),
        "nothing to change"
    );
    let second = Keys::single("k-2", [8; 32]).unwrap();
    Format::renew(&*with(second.clone())).await.unwrap();
    let renewed = Format::load(&*with(second)).await.unwrap().unwrap();
    assert_eq!((renewed.dataset, renewed.nonce), (made.dataset, made.nonce));
    assert_eq!(renewed.encryption.unwrap().key, "k-2");
    let wrong = Format::load(&*with(Keys::single("k-2", [9; 32]).unwrap())).await;
    assert!(matches!(wrong, Err(ArchiveError::Key { .. })), "{wrong:?}");
}
