//! Names for syncs: what was synced, and by which function of the product, read off the stack.
//!
//! So every call site is a class of its own without a list that somebody must keep, and a new one cannot hide behind an old one that
//! syncs the same directory.

use std::backtrace::Backtrace;
use std::path::Path;

use emberkeep_disk::{FileSystem, ForgetfulFs, SyncKind, read_to_vec};

/// What kind of thing a path is; names that are random are left out.
pub(crate) fn place(fs: &ForgetfulFs, kind: SyncKind, path: &Path) -> String {
    let text = path.to_str().unwrap();
    if text.starts_with("/archive/.tmp/") {
        return format!("object: {}", object(fs, path));
    }
    let steps: Vec<_> = text.split('/').skip(1).map(step).collect();
    let text = format!("/{}", steps.join("/"));
    if kind == SyncKind::Directory && text != "/" { format!("{text}/") } else { text }
}

/// Random or numbered names by what they stand for.
fn step(name: &str) -> &str {
    let (stem, extension) = name.split_once('.').unwrap_or((name, ""));
    let is_hex = |text: &str| text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if stem.split_once('-').is_some_and(|(id, _)| is_hex(id)) {
        return if extension == "tmp" { "<part>.tmp" } else { "<part>" };
    }
    if extension == "wal" {
        return "<segment>.wal";
    }
    if stem.len() == 26 && stem.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return "<receiver>";
    }
    name
}

/// What a file without a name will be, by its content.
fn object(fs: &ForgetfulFs, path: &Path) -> &'static str {
    let bytes = read_to_vec(fs, path, 1 << 24).unwrap();
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    match () {
        () if bytes.starts_with(b"PAR1") && holds("metric_name") => "series file",
        () if bytes.starts_with(b"PAR1") => "samples file",
        () if holds("\"seq\"") => "commit record",
        () if holds("\"epoch\"") => "epoch claim",
        () if holds("\"dataset\"") => "format",
        () => "unknown",
    }
}

/// The innermost functions of ours that asked for the sync, outermost last: those of the durable sequences, and the first other one.
pub(crate) fn call_site() -> String {
    let stack = Backtrace::force_capture().to_string();
    let mut path: Vec<String> = Vec::new();
    let frames = stack.lines().filter_map(|line| line.trim().split_once(": ")).filter(|(number, _)| number.parse::<u32>().is_ok());
    for (_, name) in frames {
        let Some(name) = ours(name) else { continue };
        let is_sequence = name.starts_with("disk::durable::");
        if path.last() != Some(&name) {
            path.push(name);
        }
        if !is_sequence {
            break;
        }
    }
    // From the outside in; the recursion of a sequence shows once.
    path.iter().rev().map(String::as_str).collect::<Vec<_>>().join(" > ")
}

/// A function of the product as `crate::module::function`; nothing for other code and for the file system itself.
fn ours(frame: &str) -> Option<String> {
    let frame = frame.trim_start_matches('<');
    let name = frame.strip_prefix("emberkeep_")?;
    if name.starts_with("disk::forgetful") {
        return None;
    }
    let steps: Vec<_> = name.split("::").filter(|step| !step.starts_with('{') && !step.starts_with('h')).collect();
    Some(steps.join("::"))
}
