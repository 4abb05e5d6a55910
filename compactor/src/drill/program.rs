//! Which program the commands of the reader are run with.
//!
//! A drill proves what a user would do, so it takes the program that a user has: this one when it is all in one, else the `reader` beside
//! it. An upgrade may have replaced the file of a running process; then the new one is what a restore would use.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::DrillError;

/// Name of the program that has the reader's commands below `reader`.
const ALL_IN_ONE: &str = "emberkeep";

/// What the kernel appends to the path of a program whose file was replaced.
const REPLACED: &str = " (deleted)";

/// The program with the reader's commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReaderProgram {
    path: PathBuf,
}

impl ReaderProgram {
    /// The one that is given, or the one that belongs to this process.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn find(given: Option<&Path>) -> Result<Self, DrillError> {
        if let Some(path) = given {
            return Ok(Self { path: path.to_owned() });
        }
        let running = std::env::current_exe().map_err(DrillError::local(Path::new("/proc/self/exe")))?;
        Self::beside(&running)
    }

    fn beside(running: &Path) -> Result<Self, DrillError> {
        let text = running.to_string_lossy();
        let running = text.strip_suffix(REPLACED).map_or(running, Path::new);
        let path = match is_all_in_one(running) {
            true => running.to_owned(),
            false => running.with_file_name("reader"),
        };
        if !path.exists() {
            return Err(DrillError::Invalid(format!(
                "there is no program `{}` to restore with: give `--reader`, or `reader` of `drill`",
                path.display()
            )));
        }
        Ok(Self { path })
    }

    /// A command of the reader.
    pub(super) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(&self.path);
        if is_all_in_one(&self.path) {
            command.arg("reader");
        }
        command.arg(name);
        command
    }
}

fn is_all_in_one(path: &Path) -> bool {
    path.file_stem() == Some(OsStr::new(ALL_IN_ONE))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_program_of_a_user_is_found() {
        let scratch = tempfile::tempdir().unwrap();
        let path = |name: &str| scratch.path().join(name);
        for name in ["emberkeep", "reader", "compactor"] {
            std::fs::write(path(name), "").unwrap();
        }
        let words = |program: &ReaderProgram| {
            let command = program.command("verify");
            let words = command.get_args().map(|word| word.to_string_lossy().into_owned());
            (PathBuf::from(command.get_program()), words.collect::<Vec<_>>())
        };
        let found = ReaderProgram::beside(&path("compactor")).unwrap();
        assert_eq!(words(&found), (path("reader"), vec!["verify".to_owned()]));
        for running in ["emberkeep", "emberkeep (deleted)"] {
            let found = ReaderProgram::beside(&path(running)).unwrap();
            assert_eq!(
                words(&found),
                (path("emberkeep"), vec!["reader".to_owned(), "verify".to_owned()])
            );
        }
        std::fs::remove_file(path("reader")).unwrap();
        let error = ReaderProgram::beside(&path("compactor")).unwrap_err().to_string();
        assert!(error.contains("--reader"), "{error}");
    }
}
