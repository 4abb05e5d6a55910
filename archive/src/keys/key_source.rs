//! Where a master key comes from: a file, an environment variable, or what a command prints (for a secrets manager).
//!
//! A key is 32 bytes as 64 hexadecimal digits or as base64. What a source holds is wiped once the key is out of it, and is never shown: of
//! a failing command its stderr is, of anything else only what is wrong with the form.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::{KEY_BYTES, KeyError, key_id};

/// More than any text of a key has, with room for white space.
const TEXT_BYTES_MAX: usize = 1024;

/// How much of a failing command's stderr is shown.
const COMPLAINT_BYTES_MAX: usize = 2048;

/// How long a command may take.
const COMMAND_TIME_MAX: Duration = Duration::from_secs(30);

/// Where a key lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyPlace {
    /// A file that only its owner and group may read.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
    /// What a command prints: the program and its arguments, without a shell.
    Command(Vec<String>),
}

/// One configured key, not yet read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySource {
    pub(super) id: String,
    place: KeyPlace,
}

impl KeySource {
    /// A key with an id.
    ///
    /// # Errors
    /// [`KeyError::Unusable`] for an id that is none, or unless exactly one place is given.
    pub fn new(
        id: &str,
        file: Option<PathBuf>,
        environment: Option<String>,
        command: Option<Vec<String>>,
    ) -> Result<Self, KeyError> {
        let id = key_id::checked(id)?;
        let places = [
            file.map(KeyPlace::File),
            environment.map(KeyPlace::Environment),
            command.map(KeyPlace::Command),
        ];
        let mut places = places.into_iter().flatten();
        match (places.next(), places.next()) {
            (Some(place), None) => Ok(Self { id, place }),
            _ => Err(KeyError::Unusable {
                key: id,
                reason: "it needs exactly one of `file`, `env` and `command`".to_owned(),
            }),
        }
    }

    pub(super) fn unusable(&self, reason: impl ToString) -> KeyError {
        KeyError::Unusable {
            key: self.id.clone(),
            reason: reason.to_string(),
        }
    }

    /// Reads the key.
    pub(super) fn read(&self) -> Result<Zeroizing<[u8; KEY_BYTES]>, KeyError> {
        let (place, text) = match &self.place {
            KeyPlace::File(path) => {
                let place = format!("file `{}`", path.display());
                let text = read_file(path).map_err(|reason| self.unusable(format!("{place}: {reason}")))?;
                (place, text)
            }
            KeyPlace::Environment(name) => {
                let place = format!("environment variable `{name}`");
                let value = std::env::var(name).map(Zeroizing::new);
                let text = value.map_err(|_| self.unusable(format!("{place} is not set, or not UTF-8")))?;
                (place, Zeroizing::new(text.as_bytes().to_vec()))
            }
            KeyPlace::Command(words) => {
                let place = format!("command `{}`", words.first().map_or("", String::as_str));
                let text = run(words).map_err(|reason| self.unusable(format!("{place}: {reason}")))?;
                (place, text)
            }
        };
        parse(&text).ok_or_else(|| {
            self.unusable(format!(
                "{place} does not hold 32 bytes as 64 hexadecimal digits or as base64"
            ))
        })
    }
}

/// 32 bytes as hexadecimal digits or as base64, white space around them left out.
fn parse(text: &[u8]) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    let text = text.trim_ascii();
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    if text.len() == 2 * KEY_BYTES {
        for (byte, digits) in key.iter_mut().zip(text.chunks_exact(2)) {
            let digit = |digit: u8| char::from(digit).to_digit(16);
            *byte = u8::try_from(digit(digits[0])? * 16 + digit(digits[1])?).ok()?;
        }
        return Some(key);
    }
    let decoded = Zeroizing::new(STANDARD.decode(text).ok()?);
    key.copy_from_slice(decoded.get(..).filter(|bytes| bytes.len() == KEY_BYTES)?);
    Some(key)
}

