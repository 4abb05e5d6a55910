//! What an export remembers in its output until it is complete (`docs/formats/export-state.md`).
//!
//! Written before anything else, and before and after each block, always whole and by rename: whatever lies in the output
//! after a crash can be told from what is not ours.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use emberkeep_model::{TenantId, TimeRange};
use emberkeep_tsdb::{BLOCK_DURATION_MS, BlockMeta};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::BlockFormat;
use super::content::Content;
use crate::ReaderError;

/// Name of the file in the output directory. Prometheus ignores plain files in its data directory.
pub const STATE_FILE: &str = "emberkeep-export.json";
const TEMPORARY_FILE: &str = "emberkeep-export.json.tmp";
const VERSION: u64 = 3;
/// The oldest version that is continued. Version 1 knew floats only and nothing beside blocks, version 2 blocks of two hours with
/// all labels only; what they do not say is none.
const OLDEST_VERSION: u64 = 1;
/// Far above what ten thousands of blocks need.
const BYTES_MAX: u64 = 64 << 20;

/// The question, as it was asked: relative times stay relative, so that the same command line is the same question.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExportArguments {
    /// Whose data.
    pub tenant: TenantId,
    /// `--from`.
    pub from: String,
    /// `--to`, when it was given.
    pub to: Option<String>,
    /// `--match`, as often as it was given.
    pub matches: Vec<String>,
    /// `--head-url`, as often as it was given.
    pub heads: Vec<String>,
    /// `--start-timestamps`.
    pub start_timestamps: bool,
    /// `--block-duration`, when it was given.
    pub block_duration: Option<String>,
    /// Labels that are taken off, as `NAME` or `NAME=VALUE`: `--strip-label`, and what the target adds itself.
    pub strip: Vec<String>,
    /// `--join-equal`.
    pub join_equal: bool,
    /// `--format`.
    pub format: BlockFormat,
}

/// The content of the state file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportState {
    version: u64,
    tenant: String,
    from: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    to: Option<String>,
    #[serde(rename = "match")]
    matches: Vec<String>,
    head_url: Vec<String>,
    #[serde(default)]
    start_timestamps: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    block_duration: Option<String>,
    #[serde(default)]
    strip: Vec<String>,
    #[serde(default)]
    join_equal: bool,
    #[serde(default = "prometheus")]
    format: String,
    /// The longest block, milliseconds; 0 before it was decided.
    #[serde(default)]
    longest_ms: i64,
    /// What the arguments meant when the export began, milliseconds since 1970, end exclusive.
    start_ms: i64,
    end_ms: i64,
    /// The root that was read when the export began.
    root: u64,
    /// Blocks by the start of their window.
    blocks: BTreeMap<i64, BlockState>,
    /// Files beside the blocks that may be there, whole or not.
    #[serde(default)]
    beside: BTreeSet<String>,
}

/// One block of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BlockState {
    pub(super) ulid: String,
    /// End of the window, exclusive; 0 in files of before version 3, whose windows have two hours.
    #[serde(default)]
    end_ms: i64,
    /// Whether the block was read back and is as it was meant.
    pub(super) finished: bool,
    /// What it holds, once it is finished.
    #[serde(default)]
    pub(super) content: Content,
    /// What it says of itself, and its size; none before it is finished, and in files of before version 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) meta: Option<BlockMeta>,
    #[serde(default)]
    pub(super) bytes: u64,
}

fn prometheus() -> String {
    BlockFormat::Prometheus.name().to_owned()
}

impl BlockState {
    /// A block of which there is nothing yet.
    pub(super) fn begun(ulid: Ulid, window: TimeRange) -> Self {
        Self {
            ulid: ulid.to_string(),
            end_ms: window.end,
            finished: false,
            content: Content::default(),
            meta: None,
            bytes: 0,
        }
    }

    /// The window of a block whose window starts there.
    pub(super) fn window(&self, start: i64) -> TimeRange {
        let end = match self.end_ms {
            0 => start.saturating_add(BLOCK_DURATION_MS),
            end => end,
        };
        TimeRange { start, end }
    }
}

impl ExportState {
    /// The state of an export that begins.
    #[must_use]
    pub fn new(arguments: &ExportArguments, range: TimeRange) -> Self {
        Self {
            version: VERSION,
            tenant: arguments.tenant.to_string(),
            from: arguments.from.clone(),
            to: arguments.to.clone(),
            matches: arguments.matches.clone(),
            head_url: arguments.heads.clone(),
            start_timestamps: arguments.start_timestamps,
            block_duration: arguments.block_duration.clone(),
            strip: arguments.strip.clone(),
            join_equal: arguments.join_equal,
            format: arguments.format.name().to_owned(),
            longest_ms: 0,
            start_ms: range.start,
            end_ms: range.end,
            root: 0,
            blocks: BTreeMap::new(),
            beside: BTreeSet::new(),
        }
    }

    /// The range that is exported.
    #[must_use]
    pub fn range(&self) -> TimeRange {
        TimeRange {
            start: self.start_ms,
            end: self.end_ms,
        }
    }

    /// The windows of the blocks that are done, oldest first.
    pub(super) fn finished(&self) -> Vec<TimeRange> {
        let done = self.blocks.iter().filter(|(_, block)| block.finished);
        done.map(|(start, block)| block.window(*start)).collect()
    }

