//! Files and directories of the forgetful file system, each with its live and its durable state.
//!
//! A node knows what of it was changed since its last sync; what a crash makes of that is decided elsewhere.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::io;
use std::time::SystemTime;

use super::SECTOR;

/// Number of a file or directory, as an inode number.
pub(super) type NodeId = u64;

/// The root directory's number.
pub(super) const ROOT: NodeId = 0;

/// Everything on the disk, reachable by name or not.
#[derive(Clone, Debug)]
pub(super) struct Image {
    pub(super) nodes: HashMap<NodeId, Node>,
    pub(super) next: NodeId,
}

#[derive(Clone, Debug)]
pub(super) enum Node {
    File(FileImage),
    Directory(DirImage),
}

/// A file.
#[derive(Clone, Debug)]
pub(super) struct FileImage {
    pub(super) live: Vec<u8>,
    pub(super) durable: Vec<u8>,
    /// Sectors that the next sync writes. Kept apart from "live differs from durable" because a failed sync marks its
    /// pages clean without having written them.
    pub(super) dirty: BTreeSet<usize>,
    pub(super) modified: SystemTime,
}

impl FileImage {
    /// An empty file.
    pub(super) fn new(modified: SystemTime) -> Self {
        Self {
            live: Vec::new(),
            durable: Vec::new(),
            dirty: BTreeSet::new(),
            modified,
        }
    }
}

/// A directory; `pending` are the changes of `live` that `durable` has not seen, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct DirImage {
    pub(super) live: BTreeMap<OsString, NodeId>,
    pub(super) durable: BTreeMap<OsString, NodeId>,
    pub(super) pending: Vec<DirChange>,
}

/// One change of a directory, which a crash keeps or loses as a whole.
#[derive(Clone, Debug)]
pub(super) struct DirChange {
    pub(super) removed: Option<OsString>,
    pub(super) set: Option<(OsString, NodeId)>,
}

impl DirImage {
    pub(super) fn change(&mut self, change: DirChange) {
        change.apply(&mut self.live);
        self.pending.push(change);
    }

    pub(super) fn sync(&mut self) {
        self.durable.clone_from(&self.live);
        self.pending.clear();
    }
}

impl DirChange {
    pub(super) fn apply(&self, names: &mut BTreeMap<OsString, NodeId>) {
        if let Some(name) = &self.removed {
            names.remove(name);
        }
        if let Some((name, node)) = &self.set {
            names.insert(name.clone(), *node);
        }
    }
}

impl FileImage {
    pub(super) fn read(&self, buf: &mut [u8], offset: u64) -> usize {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.live.len());
        let count = buf.len().min(self.live.len() - start);
        buf[..count].copy_from_slice(&self.live[start..start + count]);
        count
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: u64, limit: usize) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
        let end = start.checked_add(bytes.len()).ok_or(io::ErrorKind::InvalidInput)?;
        let allowed = end.min(limit.max(self.live.len()));
        if allowed > start {
            if self.live.len() < allowed {
                self.resize(allowed);
            }
            self.live[start..allowed].copy_from_slice(&bytes[..allowed - start]);
            self.dirty.extend(start / SECTOR..allowed.div_ceil(SECTOR));
        }
        if allowed < end {
            Err(io::ErrorKind::StorageFull.into())
        } else {
            Ok(())
        }
    }

    pub(super) fn grow(&mut self, len: u64, limit: usize) -> io::Result<()> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?;
        let allowed = len.min(limit.max(self.live.len()));
        if allowed > self.live.len() {
            self.resize(allowed);
        }
        if allowed < len {
            Err(io::ErrorKind::StorageFull.into())
        } else {
            Ok(())
        }
    }

    pub(super) fn set_len(&mut self, len: u64, limit: usize) -> io::Result<()> {
        if len > self.live.len() as u64 {
            return self.grow(len, limit);
        }
        self.resize(usize::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?);
        Ok(())
    }

    fn resize(&mut self, len: usize) {
        let (shorter, longer) = (self.live.len().min(len), self.live.len().max(len));
        self.live.resize(len, 0);
        self.dirty.extend(shorter / SECTOR..longer.div_ceil(SECTOR));
    }

    /// Makes the dirty sectors and the length durable.
    pub(super) fn sync(&mut self) {
        self.durable.resize(self.live.len(), 0);
        for sector in std::mem::take(&mut self.dirty) {
            let start = (sector * SECTOR).min(self.live.len());
            let end = (start + SECTOR).min(self.live.len());
            self.durable[start..end].copy_from_slice(&self.live[start..end]);
        }
    }

    /// What a failed sync does: the pages count as clean, and were not written.
    pub(super) fn forget_dirty(&mut self) {
        self.dirty.clear();
    }
}

impl Default for Image {
    fn default() -> Self {
        Self {
            nodes: HashMap::from([(ROOT, Node::Directory(DirImage::default()))]),
            next: ROOT + 1,
        }
    }
}

impl Image {
    pub(super) fn node(&self, id: NodeId) -> &Node {
        self.nodes
            .get(&id)
            .expect("nodes are never removed, so every number that was given out has one")
    }

    pub(super) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        self.nodes
            .get_mut(&id)
            .expect("nodes are never removed, so every number that was given out has one")
    }

    /// The file of an open handle.
    pub(super) fn file(&self, id: NodeId) -> &FileImage {
        match self.node(id) {
            Node::File(file) => file,
            Node::Directory(_) => unreachable!("handles are made for files only"),
        }
    }

    /// The file of an open handle.
    pub(super) fn file_mut(&mut self, id: NodeId) -> &mut FileImage {
        match self.node_mut(id) {
            Node::File(file) => file,
            Node::Directory(_) => unreachable!("handles are made for files only"),
        }
    }

    pub(super) fn directory(&self, id: NodeId) -> io::Result<&DirImage> {
        match self.node(id) {
            Node::Directory(directory) => Ok(directory),
            Node::File(_) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    pub(super) fn directory_mut(&mut self, id: NodeId) -> io::Result<&mut DirImage> {
        match self.node_mut(id) {
            Node::Directory(directory) => Ok(directory),
            Node::File(_) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    /// The sum of the lengths of all files that have a name.
    pub(super) fn used_space(&self) -> u64 {
        let mut files = BTreeSet::new();
        let mut directories = vec![ROOT];
        while let Some(id) = directories.pop() {
            if let Node::Directory(directory) = self.node(id) {
                for child in directory.live.values() {
                    match self.node(*child) {
                        Node::Directory(_) => directories.push(*child),
                        Node::File(_) => _ = files.insert(*child),
                    }
                }
            }
        }
        files.into_iter().map(|id| self.file(id).live.len() as u64).sum()
    }
}
