//! SQLite's definitions of tables and checkpoints. The one place with SQLite's own dialect; it reads and writes no
//! rows.

use std::fmt::Write as _;

use crate::sql::{clash, physical};
use crate::store::Slot;
use crate::value::{Kind, Spec, Table};

/// The version of the file's own layout, in `PRAGMA user_version`.
pub(super) const LAYOUT: i64 = 3;

/// One row for each model, slot and partition; a model that is projected whole has the row of partition 0.
pub(super) const CHECKPOINT: &str = "
CREATE TABLE IF NOT EXISTS checkpoint (
    name TEXT NOT NULL,
    slot TEXT NOT NULL,
    partition INTEGER NOT NULL,
    version INTEGER NOT NULL,
    position INTEGER NOT NULL,
    hash BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    owner TEXT NOT NULL,
    incarnation TEXT NOT NULL,
    generation INTEGER NOT NULL,
    building_to INTEGER NOT NULL DEFAULT 0,
    stopped_at INTEGER,
    stop_reason TEXT,
    CONSTRAINT checkpoint_pk PRIMARY KEY (name, slot, partition)
) STRICT, WITHOUT ROWID;";

/// The streams that a model holds: one of their records cannot be read or applied, and their rows show the state before
/// it.
pub(super) const HELD: &str = "
CREATE TABLE IF NOT EXISTS held (
    name TEXT NOT NULL,
    slot TEXT NOT NULL,
    tenant TEXT NOT NULL,
    category TEXT NOT NULL,
    stream TEXT NOT NULL,
    version INTEGER NOT NULL,
    position INTEGER NOT NULL,
    kind TEXT NOT NULL,
    reason TEXT NOT NULL,
    correlation TEXT NOT NULL,
    CONSTRAINT held_pk PRIMARY KEY (name, slot, tenant, category, stream)
) STRICT, WITHOUT ROWID;";

/// Migrates a file of layout 1 to layout 2.
pub(super) const FROM_1: &str = "
ALTER TABLE checkpoint ADD COLUMN building_to INTEGER NOT NULL DEFAULT 0;
ALTER TABLE checkpoint ADD COLUMN stopped_at INTEGER;
ALTER TABLE checkpoint ADD COLUMN stop_reason TEXT;";

/// Settings of every connection. The rows can be projected again from the log, so a commit need not be synced: a loss
/// by a power cut is noticed at the next start and projected again. A thread of its own copies the write-ahead log.
pub(super) const WRITER: &str = "
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
PRAGMA wal_autocheckpoint = 0;
PRAGMA cache_size = -65536;
PRAGMA temp_store = MEMORY;
PRAGMA busy_timeout = 10000;";

/// Pages in the write-ahead log from which the writer waits until they are copied: 32 MiB.
pub(super) const MOST_WAL_PAGES: u32 = 8_000;

/// Settings of a reading connection.
pub(super) const READER: &str = "
PRAGMA query_only = ON;
PRAGMA cache_size = -16384;
PRAGMA mmap_size = 0;
PRAGMA temp_store = MEMORY;
PRAGMA busy_timeout = 10000;";

/// Makes a model's tables and their indexes. Index names carry the generation, since they outlive the renaming of their table.
pub(super) fn create(spec: &Spec, slot: Slot, generation: i64) -> String {
    let mut sql = String::new();
    for table in spec.tables {
        let name = physical(table, slot);
        let _ = write!(sql, "DROP TABLE IF EXISTS {name}; CREATE TABLE {name} (");
        for column in table.columns {
            let kind = match column.kind {
                Kind::Int => "INTEGER",
                Kind::Text => "TEXT",
            };
            let null = if column.null { "" } else { " NOT NULL" };
            let _ = write!(sql, "{} {kind}{null}, ", column.name);
        }
        let key: Vec<_> = table.columns.iter().take(table.key).map(|c| c.name).collect();
        // A table clustered by its key moves whole rows in its tree, which only pays for rows hardly larger than the
        // key.
        let small = table.columns.len() <= table.key + 1;
        let kept = if small { "STRICT, WITHOUT ROWID" } else { "STRICT" };
        let _ = write!(sql, "CONSTRAINT {}_pk PRIMARY KEY ({})) {kept};", table.name, key.join(", "));
        for index in table.indexes {
            let _ =
                write!(sql, "CREATE INDEX {}_{}_{generation} ON {name} ({})", table.name, index.name, index.columns);
            if let Some(condition) = index.only {
                let _ = write!(sql, " WHERE {condition}");
            }
            sql.push(';');
        }
    }
    sql
}

/// Writes a row, or adds to it.
pub(super) fn put(table: &Table, slot: Slot) -> String {
    let names: Vec<_> = table.columns.iter().map(|c| c.name).collect();
    let marks: Vec<_> = (1..=names.len()).map(|n| format!("${n}")).collect();
    let key = names[..table.key].join(", ");
    let name = physical(table, slot);
    let clash = clash(table, slot);
    format!("INSERT INTO {name} ({}) VALUES ({}) ON CONFLICT ({key}) DO {clash}", names.join(", "), marks.join(", "))
}

/// Removes a row by its key.
pub(super) fn remove(table: &Table, slot: Slot) -> String {
    let by: Vec<_> = table.columns[..table.key]
        .iter()
        .enumerate()
        .map(|(n, column)| format!("{} = ${}", column.name, n + 1))
        .collect();
    format!("DELETE FROM {} WHERE {}", physical(table, slot), by.join(" AND "))
}
