//! What the archive asks of any store, run on the one in memory and on directories.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutPayload, Result,
};

use emberkeep_disk::{ForgetfulFs, RealFs};

use super::at_once;
use crate::DirectoryStore;

fn path(text: &str) -> Path {
    Path::from(text)
}

async fn create(store: &dyn ObjectStore, name: &str, content: &str) -> Result<()> {
    let payload = PutPayload::from_bytes(Bytes::copy_from_slice(content.as_bytes()));
    store
        .put_opts(&path(name), payload, PutMode::Create.into())
        .await
        .map(drop)
}

async fn content(store: &dyn ObjectStore, name: &str) -> Result<String> {
    let bytes = store.get(&path(name)).await?.bytes().await?;
    Ok(String::from_utf8(bytes.to_vec()).unwrap())
}

async fn names(store: &dyn ObjectStore, prefix: Option<&str>) -> Vec<String> {
    let prefix = prefix.map(path);
    store
        .list(prefix.as_ref())
        .map(|object| object.unwrap().location.to_string())
        .collect()
        .await
}

async fn conforms(store: Arc<dyn ObjectStore>) {
    let store = &*store;
    // Creation.
    create(store, "_archive/log/a.1", "first").await.unwrap();
    assert!(matches!(
        create(store, "_archive/log/a.1", "second").await,
        Err(Error::AlreadyExists { .. })
    ));
    assert_eq!(content(store, "_archive/log/a.1").await.unwrap(), "first");
    assert!(matches!(
        content(store, "_archive/log/a.2").await,
        Err(Error::NotFound { .. })
    ));
    assert!(
        matches!(content(store, "_archive/log").await, Err(Error::NotFound { .. })),
        "a folder is no object"
    );

    // Replacing, and an empty object.
    store.put(&path("_archive/x"), "one".into()).await.unwrap();
    store.put(&path("_archive/x"), PutPayload::default()).await.unwrap();
    assert_eq!(content(store, "_archive/x").await.unwrap(), "");
    assert_eq!(store.head(&path("_archive/x")).await.unwrap().size, 0);

    // Listing sees everything at once, in order, and only below the prefix.
    for i in (0..5).rev() {
        create(store, &format!("_archive/log/b.{i}"), "0123456789")
            .await
            .unwrap();
    }
    create(store, "_archive/logs/z", "z").await.unwrap();
    let logs = names(store, Some("_archive/log")).await;
    assert_eq!(
        logs,
        ["a.1", "b.0", "b.1", "b.2", "b.3", "b.4"].map(|name| format!("_archive/log/{name}"))
    );
    assert_eq!(names(store, Some("nowhere")).await, Vec::<String>::new());
    assert_eq!(names(store, None).await.len(), 8);
    let after = store.list_with_offset(Some(&path("_archive/log")), &path("_archive/log/b.2"));
    assert_eq!(after.try_collect::<Vec<_>>().await.unwrap().len(), 2);
    let level = store.list_with_delimiter(Some(&path("_archive"))).await.unwrap();
    assert_eq!(level.common_prefixes, [path("_archive/log"), path("_archive/logs")]);
    assert_eq!(level.objects.len(), 1);

    // Ranges.
    let ten = path("_archive/log/b.0");
    assert_eq!(store.get_range(&ten, 2..5).await.unwrap(), "234");
    assert_eq!(
        store.get_ranges(&ten, &[0..1, 8..10, 3..4]).await.unwrap(),
        ["0", "89", "3"]
    );
    for (range, expected) in [
        (GetRange::Suffix(3), "789"),
        (GetRange::Offset(7), "789"),
        (GetRange::Bounded(8..99), "89"),
    ] {
        let options = GetOptions {
            range: Some(range),
            ..GetOptions::default()
        };
        assert_eq!(
            store.get_opts(&ten, options).await.unwrap().bytes().await.unwrap(),
            expected
        );
    }
    assert!(store.get_range(&ten, 10..11).await.is_err());
    assert!(store.get_ranges(&path("_archive/none"), &[0..1, 2..3]).await.is_err());

    // Copies and renames.
    store.copy(&ten, &path("copies/c")).await.unwrap();
    store.copy(&ten, &path("copies/c")).await.unwrap();
    let must_be_new = CopyOptions {
        mode: CopyMode::Create,
        ..CopyOptions::default()
    };
    let refused = store.copy_opts(&ten, &path("copies/c"), must_be_new.clone()).await;
    assert!(matches!(refused, Err(Error::AlreadyExists { .. })));
    store.copy_opts(&ten, &path("copies/d"), must_be_new).await.unwrap();
    store.rename(&path("copies/d"), &path("copies/e")).await.unwrap();
    assert!(matches!(
        store.rename_if_not_exists(&path("copies/e"), &path("copies/c")).await,
        Err(Error::AlreadyExists { .. })
    ));
    store.put(&path("copies/c"), "changed".into()).await.unwrap();
    assert_eq!(
        content(store, "copies/e").await.unwrap(),
        "0123456789",
        "a copy does not follow its source"
    );
    assert_eq!(names(store, Some("copies")).await, ["copies/c", "copies/e"]);

    // Deletion.
    store.delete(&path("copies/c")).await.unwrap();
    assert_eq!(names(store, Some("copies")).await, ["copies/e"]);

    // Uploads in parts appear at their end or not at all.
    let mut upload = store.put_multipart(&path("big/file")).await.unwrap();
    let parts = [
        upload.put_part("abc".into()),
        upload.put_part("defg".into()),
        upload.put_part("h".into()),
    ];
    assert_eq!(names(store, Some("big")).await, Vec::<String>::new());
    futures::future::try_join_all(parts.into_iter().rev()).await.unwrap();
    upload.complete().await.unwrap();
    assert_eq!(content(store, "big/file").await.unwrap(), "abcdefgh");
    let mut upload = store.put_multipart(&path("big/gone")).await.unwrap();
    upload.put_part("abc".into()).await.unwrap();
    upload.abort().await.unwrap();
    assert_eq!(names(store, Some("big")).await, ["big/file"]);
}

