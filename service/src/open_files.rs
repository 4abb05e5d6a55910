//! How many files the process may have open: connections are files, too, and must leave enough for the log and the archive.
//!
//! Most systems start a process with a low limit that it may raise by itself, for the sake of programs of the last century. What
//! cannot be read or raised is left as it is: that never keeps a server from starting.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files beside connections, at least: log, staging, parts that are read, the object store's connections.
const OTHERS_MIN: u64 = 64;

/// Raises the limit as far as the process may, and gives it; none when there is no limit.
pub(crate) fn raise() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return limit.current;
    }
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::debug!(%error, "the limit of open files stays as it is");
            limit.current
        }
    }
}

/// How many of so many files may be connections: a quarter is for others, and never fewer than [`OTHERS_MIN`].
pub(crate) fn for_connections(files: u64) -> usize {
    let connections = files.saturating_sub((files / 4).max(OTHERS_MIN)).max(1);
    usize::try_from(connections).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_left_for_the_log() {
        assert_eq!(for_connections(1_048_576), 786_432);
        assert_eq!(for_connections(1_024), 768);
        assert_eq!(for_connections(128), 64);
        assert_eq!(for_connections(10), 1);
    }

    #[test]
    fn the_limit_is_as_high_as_it_may_be() {
        let raised = raise();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!((raised, limit.current), (limit.maximum, limit.maximum));
    }
}
