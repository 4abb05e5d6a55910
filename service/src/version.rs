//! What `--version` says, in the form of Prometheus: `receiver, version 0.1.0 (revision: unknown)` and what it runs on.

use std::sync::LazyLock;

/// Version of the product; all crates share it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Source revision, when the build was told it by the environment variable `EMBERKEEP_REVISION`.
pub const REVISION: &str = match option_env!("EMBERKEEP_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// What follows the program's name. Computed once, because clap takes only texts that live for ever.
static AFTER_NAME: LazyLock<String> = LazyLock::new(|| {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    format!("version {VERSION} (revision: {REVISION})\n  platform: {os}/{arch}")
});

/// The text of `--version`, without a line break at its end.
#[must_use]
pub fn text(program: &str) -> String {
    format!("{program}, {}", *AFTER_NAME)
}

/// Gives a command line the flag `--version`.
#[must_use]
pub fn with_version(command: clap::Command) -> clap::Command {
    // clap writes `<display name> <version>`; the comma of Prometheus' form goes with the name.
    let display_name = format!("{},", command.get_name());
    command.display_name(display_name).version(AFTER_NAME.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_prints_the_text() {
        let command = with_version(clap::Command::new("receiver"));
        let answer = command
            .try_get_matches_from(["receiver", "--version"])
            .expect_err("the version ends the parsing");
        assert_eq!(answer.kind(), clap::error::ErrorKind::DisplayVersion);
        assert_eq!(answer.to_string(), format!("{}\n", text("receiver")));
        assert!(text("receiver").starts_with(&format!("receiver, version {VERSION} (")));
    }
}
