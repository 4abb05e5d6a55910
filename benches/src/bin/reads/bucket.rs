//! A copy of an archive in an object store, so that reading from there can be measured.
//!
//! Objects have the names of the files, and nothing is left out. The bucket must be one for this alone.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use bytes::Bytes;
use emberkeep_archive::{ObjectPath, ObjectStore, StoreConfig};

use super::Bucket;

/// Copies all files of an archive.
pub(crate) async fn copy(what: &Bucket) -> Result<()> {
    let config = fs::read_to_string(&what.objstore).with_context(|| format!("read `{}`", what.objstore.display()))?;
    let store = StoreConfig::parse(&config)?.open()?;
    let archive = what.storage.join("archive");
    let mut directories = vec![archive.clone()];
    while let Some(directory) = directories.pop() {
        let entries = fs::read_dir(&directory).with_context(|| format!("list `{}`", directory.display()))?;
        for entry in entries {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true => directories.push(entry.path()),
                false => put(&*store, &archive, &entry.path()).await?,
            }
        }
    }
    Ok(())
}

async fn put(store: &dyn ObjectStore, archive: &Path, file: &Path) -> Result<()> {
    let name = file.strip_prefix(archive)?.to_str().context("a path is no text")?;
    let content = Bytes::from(fs::read(file)?);
    let path = ObjectPath::parse(name)?;
    let put = store.put_opts(&path, content.into(), Default::default()).await;
    put.with_context(|| format!("put `{name}`")).map(drop)
}
