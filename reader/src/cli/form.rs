//! `--output`: the same answer for people or for programs.

use std::io::{self, Write};

use clap::{Args, ValueEnum};
use serde::Serialize;

/// How an answer is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// Lines for people.
    #[default]
    Text,
    /// JSON.
    Json,
}

/// `--output`
#[derive(Debug, Clone, Default, Args)]
pub struct FormFlag {
    /// How the answer is printed.
    #[arg(
        short = 'o',
        long = "output",
        value_name = "FORM",
        value_enum,
        default_value = "text"
    )]
    pub form: Form,
}

impl FormFlag {
    /// Prints an answer: as JSON, or as the lines that `text` writes.
    pub(crate) fn print<T: Serialize>(
        &self,
        answer: &T,
        text: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        match self.form {
            Form::Text => text(&mut out)?,
            Form::Json => {
                serde_json::to_writer_pretty(&mut out, answer)?;
                writeln!(out)?;
            }
        }
        Ok(out.flush()?)
    }
}