async fn has_one_winner(store: Arc<dyn ObjectStore>) {
    for round in 0..20 {
        let name = format!("_archive/roots/{round}");
        let racers = (0..16).map(|i| {
            let (store, name) = (Arc::clone(&store), name.clone());
            tokio::spawn(async move { create(&*store, &name, &i.to_string()).await.is_ok().then_some(i) })
        });
        let won = futures::future::try_join_all(racers).await.unwrap();
        let winners: Vec<i32> = won.into_iter().flatten().collect();
        assert_eq!(winners.len(), 1, "round {round}");
        assert_eq!(content(&*store, &name).await.unwrap(), winners[0].to_string());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_store_in_memory_conforms() {
    conforms(Arc::new(InMemory::new())).await;
    has_one_winner(Arc::new(InMemory::new())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_real_directory_conforms() {
    let dir = tempfile::tempdir().unwrap();
    conforms(Arc::new(
        DirectoryStore::open(Arc::new(RealFs), dir.path().join("a/b")).unwrap(),
    ))
    .await;
    has_one_winner(Arc::new(
        DirectoryStore::open(Arc::new(RealFs), dir.path().join("c")).unwrap(),
    ))
    .await;
    let left = std::fs::read_dir(dir.path().join("c/.tmp")).unwrap().count();
    assert_eq!(left, 0, "unfinished files are cleaned up");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_forgetful_directory_conforms() {
    conforms(Arc::new(
        DirectoryStore::open(Arc::new(ForgetfulFs::new()), "/a").unwrap(),
    ))
    .await;
    has_one_winner(Arc::new(
        DirectoryStore::open(Arc::new(ForgetfulFs::new()), "/a").unwrap(),
    ))
    .await;
}

#[tokio::test]
async fn unfinished_files_are_no_objects() {
    let store = DirectoryStore::open(Arc::new(ForgetfulFs::new()), "/a").unwrap();
    let mut upload = store.put_multipart(&path("big")).await.unwrap();
    upload.put_part("abc".into()).await.unwrap();
    assert_eq!(names(&store, None).await, Vec::<String>::new());
    assert!(create(&store, ".tmp/x", "x").await.is_err());
    let temporary = store.list_with_delimiter(None).await.unwrap();
    assert!(temporary.common_prefixes.is_empty());
}

#[test]
fn it_works_without_a_runtime() {
    let store = DirectoryStore::open(Arc::new(ForgetfulFs::new()), "/a").unwrap();
    at_once(create(&store, "a/b", "x")).unwrap();
    assert_eq!(at_once(content(&store, "a/b")).unwrap(), "x");
}