fn read_file(path: &PathBuf) -> Result<Zeroizing<Vec<u8>>, String> {
    use std::os::unix::fs::PermissionsExt;

    let file = File::open(path).map_err(|error| error.to_string())?;
    // Of the open file, so that nothing can be put in its place in between.
    let metadata = file.metadata().map_err(|error| error.to_string())?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o007 != 0 {
        return Err(format!("everybody can get at it (mode {mode:03o}): `chmod o-rwx` it"));
    }
    bounded(file).map_err(|error| error.to_string())
}

/// All that a source gives, unless that is more than a key can be.
fn bounded(source: impl Read) -> io::Result<Zeroizing<Vec<u8>>> {
    // Room for all of it from the start: a buffer that grew would leave copies behind.
    let mut text = Zeroizing::new(Vec::with_capacity(2 * TEXT_BYTES_MAX));
    source.take(TEXT_BYTES_MAX as u64 + 1).read_to_end(&mut text)?;
    if text.len() > TEXT_BYTES_MAX {
        return Err(io::Error::other(format!("it gives more than {TEXT_BYTES_MAX} bytes")));
    }
    Ok(text)
}

fn run(words: &[String]) -> Result<Zeroizing<Vec<u8>>, String> {
    run_for(words, COMMAND_TIME_MAX)
}

/// Runs a command to its end, or ends it when it takes too long.
fn run_for(words: &[String], time_max: Duration) -> Result<Zeroizing<Vec<u8>>, String> {
    let (program, arguments) = words.split_first().ok_or("it names no program")?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot be started: {error}"))?;
    // Each pipe has its reader, so that a full one cannot hold the command up; a child of the command that keeps a pipe open is not waited for.
    let (sender, answers) = mpsc::sync_channel(2);
    let (output, complaint) = (child.stdout.take(), child.stderr.take());
    let of_output = sender.clone();
    thread::spawn(move || {
        of_output.send(Answer::Output(
            output.map(bounded).unwrap_or_else(|| Ok(Zeroizing::default())),
        ))
    });
    thread::spawn(move || sender.send(Answer::Complaint(complaint.map(said).unwrap_or_default())));
    let (mut output, mut complaint) = (None, None);
    let deadline = std::time::Instant::now() + time_max;
    while output.is_none() || complaint.is_none() {
        let left = deadline.saturating_duration_since(std::time::Instant::now());
        match answers.recv_timeout(left) {
            Ok(Answer::Output(Ok(text))) => output = Some(text),
            Ok(Answer::Output(Err(error))) => {
                end(&mut child);
                return Err(error.to_string());
            }
            Ok(Answer::Complaint(text)) => complaint = Some(text),
            Err(_) => {
                end(&mut child);
                return Err(format!("took longer than {} s", time_max.as_secs_f32()));
            }
        }
    }
    // Both pipes are closed, so it is about to end.
    let status = wait(&mut child, deadline).ok_or_else(|| format!("took longer than {} s", time_max.as_secs_f32()))?;
    match output {
        Some(text) if status.success() => Ok(text),
        _ => Err(format!("{status}, and says: {}", complaint.unwrap_or_default())),
    }
}

enum Answer {
    Output(io::Result<Zeroizing<Vec<u8>>>),
    Complaint(String),
}

/// The beginning of what was said; the rest is read all the same, so that whoever says it can go on.
fn said(mut source: impl Read) -> String {
    let mut text = Vec::new();
    let read = (&mut source).take(COMPLAINT_BYTES_MAX as u64).read_to_end(&mut text);
    if read.is_ok() {
        let _ = io::copy(&mut source, &mut io::sink());
    }
    String::from_utf8_lossy(&text).trim().replace('\n', " | ")
}

/// Waits for the end of a process until the deadline, and ends it then.
fn wait(child: &mut Child, deadline: std::time::Instant) -> Option<ExitStatus> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if std::time::Instant::now() < deadline => thread::sleep(Duration::from_millis(5)),
            _ => {
                end(child);
                return None;
            }
        }
    }
}

fn end(child: &mut Child) {
    // It may be gone already.
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests;
