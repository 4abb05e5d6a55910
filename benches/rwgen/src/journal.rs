//! The file of acknowledgements: which requests were begun, and which were acknowledged.
//!
//! Text, one line each, written before the first byte of a request goes out (`begun 12`) and as soon as its answer was a success
//! (`acked 12`), with a write of its own: it outlives a kill of the server, and of this process (not a loss of power). What was
//! begun and not acknowledged may be stored or not; what was never begun must not be. A last line without an end does not count:
//! it was being written when the process was killed, so its request was begun at most.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::file::RequestFile;

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    /// Nothing of it ever went out.
    Unsent,
    /// It went out, perhaps in part, and no success came back.
    Doubtful,
    Acknowledged,
}

/// Where fates are noted. Several threads may.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
}

fn heading(file: &RequestFile) -> String {
    format!("rwgen {:016x}", file.checksum)
}

impl Journal {
    /// A new journal of a file of requests.
    pub(crate) fn create(path: &Path, requests: &RequestFile) -> Result<Self> {
        let created = OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .and_then(|file| {
                file.set_len(0)?;
                Ok(file)
            });
        let mut file = created.with_context(|| format!("cannot create `{}`", path.display()))?;
        file.write_all(format!("{}\n", heading(requests)).as_bytes())?;
        Ok(Self { file })
    }

    /// Goes on with a journal: what became of each request so far.
    pub(crate) fn resume(path: &Path, requests: &RequestFile) -> Result<(Self, Vec<Fate>)> {
        let mut file = OpenOptions::new()
            .append(true)
            .read(true)
            .open(path)
            .with_context(|| format!("cannot open `{}`", path.display()))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let fates = parse(&text, requests).with_context(|| format!("in `{}`", path.display()))?;
        // The beginning of a line that a kill cut off.
        file.set_len(text.rfind('\n').map_or(0, |at| at as u64 + 1))?;
        file.seek(SeekFrom::End(0))?;
        Ok((Self { file }, fates))
    }

    pub(crate) fn begun(&self, request: usize) -> Result<()> {
        self.note("begun", request)
    }

    pub(crate) fn acknowledged(&self, request: usize) -> Result<()> {
        self.note("acked", request)
    }

    fn note(&self, what: &str, request: usize) -> Result<()> {
        (&self.file)
            .write_all(format!("{what} {request}\n").as_bytes())
            .context("cannot note an acknowledgement")
    }
}

/// What became of each request of a file.
pub(crate) fn read_journal(path: &Path, requests: &RequestFile) -> Result<Vec<Fate>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    parse(&text, requests).with_context(|| format!("in `{}`", path.display()))
}

fn parse(text: &str, requests: &RequestFile) -> Result<Vec<Fate>> {
    let mut fates = vec![Fate::Unsent; requests.slots.len()];
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let mut lines = whole.lines();
    ensure!(
        lines.next() == Some(&heading(requests)),
        "it belongs to another file of requests"
    );
    for line in lines {
        let (what, number) = line
            .split_once(' ')
            .with_context(|| format!("`{line}` is no line of a journal"))?;
        let number: usize = number.parse().with_context(|| format!("`{line}` has no number"))?;
        let fate = fates
            .get_mut(number)
            .with_context(|| format!("there is no request {number}"))?;
        let seen = match what {
            "begun" => Fate::Doubtful,
            "acked" => Fate::Acknowledged,
            _ => anyhow::bail!("`{line}` is no line of a journal"),
        };
        *fate = (*fate).max(seen);
    }
    Ok(fates)
}
