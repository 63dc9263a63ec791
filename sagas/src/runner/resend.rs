//! Commands that were not answered for long: lost on their way, or answered where this runner could not see it. The first are sent
//! again with the same id, the second are heard once more; a saga never waits for what is in the log already. Of one that its service
//! put aside the saga is told, so that a person hears of it; if nothing came of that it is sent again the next time.

use std::time::Instant;

use domain::time::Timestamp;
use event_store::Filter;
use event_store::append::Receipt;
use uuid::Uuid;

use super::index::Overdue;
use super::outbox::Undeliverable;
use super::session::Session;
use crate::log::Group;
use crate::{Stopped, meters};

/// Commands that are sent again at once.
const RESENDING: usize = 512;

impl Session {
    /// Sends again what was not answered for long, if the store has not got it.
    pub(super) async fn resend(&mut self) -> Result<(), Stopped> {
        let Some(before) = Instant::now().checked_sub(self.options.resend_after) else {
            return Ok(());
        };
        if self.outbox.shared().is_full() {
            return Ok(());
        }
        for overdue in self.index.overdue(before, RESENDING) {
            let Overdue { command_id, key, since } = overdue;
            if let Some(receipt) = self.store.command(command_id).await? {
                // It was carried out: its answer comes through the feed, or has come and passed by.
                if receipt.last_position <= self.position {
                    self.hear_again(command_id, &receipt).await?;
                }
                continue;
            }
            let Some(loaded) = self.find(&key).await? else {
                self.index.answered(command_id);
                continue;
            };
            let asked = loaded.saga.pending().into_iter();
            let letter =
                asked.filter(|(id, _)| *id == command_id).find_map(|(id, command)| self.letter(&key, id, command, id));
            match letter {
                None => self.index.answered(command_id),
                Some(letter) => match self.outbox.put_aside(&letter, since).await {
                    Some(detail) => {
                        let told = Undeliverable { key: letter.key, command_id, detail };
                        self.tell_undeliverable(told).await?;
                    }
                    None => {
                        self.term.check()?;
                        meters::resent();
                        self.outbox.send(letter);
                    }
                },
            }
        }
        Ok(())
    }

    /// An answer that the feed has passed and no saga took: it was asked for by somebody else, whose writing this runner saw only
    /// after the answer. What was heard already changes nothing.
    pub(super) async fn hear_again(&mut self, command_id: Uuid, receipt: &Receipt) -> Result<(), Stopped> {
        let length = receipt.last_position + 1 - receipt.first_position;
        let page = self
            .store
            .read_log(receipt.first_position - 1, &Filter::default(), usize::try_from(length).unwrap_or(usize::MAX))
            .await?;
        let records: Vec<_> = page.records.into_iter().filter(|record| record.command_id == command_id).collect();
        let group = Group { records: &records, command_id, recorded_at: Timestamp::from_micros(receipt.recorded_at) };
        let mut flights = Vec::new();
        self.group(&group, &mut flights).await?;
        self.settle(flights).await
    }
}
