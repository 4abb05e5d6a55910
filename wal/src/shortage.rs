//! Errors of the disk that lose nothing and heal by themselves: what they stop is refused, and the log goes on.

use std::io;

use emberkeep_disk::is_out_of_space;

use crate::AppendError;

/// `ENFILE` and `EMFILE`: the machine, or the process, has no file descriptor left.
const NO_DESCRIPTOR: [i32; 2] = [23, 24];

/// What a call lacked that it is refused for; none when the error is of another kind, after which nothing is known about the disk.
pub(crate) fn shortage(error: &io::Error) -> Option<AppendError> {
    if is_out_of_space(error) {
        Some(AppendError::Full)
    } else if is_out_of_files(error) {
        Some(AppendError::NoFiles)
    } else {
        None
    }
}

/// Whether a file or directory was not opened, because too many are open. Nothing was done to it, then.
pub(crate) fn is_out_of_files(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|code| NO_DESCRIPTOR.contains(&code))
}
