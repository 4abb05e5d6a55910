//! Names of the forgetful file system: looking paths up and changing directories, with the errors that Linux gives.
//!
//! Every change goes through [`DirImage::change`], so that it is pending until the directory is synced.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Component, Path};

use super::image::{DirChange, Image, Node, NodeId, ROOT};

impl Image {
    /// The node that a path stands for.
    pub(super) fn find(&self, path: &Path) -> io::Result<NodeId> {
        let mut node = ROOT;
        for name in components(path)? {
            node = *self.directory(node)?.live.get(name).ok_or(io::ErrorKind::NotFound)?;
        }
        Ok(node)
    }

    /// The directory that holds the path's last name, and that name.
    fn parent<'a>(&self, path: &'a Path) -> io::Result<(NodeId, &'a OsStr)> {
        let mut names = components(path)?;
        let name = names.pop().ok_or(io::ErrorKind::InvalidInput)?;
        let mut node = ROOT;
        for name in names {
            node = *self.directory(node)?.live.get(name).ok_or(io::ErrorKind::NotFound)?;
        }
        self.directory(node)?;
        Ok((node, name))
    }

    fn child(&self, directory: NodeId, name: &OsStr) -> io::Result<Option<NodeId>> {
        Ok(self.directory(directory)?.live.get(name).copied())
    }

    /// Adds a new file or directory under a free name.
    pub(super) fn create(&mut self, path: &Path, node: Node) -> io::Result<NodeId> {
        let (directory, name) = match self.parent(path) {
            // Only the root has no last name.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput && self.find(path).is_ok() => {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            found => found?,
        };
        if self.child(directory, name)?.is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let id = self.next;
        self.next += 1;
        self.nodes.insert(id, node);
        self.directory_mut(directory)?.change(set(name, id));
        Ok(id)
    }

    pub(super) fn hard_link(&mut self, original: &Path, link: &Path) -> io::Result<()> {
        let node = self.find(original)?;
        let (directory, name) = self.parent(link)?;
        if self.child(directory, name)?.is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if matches!(self.node(node), Node::Directory(_)) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        self.directory_mut(directory)?.change(set(name, node));
        Ok(())
    }

    pub(super) fn remove_file(&mut self, path: &Path) -> io::Result<()> {
        let (directory, name) = self.parent(path)?;
        let node = self.child(directory, name)?.ok_or(io::ErrorKind::NotFound)?;
        if matches!(self.node(node), Node::Directory(_)) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        self.directory_mut(directory)?.change(removed(name));
        Ok(())
    }

    pub(super) fn remove_dir(&mut self, path: &Path) -> io::Result<()> {
        let (directory, name) = self.parent(path)?;
        let node = self.child(directory, name)?.ok_or(io::ErrorKind::NotFound)?;
        if !self.directory(node)?.live.is_empty() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        self.directory_mut(directory)?.change(removed(name));
        Ok(())
    }

    /// Within one directory a rename is one change. Across two it is two, and a crash may keep either alone: whoever
    /// moves a file must sync the target directory before the source directory.
    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let (source, old) = self.parent(from)?;
        let (target, new) = self.parent(to)?;
        let node = self.child(source, old)?.ok_or(io::ErrorKind::NotFound)?;
        let replaced = self.child(target, new)?;
        if self.is_within(target, node) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if replaced.is_some_and(|replaced| replaced != node && self.is_within(source, replaced)) {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        if replaced == Some(node) {
            return Ok(());
        }
        if let Some(replaced) = replaced {
            match (self.node(node), self.node(replaced)) {
                (Node::File(_), Node::Directory(_)) => return Err(io::ErrorKind::IsADirectory.into()),
                (Node::Directory(_), Node::File(_)) => return Err(io::ErrorKind::NotADirectory.into()),
                (Node::Directory(_), Node::Directory(victim)) if !victim.live.is_empty() => {
                    return Err(io::ErrorKind::DirectoryNotEmpty.into());
                }
                _ => {}
            }
        }
        if source == target {
            let change = DirChange {
                removed: Some(old.to_os_string()),
                ..set(new, node)
            };
            self.directory_mut(source)?.change(change);
        } else {
            self.directory_mut(target)?.change(set(new, node));
            self.directory_mut(source)?.change(removed(old));
        }
        Ok(())
    }

    /// Whether `node` is `ancestor` or lies below it.
    fn is_within(&self, node: NodeId, ancestor: NodeId) -> bool {
        node == ancestor
            || match self.node(ancestor) {
                Node::File(_) => false,
                Node::Directory(directory) => directory.live.values().any(|child| self.is_within(node, *child)),
            }
    }
}

fn set(name: &OsStr, node: NodeId) -> DirChange {
    DirChange {
        removed: None,
        set: Some((name.to_os_string(), node)),
    }
}

fn removed(name: &OsStr) -> DirChange {
    DirChange {
        removed: Some(OsString::from(name)),
        set: None,
    }
}

/// The names of a path from the root; relative paths start there too.
fn components(path: &Path) -> io::Result<Vec<&OsStr>> {
    path.components()
        .filter_map(|component| match component {
            Component::RootDir | Component::CurDir => None,
            Component::Normal(name) => Some(Ok(name)),
            Component::ParentDir | Component::Prefix(_) => Some(Err(io::ErrorKind::InvalidInput.into())),
        })
        .collect()
}
