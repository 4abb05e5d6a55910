//! What callgrind counted in one phase: the instructions of each function, those of what it called included.
//!
//! The format is that of valgrind's manual, "Callgrind Format Specification", as it is written without name compression and with
//! one position for each cost. A line that is not understood is an error, never skipped: a figure must not be too small by mistake.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};

/// The costs of one phase.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Profile {
    /// Instructions of all functions together.
    total: u64,
    /// Instructions by the name of the function, callees included.
    inclusive: BTreeMap<String, u64>,
}

impl Profile {
    /// Reads what callgrind wrote with `--compress-strings=no --compress-pos=no`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut profile = Self::default();
        let mut function = None;
        let mut is_call = false;
        for (number, line) in text.lines().enumerate() {
            let at = || format!("line {} of the profile: `{line}`", number + 1);
            if let Some(name) = line.strip_prefix("fn=") {
                function = Some(plain(name).to_owned());
            } else if line.starts_with("calls=") {
                is_call = true;
            } else if line.starts_with(|first: char| first.is_ascii_digit()) {
                let cost = line.split_whitespace().nth(1).with_context(at)?;
                let cost: u64 = cost.parse().with_context(at)?;
                let name = function.as_ref().with_context(at)?;
                *profile.inclusive.entry(name.clone()).or_default() += cost;
                if !is_call {
                    profile.total += cost;
                }
                is_call = false;
            } else if line.starts_with("events:") {
                ensure!(line == "events: Ir", "{}: more than instructions were counted", at());
            } else if !is_known(line) {
                bail!("{}: not understood", at());
            }
        }
        ensure!(profile.total > 0, "nothing was counted");
        Ok(profile)
    }

    /// All instructions of the phase.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Instructions of the functions of this name, callees included; nothing when there is none.
    pub(crate) fn of(&self, name: &str) -> Option<u64> {
        self.inclusive.get(name).copied()
    }

    /// Names that hold a text, for messages.
    pub(crate) fn names_with(&self, text: &str) -> Vec<&str> {
        let names = self.inclusive.keys().filter(|name| name.contains(text));
        names.map(String::as_str).collect()
    }
}

/// A name without the hash of its crate's compilation and without what tells the levels of a recursion apart.
fn plain(name: &str) -> &str {
    let name = name.split_once('\'').map_or(name, |(name, _)| name);
    match name.rsplit_once("::h") {
        Some((path, hash)) if hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit()) => path,
        _ => name,
    }
}

/// Lines that say nothing about costs: headers (`key: value`), files, objects, callees, jumps between files, blanks.
fn is_known(line: &str) -> bool {
    let keys = ["fl", "fi", "fe", "ob", "cob", "cfi", "cfl", "cfn"];
    let is_place = line.split_once('=').is_some_and(|(key, _)| keys.contains(&key));
    let is_header = line
        .split_once(':')
        .is_some_and(|(key, _)| key.bytes().all(|b| b.is_ascii_lowercase()));
    let is_note = line.starts_with("desc: ") || line.starts_with('#');
    line.is_empty() || is_place || is_header || is_note
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const PROFILE: &str = "\
# callgrind format
version: 1
creator: callgrind-3.19.0
pid: 1
cmd:  guard work
part: 2

desc: I1 cache:
desc: Trigger: --dump-before=*work::phase_ends*

positions: line
events: Ir
summary: 1085

ob=/lib/libc.so.6
fl=???
fn=memcpy
0 30

ob=/bin/guard
fn=a::outer::h0123456789abcdef
0 5
cob=/lib/libc.so.6
cfi=???
cfn=memcpy
calls=3 0
0 30
fi=lib.rs
0 50
cfn=a::inner
calls=1 0
0 1000
fn=a::inner
0 1000
";

    #[test]
    fn callees_count_for_their_callers_and_once_for_all() {
        let profile = Profile::parse(PROFILE).unwrap();
        assert_eq!(profile.total(), 1085);
        assert_eq!(profile.of("a::outer"), Some(1085));
        assert_eq!(profile.of("a::inner"), Some(1000));
        assert_eq!(profile.of("memcpy"), Some(30));
        assert_eq!(profile.of("a"), None);
        assert_eq!(profile.names_with("inner"), ["a::inner"]);
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for (text, said) in [
            ("events: Ir\nfn=a\n0 1\nsurprise\n", "surprise"),
            ("events: Ir Dr\nfn=a\n0 1 2\n", "more than instructions"),
            ("events: Ir\nfn=a\n0 x\n", "`0 x`"),
            ("events: Ir\n0 1\n", "line 2"),
            ("events: Ir\n", "nothing was counted"),
        ] {
            let error = format!("{:#}", Profile::parse(text).unwrap_err());
            assert!(error.contains(said), "{error}");
        }
    }
}
