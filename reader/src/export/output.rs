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
use super::making::MadeBlock;
use super::receiving::Receiving;
use super::state::BlockState;
use super::{ExportArguments, ExportState};
use crate::ReaderError;

/// An output directory that belongs to this export.
#[derive(Debug)]
pub struct Output {
    directory: PathBuf,
    /// The data directory of a Prometheus into which finished blocks are moved; they stay here without it.
    into: Option<Receiving>,
    state: ExportState,
    /// Held for its lock, which keeps a second export out.
    _lock: File,
}

impl Output {
    /// Takes a directory for an export, and makes it when it is missing. Finished blocks go on to `into`.
    ///
    /// # Errors
    /// When it holds anything that is not of an interrupted run of this export, or another export works in it.
    pub fn open(
        directory: &Path,
        into: Option<Receiving>,
        arguments: &ExportArguments,
        range: TimeRange,
    ) -> Result<Self, ReaderError> {
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
            into,
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

    /// Where a finished block lies.
    pub(super) fn block(&self, ulid: &str) -> PathBuf {
        match &self.into {
            Some(into) => into.directory().join(ulid),
            None => self.directory.join(ulid),
        }
    }

    /// Whether blocks stay in the directory in which they are made.
    pub(super) fn keeps_blocks(&self) -> bool {
        self.into.is_none()
    }

    /// The longest block as it was decided when the export began, or as it is decided now.
    pub(super) fn longest_or(&mut self, decided: i64) -> Result<i64, ReaderError> {
        let longest = self.state.longest_or(decided);
        self.state.save(&self.directory)?;
        Ok(longest)
    }

    /// Blocks that are done, oldest first.
    pub(super) fn finished(&self) -> impl Iterator<Item = (TimeRange, &BlockState)> {
        let blocks = self.state.blocks().iter();
        blocks
            .filter(|(_, block)| block.finished)
            .map(|(start, block)| (block.window(*start), block))
    }

    /// Remembers the name of a block before there is anything of it.
    pub(super) fn start_block(&mut self, window: TimeRange, ulid: Ulid) -> Result<(), ReaderError> {
        let block = BlockState::begun(ulid, window);
        self.state.blocks_mut().insert(window.start, block);
        self.state.save(&self.directory)
    }

    /// The window turned out to be empty, or is done in smaller ones.
    pub(super) fn forget_block(&mut self, window: TimeRange) -> Result<(), ReaderError> {
        self.state.blocks_mut().remove(&window.start);
        self.state.save(&self.directory)
    }

    /// The block is whole and was read back. When it goes on to another directory, it does so only after that is remembered: a run
    /// that dies in between moves it when it goes on.
    pub(super) fn finish_block(&mut self, window: TimeRange, made: &MadeBlock) -> Result<(), ReaderError> {
        if let Some(block) = self.state.blocks_mut().get_mut(&window.start) {
            block.finished = true;
            block.content.clone_from(&made.content);
            block.meta = Some(made.meta.clone());
            block.bytes = made.bytes;
        }
        self.state.save(&self.directory)?;
        match &self.into {
            Some(into) => into.take(&self.directory.join(made.meta.ulid.to_string())),
            None => Ok(()),
        }
    }

    /// Begins a file beside the blocks, after remembering its names. What an interrupted run left of it is written anew.
    pub(super) fn start_beside(&mut self, name: &'static str) -> Result<BesideFile, ReaderError> {
        self.state.beside_mut().insert(name.to_owned());
        self.state.save(&self.directory)?;
        BesideFile::create(&self.directory, name)
    }

    /// The export is complete: the directory is a data directory and nothing else, or gone when its blocks went on.
    pub(super) fn complete(self) -> Result<(), ReaderError> {
        ExportState::remove(&self.directory)?;
        if self.into.is_some() {
            fs::remove_dir(&self.directory).map_err(ReaderError::file(&self.directory))?;
        }
        Ok(())
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
            if let (Some(into), true) = (&self.into, block.finished) {
                if finished.is_dir() {
                    into.take(&finished)?;
                }
                // One that is nowhere was merged into another by its new owner, or deleted.
                continue;
            }
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
