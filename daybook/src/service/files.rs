//! File handles: how many the process may have, and how many connections they allow. A process without handles cannot
//! even write its log, so they bound the connections.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The fewest handles for connections, even if the process has hardly any: with fewer, the health routes could not be
/// reached.
const FEWEST: usize = 4;
/// Handles that are kept free for occasional use: journals, temporary files of a database, name look-ups.
const KEPT_FREE: usize = 8;

/// Connections that read one file at once, where handles are many.
const READERS: usize = 4;
/// The same where they are few. A reader is opened at its first use; by then clients may hold all handles.
const FEW_READERS: usize = 2;
/// Handles are few below this.
const FEW: usize = 256;
/// Handles of a connection that reads the log, which has its index open as well: two files, each with its journal.
const OF_LOG: usize = 4;
/// Handles of a connection that reads the read models.
const OF_MODELS: usize = 2;

/// How many connections may read one file at once in this process.
#[must_use]
pub fn readers() -> usize {
    if raise().is_some_and(|limit| limit < FEW) { FEW_READERS } else { READERS }
}

/// How many handles the readers of an embedded store may still open once it has been read at its start, which opens one of each.
#[must_use]
pub fn handles_of_readers() -> usize {
    (readers() - 1) * (OF_LOG + OF_MODELS)
}

/// Raises the limit of this process to what the system allows; how many handles it may have then, if that is bounded.
#[must_use]
pub fn raise() -> Option<usize> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let bounded = |limit: Option<u64>| limit.and_then(|limit| usize::try_from(limit).ok());
    if current == maximum {
        return bounded(current);
    }
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => bounded(maximum),
        Err(error) => {
            tracing::warn!(
                error = %error,
                limit = ?current,
                "the limit of open files cannot be raised and stays; raise the hard limit of the process for more \
                 connections"
            );
            bounded(current)
        }
    }
}

/// How many handles this process has open; `None` if the system does not report it.
fn open() -> Option<usize> {
    ["/proc/self/fd", "/dev/fd"].iter().find_map(|folder| Some(std::fs::read_dir(folder).ok()?.count()))
}

/// How many connections there may be of those that are `wanted`, where `others` handles may still be opened beside them.
#[must_use]
pub fn connections(wanted: usize, others: usize) -> usize {
    let Some(limit) = raise() else {
        return wanted;
    };
    let used = open().unwrap_or_default() + others;
    let allowed = left(limit, used).min(wanted);
    if allowed < wanted {
        tracing::warn!(
            limit,
            used,
            wanted,
            allowed,
            "fewer connections are accepted than http.connections allows, because each needs a file handle; raise the \
             limit of open files"
        );
    } else {
        tracing::info!(limit, used, connections = allowed, "there are enough file handles for http.connections");
    }
    allowed
}

fn left(limit: usize, used: usize) -> usize {
    // A part of a small rest is kept, and not more than is needed of a large one.
    let rest = limit.saturating_sub(used);
    rest.saturating_sub(KEPT_FREE.max(rest / 8).min(64)).max(FEWEST)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may")]

    use super::*;

    #[test]
    fn connections_leave_handles_for_everything_else() {
        assert_eq!(left(64, 40), 16);
        assert_eq!(left(64, 60), FEWEST);
        assert_eq!(left(1_024, 100), 1_024 - 100 - 64);
        assert!(open().unwrap() > 2);
        assert!(raise().is_none_or(|limit| connections(usize::MAX, 0) < limit));
    }
}
