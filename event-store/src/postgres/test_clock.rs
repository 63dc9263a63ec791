//! Advances the clock of a store that was made for a test. The offset is in the head's row, which every writer locks,
//! so nothing is recorded by the old time after a caller has received the new one.

use std::sync::Arc;

use sqlx::{Postgres, Row};

use super::connect::within;
use super::consumers::run;
use super::shared::Shared;
use crate::clock::MOST_AHEAD;
use crate::record::Micros;
use crate::store::Error;

const ADVANCE: &str = "UPDATE daybook.head SET ahead_us = ahead_us + $1 WHERE ahead_us + $1 <= $2 RETURNING ahead_us";

/// Advances the clock and returns the new offset.
pub(super) async fn advance(shared: &Arc<Shared>, by: Micros) -> Result<Micros, Error> {
    shared.clock.ahead.check(by)?;
    let task = Arc::clone(shared);
    let work = async move {
        let mut lent = task.pool.lend().await?;
        let row = sqlx::query::<Postgres>(ADVANCE).bind(by).bind(MOST_AHEAD).fetch_optional(&mut *lent);
        let row = within(task.options.answer, row).await;
        lent.after(&row);
        row?.map(|row| row.try_get::<Micros, _>(0)).transpose()
    };
    // Others may have advanced it meanwhile.
    let ahead = run(shared, work)
        .await?
        .ok_or_else(|| Error::Never("the clock would be ahead by more than a century".into()))?;
    shared.clock.ahead.learn(Some(ahead));
    // Other processes read the head's row when they are notified.
    shared.moved.notify_one();
    Ok(ahead)
}
