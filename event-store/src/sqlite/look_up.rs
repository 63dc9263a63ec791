//! Look-ups of the writing process: memory first, then the index. An answer of the index must agree with the log.

use rusqlite::Connection;
use uuid::Uuid;

use super::index_state::IndexReader;
use super::rows::{self, Names};
use super::shared::Shared;
use crate::append::Receipt;
use crate::heads::StreamHead;
use crate::store::Error;

/// The receipt of a durable command. `fresh` means that the id is younger than everything in the index.
pub(super) fn receipt(
    shared: &Shared,
    index: &mut IndexReader,
    (log, names): (&Connection, &mut Names),
    id: Uuid,
    fresh: bool,
) -> Result<Option<Receipt>, Error> {
    let generation = shared.index.generation();
    // The tail first: entries that leave it are already in the index.
    let in_tail = shared.tail.command(id);
    let first = match in_tail {
        Some(first) => Some(first),
        None => index.look(&shared.index, shared.dir(), |look| look.command(id, fresh))?,
    };
    let Some(first) = first else {
        return Ok(None);
    };
    let receipt = rows::receipt(log, names, id, first)?;
    // Any damage of the log was reported before this point: the record there is a different, valid one.
    if receipt.is_none() && in_tail.is_none() {
        let what = format!("it has a command at position {first} that the log does not have there");
        shared.index.give_up(generation, &what);
        return Err(Error::Read(format!("the index is being rebuilt: {what}")));
    }
    if receipt.is_none() {
        let what = "the command that was written there is missing".into();
        return Err(Error::Damaged { position: first, what });
    }
    Ok(receipt)
}

/// The last event of a stream that is durable.
pub(super) fn head(shared: &Shared, index: &mut IndexReader, key: u128) -> Result<Option<StreamHead>, Error> {
    // The tail first: entries that leave it are already in the index.
    match shared.tail.head(key) {
        Some(head) => Ok(Some(head)),
        None => index.look(&shared.index, shared.dir(), |look| Ok(look.stream(key)?.map(|row| row.head))),
    }
}
