//! The Prometheus that gets the blocks: what is known of it, and what speaks against giving them to it.
//!
//! A restore goes wrong late and silently: retention deletes it a day later, a wrong folder is never looked at, a newer block makes
//! a server forget its own last hours. All of that can be known before the first byte is written. What cannot work is refused, with
//! what to change and the flag that does it all the same; what only needs a setting is told. It must never change the target.

mod checks;
mod directory;
mod server;

use std::io::Write;
use std::path::{Path, PathBuf};

use emberkeep_tsdb::PrometheusVersion;

pub(super) use self::checks::{Finding, Wanted};
use self::directory::DirectoryFacts;
use self::server::ServerFacts;
use super::Receiving;
use crate::ReaderError;

/// Where the blocks go, as it was told.
#[derive(Debug, Clone, Default)]
pub struct Target {
    /// `--into`: a data directory, of a running server or not.
    pub into: Option<PathBuf>,
    /// `--target`: the URL of the server.
    pub url: Option<String>,
    /// `--ignore`: what is not to stop the export.
    pub ignored: Vec<CheckName>,
}

/// A check that can stop an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckName {
    /// The directory is not one that a Prometheus looks for blocks in.
    Directory,
    /// The server could not read or delete the blocks.
    Owner,
    /// The disk would be full.
    Space,
    /// The server would delete the blocks.
    Retention,
    /// There are blocks of the same time.
    Overlap,
    /// The blocks are newer than what the server has in memory.
    Recent,
    /// The server does not read the chunks.
    Version,
}

impl CheckName {
    /// All of them, with the names that `--ignore` takes.
    pub const ALL: [(Self, &'static str); 7] = [
        (Self::Directory, "directory"),
        (Self::Owner, "owner"),
        (Self::Space, "space"),
        (Self::Retention, "retention"),
        (Self::Overlap, "overlap"),
        (Self::Recent, "recent"),
        (Self::Version, "version"),
    ];

    /// As `--ignore` takes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(check, _)| *check == self);
        found.map_or("", |(_, name)| name)
    }
}

/// What was found out of a target; nothing without one.
#[derive(Debug, Clone, Default)]
pub struct TargetFacts {
    directory: Option<DirectoryFacts>,
    server: Option<ServerFacts>,
}

impl Target {
    /// Looks at the directory and asks the server.
    ///
    /// # Errors
    /// When the server does not answer as a Prometheus does, or the directory cannot be looked at.
    pub async fn facts(&self) -> Result<TargetFacts, ReaderError> {
        Ok(TargetFacts {
            directory: self.into.as_deref().map(DirectoryFacts::of).transpose()?,
            server: match &self.url {
                Some(url) => Some(ServerFacts::ask(url).await?),
                None => None,
            },
        })
    }

    fn ignores(&self, check: CheckName) -> bool {
        self.ignored.contains(&check)
    }
}

impl TargetFacts {
    /// The labels that the server adds to what it sends: its own storage has them on no series.
    #[must_use]
    pub fn external_labels(&self) -> &[(String, String)] {
        self.server.as_ref().map_or(&[], |server| &server.external_labels)
    }

    /// What is wrong with the place, whatever is exported.
    pub(super) fn misplaced(&self) -> Vec<Finding> {
        let directory = self.directory.as_ref();
        directory.and_then(checks::place).into_iter().collect()
    }

    /// What is to be said of an export into the target.
    pub(super) fn check(&self, wanted: &Wanted<'_>) -> Vec<Finding> {
        checks::all(self, wanted)
    }

    /// The version of the server, when blocks that it does not read must not be written.
    pub(super) fn version_to_obey(&self, target: &Target) -> Option<PrometheusVersion> {
        let version = self.server.as_ref().map(|server| server.version);
        version.filter(|_| !target.ignores(CheckName::Version))
    }

    /// How blocks are handed over.
    ///
    /// # Errors
    /// When the directory cannot be looked at.
    pub(super) fn receiving(&self, into: &Path) -> Result<Receiving, ReaderError> {
        let receiving = Receiving::new(into);
        match &self.directory {
            Some(directory) if directory.gives_away() => receiving.given_to_owner(),
            _ => Ok(receiving),
        }
    }
}

/// Says what was found, and fails for what cannot work and is not ignored.
pub(super) fn tell(err: &mut dyn Write, target: &Target, findings: Vec<Finding>) -> Result<(), ReaderError> {
    let mut refused = Vec::new();
    for finding in findings {
        match finding {
            Finding::Refused { check, why } if !target.ignores(check) => {
                refused.push(format!("{why} (--ignore {} goes on all the same)", check.name()));
            }
            Finding::Refused { why, .. } => {
                writeln!(err, "warning, ignored: {why}").map_err(ReaderError::file("standard error"))?;
            }
            Finding::Told(what) => writeln!(err, "{what}").map_err(ReaderError::file("standard error"))?,
        }
    }
    if refused.is_empty() {
        return Ok(());
    }
    Err(ReaderError::Bad(format!(
        "the target refuses it: {}",
        refused.join("; ")
    )))
}
