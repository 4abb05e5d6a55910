//! The output directory of an export: empty, or what an interrupted run of the same export left.
//!
//! Everything in it must be accounted for by the state file before a byte is written. What an interrupted run did not finish is
//! removed and done again, also a block that got its name but was not read back yet.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use emberkeep_model::TimeRange;
use emberkeep_tsdb::TEMPORARY_SUFFIX;
use ulid::Ulid;

use super::beside::{self, BesideFile};
use super::content::Content;
use super::state::BlockState;
use super::{ExportArguments, ExportState};
use crate::ReaderError;

/// An output directory that belongs to this export.
#[derive(Debug)]
pub struct Output {
    directory: PathBuf,
    state: ExportState,
    /// Held for its lock, which keeps a second export out.
    _lock: File,
}

impl Output {
    /// Takes a directory for an export, and makes it when it is missing.
    ///
    /// # Errors
    /// When it holds anything that is not of an interrupted run of this export, or another export works in it.
    pub fn open(directory: &Path, arguments: &ExportArguments, range: TimeRange) -> Result<Self, ReaderError> {
        fs::create_dir_all(directory).map_err(ReaderError::file(directory))?;
        let lock = File::open(directory).map_err(ReaderError::file(directory))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                return Err(ReaderError::output(directory, "another export is writing there"));
            }
            Err(fs::TryLockError::Error(error)) => return Err(ReaderError::file(directory)(error)),
        }
        let state = ExportState::load(directory)?;
        if let Some((name, value)) = state.as_ref().and_then(|state| state.difference(arguments)) {
            let why = format!(
                "an interrupted export is there whose {name} was {value}: run that one again to complete it, or give an empty directory"
            );
            return Err(ReaderError::output(directory, why));
        }
        let mut output = Self {
            directory: directory.to_owned(),
            state: state.unwrap_or_else(|| ExportState::new(arguments, range)),
            _lock: lock,
        };
        output.account_for_everything()?;
        output.remove_unfinished()?;
        Ok(output)
    }

    /// What is remembered.
    #[must_use]
    pub fn state(&self) -> &ExportState {
        &self.state
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Remembers the root on which a new export rests; one that continues keeps its own.
    pub(super) fn begin(&mut self, root: u64) -> Result<(), ReaderError> {
        if self.state.blocks().is_empty() {
            self.state.begin(root);
        } else if self.state.root() != root {
            tracing::info!(
                began = self.state.root(),
                now = root,
                "the archive has a newer root than when the export began; finished blocks stay as they are"
            );
        }
        self.state.save(&self.directory)
    }

    /// The directory of a block.
    pub(super) fn block(&self, ulid: Ulid) -> PathBuf {
        self.directory.join(ulid.to_string())
    }

    /// The block of a window that is done.
    pub(super) fn finished(&self, window: TimeRange) -> Option<Ulid> {
        let block = self.state.blocks().get(&window.start).filter(|block| block.finished)?;
        Ulid::from_string(&block.ulid).ok()
    }

    /// Remembers the name of a block before there is anything of it.
    pub(super) fn start_block(&mut self, window: TimeRange, ulid: Ulid) -> Result<(), ReaderError> {
        let block = BlockState {
            ulid: ulid.to_string(),
            finished: false,
            content: Content::default(),
        };
        self.state.blocks_mut().insert(window.start, block);
        self.state.save(&self.directory)
    }

    /// The window turned out to be empty.
    pub(super) fn forget_block(&mut self, window: TimeRange) -> Result<(), ReaderError> {
        self.state.blocks_mut().remove(&window.start);
        self.state.save(&self.directory)
    }

    /// The block is whole and was read back.
    pub(super) fn finish_block(&mut self, window: TimeRange, content: &Content) -> Result<(), ReaderError> {
        if let Some(block) = self.state.blocks_mut().get_mut(&window.start) {
            block.finished = true;
            block.content.clone_from(content);
        }
        self.state.save(&self.directory)
    }

    /// What a finished block holds, by kinds.
    pub(super) fn content(&self, window: TimeRange) -> Content {
        let block = self.state.blocks().get(&window.start);
        block.map(|block| block.content.clone()).unwrap_or_default()
    }

    /// Begins a file beside the blocks, after remembering its names. What an interrupted run left of it is written anew.
    pub(super) fn start_beside(&mut self, name: &'static str) -> Result<BesideFile, ReaderError> {
        self.state.beside_mut().insert(name.to_owned());
        self.state.save(&self.directory)?;
        BesideFile::create(&self.directory, name)
    }

    /// The export is complete: the directory is a data directory and nothing else.
    pub(super) fn complete(self) -> Result<(), ReaderError> {
        ExportState::remove(&self.directory)
    }

    fn account_for_everything(&self) -> Result<(), ReaderError> {
        let is_block = |name: &str| self.state.blocks().values().any(|block| block.ulid == name);
        let is_beside = |name: &str| self.state.beside().contains(beside::final_name(name));
        for entry in fs::read_dir(&self.directory).map_err(ReaderError::file(&self.directory))? {
            let name = entry.map_err(ReaderError::file(&self.directory))?.file_name();
            let known = name.to_str().is_some_and(|name| {
                ExportState::is_own(name)
                    || is_beside(name)
                    || is_block(name.strip_suffix(TEMPORARY_SUFFIX).unwrap_or(name))
            });
            if !known {
                let why = format!(
                    "the directory is not empty and `{}` in it is not of an interrupted export: give an empty directory",
                    name.to_string_lossy()
                );
                return Err(ReaderError::output(&self.directory, why));
            }
        }
        Ok(())
    }

    fn remove_unfinished(&mut self) -> Result<(), ReaderError> {
        for block in self.state.blocks().values() {
            let finished = self.directory.join(&block.ulid);
            let temporary = self.directory.join(format!("{}{TEMPORARY_SUFFIX}", block.ulid));
            if block.finished && !finished.is_dir() {
                let why = format!(
                    "block `{}` of an interrupted export is missing: give an empty directory",
                    block.ulid
                );
                return Err(ReaderError::output(&self.directory, why));
            }
            let leftovers = [(!block.finished).then_some(finished), Some(temporary)];
            for leftover in leftovers.into_iter().flatten().filter(|path| path.exists()) {
                fs::remove_dir_all(&leftover).map_err(ReaderError::file(&leftover))?;
            }
        }
        self.state.blocks_mut().retain(|_, block| block.finished);
        // Files beside the blocks are the last step and quickly made: one that is there belongs to an older look.
        for name in self.state.beside() {
            beside::remove(&self.directory, name)?;
        }
        Ok(())
    }
}
