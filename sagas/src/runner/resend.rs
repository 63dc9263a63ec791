//! Commands without an answer for a long time: either lost on their way, or answered where this runner could not see
//! it. The first are sent again with the same id, the answers of the second are processed again; a saga never waits for
//! an answer that is in the log. If the service made a command a dead letter, the saga is parked with the reason, so
//! that an operator sees it; the command is sent again at the next attempt.

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
    /// Sends commands again that have no answer for a long time and that the store does not have.
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
                // It was carried out: its answer will arrive through the feed, or has already passed.
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

    /// Processes an answer that the feed has passed and no saga took: another process sent the command, and this runner
    /// saw that only after the answer. Processing an answer twice changes nothing.
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
