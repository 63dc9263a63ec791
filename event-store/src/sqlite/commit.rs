//! Writes a judged group in one transaction. A failure before the commit is *not now*: the content of a batch was
//! judged before and cannot make the group fail. A failure of the commit itself, except for lack of space, is
//! *unknown*, and then nothing more may be written.

use std::io;
use std::iter::repeat_n;

use rusqlite::{Connection, ErrorCode};
use uuid::Uuid;

use super::consumers::ConsumerAnswer;
use super::group::{Accepted, Group};
use super::options::{Options, Step};
use super::queue::Prepared;
use super::row_writer::RowWriter;
use super::rows;
use crate::append::Receipt;
use crate::placing::place;
use crate::record::{Micros, Position, Record};
use crate::store::Head;

/// Why a group is not in the log, or may not be.
pub(super) enum Failure {
    /// It is not in the log, and the writer continues.
    NotNow(String),
    /// It may or may not be; the writer stops.
    Unknown(String),
}

/// The result of a durable group.
#[derive(Default)]
pub(super) struct Written {
    pub(super) head: Head,
    pub(super) answered_to: Micros,
    pub(super) records: Vec<Record>,
    /// The keys of their streams, one for each.
    pub(super) keys: Vec<u128>,
    pub(super) commands: Vec<(Uuid, Position)>,
    pub(super) receipts: Vec<Receipt>,
    pub(super) consumers: Vec<ConsumerAnswer>,
    /// How far the test clock is ahead after each advance.
    pub(super) advanced: Vec<Micros>,
}

/// The clocks when a group is written.
#[derive(Clone, Copy)]
pub(super) struct Clocks {
    pub(super) now: Micros,
    pub(super) leases: Micros,
}

/// Writes the group and makes it durable.
pub(super) fn commit(
    log: &Connection,
    group: &mut Group,
    written: &mut Written,
    clocks: Clocks,
    options: &Options,
) -> Result<(), Failure> {
    log.execute_batch("BEGIN IMMEDIATE")
        .map_err(|error| Failure::NotNow(format!("the log cannot be written: {error}")))?;
    if let Err(error) = put(log, group, written, clocks) {
        return Err(roll_back(log, format!("the log cannot be written: {error}")));
    }
    options.step(Step::Written);
    if let Some(hook) = &options.before_commit
        && let Err(error) = hook()
    {
        let failure = roll_back(log, format!("the commit failed: {error}"));
        return Err(if error.kind() == io::ErrorKind::StorageFull { failure } else { unknown(failure) });
    }
    log.prepare_cached("COMMIT").and_then(|mut commit| commit.raw_execute()).map(drop).map_err(|error| {
        let surely_not = matches!(error.sqlite_error_code(), Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy));
        let failure = roll_back(log, format!("the commit failed: {error}"));
        if surely_not { failure } else { unknown(failure) }
    })
}

/// Rolls the transaction back. If even that fails, the content of the file is unknown.
fn roll_back(log: &Connection, why: String) -> Failure {
    // SQLite rolls back automatically after severe errors.
    if log.is_autocommit() {
        return Failure::NotNow(why);
    }
    match log.execute_batch("ROLLBACK") {
        Ok(()) => Failure::NotNow(why),
        Err(error) => Failure::Unknown(format!("{why}; it could not be rolled back: {error}")),
    }
}

fn unknown(failure: Failure) -> Failure {
    match failure {
        Failure::NotNow(why) | Failure::Unknown(why) => Failure::Unknown(why),
    }
}

fn put(log: &Connection, group: &mut Group, written: &mut Written, clocks: Clocks) -> rusqlite::Result<()> {
    if !group.accepted.is_empty() {
        let recorded_at = clocks.now.max(written.head.recorded_at + 1).max(written.answered_to + 1);
        let mut head = Head { recorded_at, ..written.head };
        for Accepted { prepared, starts_at } in &group.accepted {
            let Prepared { batch, keys, leaves, .. } = prepared;
            let receipt = place(batch, leaves, &group.starts[*starts_at..], &mut head, &mut written.records);
            written.commands.push((receipt.command_id, receipt.first_position));
            written.receipts.push(receipt);
            let keys = batch.writes.iter().zip(keys).flat_map(|(write, key)| repeat_n(*key, write.events.len()));
            written.keys.extend(keys);
        }
        let mut rows = RowWriter::new(log)?;
        for record in &written.records {
            rows.put(record)?;
        }
        written.head = head;
    }
    if let Some(asked) = group.asked {
        written.answered_to = written.answered_to.max(asked);
    }
    rows::move_head(log, &written.head, written.answered_to)?;
    while !group.consumers.is_empty() {
        // One by one: after a failure, the remaining callers get the same error.
        let job = group.consumers.remove(0);
        written.consumers.push(job.apply(log, clocks.leases)?);
    }
    for (by, _) in &group.advances {
        written.advanced.push(rows::advance(log, *by)?);
    }
    Ok(())
}
