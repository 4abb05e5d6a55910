//! The trait on the forgetful file system: each call locks, counts itself, and acts on the image.
//!
//! It adds no behaviour of its own: errors of names come from `names`, what is durable is kept by `image`.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::image::{DirImage, FileImage, Node, NodeId};
use super::{ForgetfulFs, State, SyncKind, SyncOutcome};
use crate::{DIRECT_BLOCK_BYTES, Entry, EntryKind, File, FileSystem};

impl FileSystem for ForgetfulFs {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let mut state = self.step()?;
        let file = FileImage::new(state.now());
        let node = state.image.create(path, Node::File(file))?;
        Ok(self.handle(node, path))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let state = self.read()?;
        let node = state.image.find(path)?;
        match state.image.node(node) {
            Node::File(_) => Ok(self.handle(node, path)),
            Node::Directory(_) => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    /// Strict: a write that is not aligned fails, where the real one falls back to the page cache.
    fn open_direct(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let state = self.read()?;
        let node = state.image.find(path)?;
        match state.image.node(node) {
            Node::File(_) => Ok(Box::new(ForgetfulFile {
                is_direct: true,
                ..self.file(node, path)
            })),
            Node::Directory(_) => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    fn free_bytes(&self, _path: &Path) -> io::Result<Option<u64>> {
        let state = self.read()?;
        Ok(state.space.map(|space| space.saturating_sub(state.image.used_space())))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step()?.image.rename(from, to)
    }

    fn hard_link(&self, original: &Path, link: &Path) -> io::Result<()> {
        self.step()?.image.hard_link(original, link)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.step()?.image.remove_file(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.step()?
            .image
            .create(path, Node::Directory(DirImage::default()))
            .map(drop)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.step()?.image.remove_dir(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let state = self.read()?;
        let node = state.image.find(path)?;
        let directory = state.image.directory(node)?;
        Ok(directory
            .live
            .iter()
            .map(|(name, child)| entry(name.clone(), state.image.node(*child)))
            .collect())
    }

    fn metadata(&self, path: &Path) -> io::Result<Entry> {
        let state = self.read()?;
        let node = state.image.find(path)?;
        Ok(entry(
            path.file_name().unwrap_or_default().to_os_string(),
            state.image.node(node),
        ))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.sync(SyncKind::Directory, path, |image, outcome| {
            let node = image.find(path)?;
            let directory = image.directory_mut(node)?;
            if outcome == SyncOutcome::Done {
                directory.sync();
            }
            Ok(())
        })
    }
}

fn entry(name: OsString, node: &Node) -> Entry {
    match node {
        Node::File(file) => Entry {
            name,
            kind: EntryKind::File,
            len: file.live.len() as u64,
            modified: file.modified,
        },
        Node::Directory(_) => Entry {
            name,
            kind: EntryKind::Directory,
            len: 0,
            modified: SystemTime::UNIX_EPOCH,
        },
    }
}

impl ForgetfulFs {
    fn handle(&self, node: NodeId, path: &Path) -> Box<dyn File> {
        Box::new(self.file(node, path))
    }

    fn file(&self, node: NodeId, path: &Path) -> ForgetfulFile {
        ForgetfulFile {
            fs: self.clone(),
            node,
            path: path.to_path_buf(),
            is_direct: false,
        }
    }
}

/// An open file; it stays usable when its name is removed.
#[derive(Debug)]
struct ForgetfulFile {
    fs: ForgetfulFs,
    node: NodeId,
    path: PathBuf,
    is_direct: bool,
}

impl ForgetfulFile {
    /// Lets `change` act on the file within `limit`, the greatest length that space allows.
    fn change(&self, change: impl FnOnce(&mut FileImage, usize) -> io::Result<()>) -> io::Result<()> {
        self.change_in(&mut *self.fs.step()?, change)
    }

    fn change_in(
        &self,
        state: &mut State,
        change: impl FnOnce(&mut FileImage, usize) -> io::Result<()>,
    ) -> io::Result<()> {
        let limit = state.len_limit(state.image.file(self.node).live.len());
        let now = state.now();
        let file = state.image.file_mut(self.node);
        file.modified = now;
        change(file, limit)
    }

    fn sync(&self, kind: SyncKind) -> io::Result<()> {
        self.fs.sync(kind, &self.path, |image, outcome| {
            let file = image.file_mut(self.node);
            match outcome {
                SyncOutcome::Done => file.sync(),
                SyncOutcome::Failed => file.forget_dirty(),
                SyncOutcome::Ignored => {}
            }
            Ok(())
        })
    }
}

impl File for ForgetfulFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let block = DIRECT_BLOCK_BYTES as u64;
        let is_aligned = offset.is_multiple_of(block)
            && bytes.len().is_multiple_of(DIRECT_BLOCK_BYTES)
            && bytes.as_ptr().addr().is_multiple_of(DIRECT_BLOCK_BYTES);
        if self.is_direct && !is_aligned {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut state = self.fs.step()?;
        let (allowed, error) = state.faults.of_write(bytes.len());
        self.change_in(&mut state, |file, limit| file.write(&bytes[..allowed], offset, limit))?;
        error.map_or(Ok(()), Err)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.fs.read()?;
        Ok(state.image.file(self.node).read(buf, offset))
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.change(|file, limit| file.grow(len, limit))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(|file, limit| file.set_len(len, limit))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync(SyncKind::Data)
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync(SyncKind::All)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.fs.read()?.image.file(self.node).live.len() as u64)
    }
}
