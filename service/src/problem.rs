//! How a program ends: its exit code, and its error on one line.
//!
//! `main` never returns its error to the runtime: that would print a Rust debug text, and a backtrace of many lines
//! when `RUST_BACKTRACE` is set. The codes are part of the interface and stable.

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

/// How a program ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// What was asked for is done: exit code 0.
    Done,
    /// The comparison was made and a difference or gap was found: exit code 2, as diff(1) keeps errors apart.
    DifferenceFound,
}

/// What `main` returns: 0 done, 1 error, 2 difference found. An error is written to standard error as
/// `<program>: error: <what>: <why>`.
pub fn conclude(program: &str, result: Result<Outcome, anyhow::Error>) -> ExitCode {
    match result {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::DifferenceFound) => ExitCode::from(2),
        Err(error) => {
            // When standard error itself is gone there is nobody left to tell; the exit code remains.
            let _ = writeln!(std::io::stderr(), "{program}: error: {}", chain(error.as_ref()));
            ExitCode::from(1)
        }
    }
}

/// An error and its causes on one line: `what: why: root cause`.
///
/// A cause that its parent already ends with is not said twice; line breaks become ` | `.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_chain_is_one_line() {
        let error = anyhow::anyhow!("disk\n\n  is gone")
            .context("cannot read `x`")
            .context("cannot start");
        assert_eq!(chain(error.as_ref()), "cannot start: cannot read `x`: disk | is gone");
    }

    #[test]
    fn a_cause_is_said_once() {
        let error = anyhow::anyhow!("is gone")
            .context("disk: is gone")
            .context("cannot start: disk: is gone");
        assert_eq!(chain(error.as_ref()), "cannot start: disk: is gone");
    }

    #[test]
    fn exit_codes_are_stable() {
        let code = |result| format!("{:?}", conclude("emberkeep", result));
        assert_eq!(code(Ok(Outcome::Done)), format!("{:?}", ExitCode::from(0)));
        assert_eq!(
            code(Err(anyhow::anyhow!("a test of the exit code"))),
            format!("{:?}", ExitCode::from(1))
        );
        assert_eq!(code(Ok(Outcome::DifferenceFound)), format!("{:?}", ExitCode::from(2)));
    }
}
