//! Faults that last, under load, on the real program: each shows that it happened, that everything accepted came to its end afterwards, and
//! that every process told the truth of itself meanwhile. `scripts/long faults` lets each last a minute.

mod crowd;
mod disk;
mod files;
mod lock;
mod packets;
mod probe;
mod resources;
mod sockets;
mod subject;
mod trial;
mod watch;

use futures_util::future::LocalBoxFuture;

pub(crate) use trial::Length;

/// A fault that can be let happen.
pub(crate) struct Fault {
    /// What it is called on the command line.
    pub(crate) name: &'static str,
    /// What happens.
    pub(crate) what: &'static str,
    /// Lets it happen; panics if something is not as it should be afterwards.
    pub(crate) run: fn(Length) -> LocalBoxFuture<'static, ()>,
}

/// Every fault.
pub(crate) const ALL: &[Fault] = &[
    Fault {
        name: "disk",
        what: "the disk of an embedded store is full",
        run: |length| Box::pin(disk::embedded(length)),
    },
    Fault {
        name: "disk-read-models",
        what: "the disk of an embedded store's read models is full",
        run: |length| Box::pin(disk::read_models(length)),
    },
    Fault {
        name: "disk-postgres",
        what: "the disk of the database is full",
        run: |length| Box::pin(disk::database(length)),
    },
    Fault {
        name: "files",
        what: "an embedded store may open 64 files, and 64 idle connections are held to it",
        run: |length| Box::pin(files::embedded(length)),
    },
    Fault {
        name: "lock",
        what: "the table of events is locked for 42 s, one process on a database",
        run: |length| Box::pin(lock::database(length)),
    },
    Fault {
        name: "lock-scaled",
        what: "the table of events is locked for 42 s, the scaled system",
        run: |length| Box::pin(lock::scaled(length)),
    },
    Fault {
        name: "packets",
        what: "packets to the database are swallowed for a while, one process",
        run: |length| Box::pin(packets::goes_on(length)),
    },
    Fault {
        name: "packets-cut",
        what: "packets to the database are swallowed, then connections are cut, one process",
        run: |length| Box::pin(packets::is_cut(length)),
    },
    Fault {
        name: "packets-scaled",
        what: "packets to the database are swallowed for a while, the scaled system",
        run: |length| Box::pin(packets::scaled(length)),
    },
    Fault {
        name: "sockets",
        what: "2,048 silent connections and several hundred that say half of something or do not read, to an embedded store",
        run: |length| Box::pin(sockets::embedded(length)),
    },
];

#[cfg(test)]
mod tests {
    use super::ALL;

    #[test]
    fn what_can_be_run_by_hand_is_in_the_document() {
        let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../CONTRIBUTING.md")).unwrap();
        for fault in ALL {
            let line = format!("| `{}` | {} |", fault.name, fault.what);
            assert!(text.contains(&line), "CONTRIBUTING.md lacks: {line}");
        }
    }
}
