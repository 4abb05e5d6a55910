//! Names for syncs: what was synced, and by which function of the product, read off the stack.
//!
//! So every call site is a class of its own without a list that somebody must keep, and a new one cannot hide behind an old one that
//! syncs the same directory.

use std::backtrace::Backtrace;
use std::path::Path;

use emberkeep_disk::{ForgetfulFs, SyncKind, read_to_vec};

/// Functions of ours whose callers differ in why they sync.
const WRAPPERS: [&str; 2] = ["receiver::identity::replace", "receiver::staging::retire"];

/// What kind of thing a path is; names that are random are left out.
pub(crate) fn place(fs: &ForgetfulFs, kind: SyncKind, path: &Path) -> String {
    let text = path.to_str().unwrap();
    if text.starts_with("/bucket/archive/.tmp/") {
        return format!("object: {}", object(fs, path));
    }
    let steps: Vec<_> = text.split('/').skip(1).map(step).collect();
    let text = format!("/{}", steps.join("/"));
    if kind == SyncKind::Directory && text != "/" {
        format!("{text}/")
    } else {
        text
    }
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
        () if bytes.starts_with(b"PAR1") && holds("unscaled") => "samples file",
        () if bytes.starts_with(b"PAR1") && holds("reset_hint") => "histograms file",
        () if bytes.starts_with(b"PAR1") && holds("family") => "metadata file",
        () if bytes.starts_with(b"PAR1") => "exemplars file",
        () if holds("\"seq\"") => "commit record",
        () if holds("\"epoch\"") => "epoch claim",
        () if holds("\"dataset\"") => "format",
        () => "unknown",
    }
}

/// Who asked for the sync that is being made: the innermost function of ours that is neither a durable sequence of `disk` nor a
/// wrapper, and the sequence if there is one.
pub(crate) fn call_site() -> String {
    let stack = Backtrace::force_capture().to_string();
    let mut lines = stack.lines().map(str::trim).peekable();
    let mut sequence = String::new();
    while let Some(line) = lines.next() {
        let Some(place) = lines.peek().and_then(|place| place.strip_prefix("at ")) else {
            continue;
        };
        let Some(name) = line.split_once(": ").and_then(|(_, name)| ours(name, place)) else {
            continue;
        };
        match name.strip_prefix("disk::durable::") {
            Some("write_and_sync") => {}
            Some(function) if sequence.is_empty() => sequence = format!(" > {function}"),
            Some(_) => {}
            None if WRAPPERS.contains(&&*name) => {}
            None => return name + &sequence,
        }
    }
    panic!("a sync that nobody asked for:\n{stack}")
}

/// A function of the product as `crate::module::function`; nothing for other code, and for the file system itself.
fn ours(name: &str, place: &str) -> Option<String> {
    let (before, file) = place.rsplit_once("/src/")?;
    // Paths are shown relative to the directory of the package under test.
    let krate = before
        .rsplit('/')
        .next()
        .map(|krate| if krate == "." { "receiver" } else { krate })?;
    if !["disk", "wal", "archive", "receiver"].contains(&krate) {
        return None;
    }
    let module = file.split(".rs").next()?.replace('/', "::");
    // Generic arguments and closures say nothing.
    let plain = name.split('<').next().filter(|plain| !plain.is_empty()).unwrap_or(name);
    let function = plain
        .split("::")
        .filter(|step| !step.starts_with('{') && !step.is_empty())
        .last()?;
    (krate != "disk" || !module.starts_with("forgetful")).then(|| format!("{krate}::{module}::{function}"))
}
