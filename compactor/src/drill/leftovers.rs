//! Processes that a killed drill left running.
//!
//! They are found by a variable of their environment that names the scratch directory, which only the holder of its lock asks for: so
//! they belong to a drill that is dead. A process is held by a descriptor before it is looked at, so that no other one can have
//! taken its number when it is ended.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tracing::warn;

/// The variable by which children of a drill are recognised; its value is the scratch directory.
pub(super) const MARK: &str = "EMBERKEEP_DRILL_SCRATCH";

/// How long a process may take to die: it must not write any more when its files are removed.
const DYING: Duration = Duration::from_secs(5);

/// Ends the processes of a dead drill. Where processes cannot be looked at, there are none.
pub(super) fn end_processes(scratch: &Path) {
    let mark = format!("{MARK}={}", scratch.display());
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return;
    };
    let own = std::process::id();
    for entry in entries.flatten() {
        let number: Option<i32> = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let Some(pid) = number
            .filter(|number| number.cast_unsigned() != own)
            .and_then(Pid::from_raw)
        else {
            continue;
        };
        let Ok(held) = pidfd_open(pid, PidfdFlags::empty()) else {
            continue;
        };
        let environment = entry.path().join("environ");
        // Of processes of others it cannot be read, and ours are never those; of a dead one it is empty.
        let is_ours = || {
            let text = std::fs::read(&environment).unwrap_or_default();
            text.split(|byte| *byte == 0).any(|text| text == mark.as_bytes())
        };
        if is_ours() {
            match pidfd_send_signal(&held, Signal::KILL) {
                Ok(()) => warn!(pid = number, "ended a process that a killed drill left running"),
                Err(error) => warn!(pid = number, %error, "cannot end a process that a killed drill left running"),
            }
            let until = Instant::now() + DYING;
            while is_ours() && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}