    /// The longest block, once that was decided.
    pub(super) fn longest(&self) -> Option<i64> {
        match (self.longest_ms, self.blocks.is_empty()) {
            (0, true) => None,
            // Versions before 3 knew one duration.
            (0, false) => Some(BLOCK_DURATION_MS),
            (longest, _) => Some(longest),
        }
    }

    /// The root that was read when the export began.
    #[must_use]
    pub fn root(&self) -> u64 {
        self.root
    }

    pub(super) fn begin(&mut self, root: u64) {
        self.root = root;
    }

    /// The longest block as it was decided when the export began, or as it is decided now.
    pub(super) fn longest_or(&mut self, decided: i64) -> i64 {
        if self.longest_ms == 0 {
            self.longest_ms = decided;
        }
        self.longest_ms
    }

    pub(super) fn blocks(&self) -> &BTreeMap<i64, BlockState> {
        &self.blocks
    }

    pub(super) fn blocks_mut(&mut self) -> &mut BTreeMap<i64, BlockState> {
        &mut self.blocks
    }

    pub(super) fn beside(&self) -> &BTreeSet<String> {
        &self.beside
    }

    pub(super) fn beside_mut(&mut self) -> &mut BTreeSet<String> {
        &mut self.beside
    }

    /// Where this state answers another question: the name of the first argument that differs, and its value there.
    pub(super) fn difference(&self, arguments: &ExportArguments) -> Option<(&'static str, String)> {
        let shown = |texts: &[String]| {
            if texts.is_empty() {
                "not given".to_owned()
            } else {
                format!("`{}`", texts.join("` `"))
            }
        };
        let given = |flag: bool| if flag { "given" } else { "not given" }.to_owned();
        if self.tenant != arguments.tenant.as_str() {
            Some(("--tenant", format!("`{}`", self.tenant)))
        } else if self.from != arguments.from {
            Some(("--from", format!("`{}`", self.from)))
        } else if self.to != arguments.to {
            Some(("--to", shown(self.to.as_slice())))
        } else if self.matches != arguments.matches {
            Some(("--match", shown(&self.matches)))
        } else if self.head_url != arguments.heads {
            Some(("--head-url", shown(&self.head_url)))
        } else if self.start_timestamps != arguments.start_timestamps {
            Some(("--start-timestamps", given(self.start_timestamps)))
        } else if self.longest_ms != 0 && self.block_duration != arguments.block_duration {
            Some(("--block-duration", shown(self.block_duration.as_slice())))
        } else if self.strip != arguments.strip {
            Some(("list of stripped labels (--strip-label, --target)", shown(&self.strip)))
        } else if self.join_equal != arguments.join_equal {
            Some(("--join-equal", given(self.join_equal)))
        } else if self.format != arguments.format.name() {
            Some(("--format", format!("`{}`", self.format)))
        } else {
            None
        }
    }

    /// Reads the state of a directory; none when there is no such file.
    ///
    /// # Errors
    /// When the file cannot be read, or was not written by an export of this version.
    pub fn load(directory: &Path) -> Result<Option<Self>, ReaderError> {
        let path = directory.join(STATE_FILE);
        match fs::metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ReaderError::file(path)(error)),
            Ok(found) if found.len() > BYTES_MAX => {
                return Err(ReaderError::output(path, "it is not the state of an export"));
            }
            Ok(_) => {}
        }
        let content = fs::read(&path).map_err(ReaderError::file(&path))?;
        let bad =
            |error: serde_json::Error| ReaderError::output(&path, format!("it is not the state of an export: {error}"));
        #[derive(Deserialize)]
        struct Versioned {
            version: u64,
        }
        let Versioned { version } = serde_json::from_slice(&content).map_err(bad)?;
        if !(OLDEST_VERSION..=VERSION).contains(&version) {
            let why = format!("an export of version {version} began here, this program continues version {VERSION}");
            return Err(ReaderError::output(&path, why));
        }
        let mut state: Self = serde_json::from_slice(&content).map_err(bad)?;
        state.version = VERSION;
        for block in state.blocks.values() {
            if Ulid::from_string(&block.ulid).is_err() {
                return Err(ReaderError::output(
                    &path,
                    format!("`{}` in it is not the name of a block", block.ulid),
                ));
            }
        }
        Ok(Some(state))
    }

    /// Writes the state durably in place of the one before.
    pub(super) fn save(&self, directory: &Path) -> Result<(), ReaderError> {
        let temporary = directory.join(TEMPORARY_FILE);
        let json = serde_json::to_vec_pretty(self).expect("texts and numbers always become JSON");
        let written = File::create(&temporary).and_then(|mut file| {
            file.write_all(&json)?;
            file.sync_all()
        });
        written.map_err(ReaderError::file(&temporary))?;
        fs::rename(&temporary, directory.join(STATE_FILE)).map_err(ReaderError::file(&temporary))?;
        sync_directory(directory)
    }

    /// Removes the state durably: from here on the directory is a data directory and nothing else.
    pub(super) fn remove(directory: &Path) -> Result<(), ReaderError> {
        let path = directory.join(STATE_FILE);
        fs::remove_file(&path).map_err(ReaderError::file(&path))?;
        sync_directory(directory)
    }

    /// Whether a file of this name belongs to the state.
    pub(super) fn is_own(name: &str) -> bool {
        name == STATE_FILE || name == TEMPORARY_FILE
    }
}

fn sync_directory(directory: &Path) -> Result<(), ReaderError> {
    File::open(directory)
        .and_then(|file| file.sync_all())
        .map_err(ReaderError::file(directory))
}
