//! Holds streams of a worker whose record cannot be read or applied: the other streams and models go on.

use event_store::record::Position;

use super::Worker;
use crate::batch::{Changed, Fault, Prepared, commit, standing_hash};
use crate::board::Stop;
use crate::held::{self, Held, HeldChange};
use crate::store::{Error, Slot};

impl Worker {
    /// Records that cannot be applied: several are taken one by one; of one the stream is held by the members that cannot apply it.
    pub(super) async fn falter(&mut self, fault: Fault, set: &[usize]) -> Result<(), Error> {
        self.engine_at = (0, Vec::new());
        let (last, one, failure) = match fault {
            Fault::Transient(error) => return Err(error),
            Fault::Unfit { last, one, failure, .. } => (last, one, failure),
        };
        let Some(record) = one else {
            // The rows come out right all the same, so that nothing else shows it.
            metrics::counter!("daybook_projection_batches_split_total").increment(1);
            tracing::warn!(
                projection.name = failure.model,
                position = last,
                reason = %failure.reason,
                "read models cannot apply a batch as a whole; it is retried record by record"
            );
            self.careful_to = last;
            return Ok(());
        };
        let mut work = Vec::new();
        for at in set {
            let model = &self.members[*at].model;
            let name = model.spec().name;
            let concerned = match failure.model {
                Some(failed) => failed == name,
                None => model.wants(&record.stream.category),
            };
            let mut changed = Changed::default();
            if concerned {
                tracing::error!(
                    projection.name = name,
                    position = record.position,
                    stream = %record.stream,
                    kind = %record.kind,
                    reason = %failure.reason,
                    "a read model cannot apply a record and holds its stream; upgrade, or run `daybook rebuild NAME`"
                );
                metrics::counter!("daybook_projection_unfit_records_total", "projection" => name).increment(1);
                changed.held.push(HeldChange::Hold(Held::at(&record, &failure.reason)));
            }
            work.push(changed);
        }
        // The members that can apply it get it again, now that the others skip it.
        let from = self.members[set[0]].position;
        let hash = standing_hash(&self.parts, from).await?;
        self.change(set, (from, hash), work).await
    }

    /// Commits changes that leave the checkpoints where they are.
    pub(super) async fn change(
        &mut self,
        set: &[usize],
        (at, hash): (Position, [u8; 32]),
        work: Vec<Changed>,
    ) -> Result<(), Error> {
        let held: Vec<_> = work.iter().map(|work| work.held.clone()).collect();
        let head = self.parts.log.head().borrow().position;
        let prepared = Prepared { from: at, to: at, hash, head, records: 0, work, unfinished: true };
        match commit(&self.parts, self.slot, &self.members, set, prepared).await {
            Err(Error::Lost(name)) if self.source.is_whole() => return self.lost(&name).await,
            committed => committed?,
        }
        for (at, held) in set.iter().zip(held) {
            self.hold(*at, &held).await?;
        }
        Ok(())
    }

    /// Takes over the committed changes of a member's held streams. A member that holds too many stops.
    pub(super) async fn hold(&mut self, at: usize, changes: &[HeldChange]) -> Result<(), Error> {
        if changes.is_empty() {
            return Ok(());
        }
        let member = &mut self.members[at];
        changes.iter().for_each(|change| held::change(&mut member.held, change));
        member.tell_held();
        let (name, held) = (member.model.spec().name, member.held.len());
        if self.slot == Slot::Live {
            self.parts.board.change(name, |status| status.held = held as u64);
        }
        if held <= held::MOST || member.stopped.is_some() {
            return Ok(());
        }
        let reason = format!("it holds more than {} streams: this version cannot read this log", held::MOST);
        tracing::error!(
            projection.name = name,
            reason,
            "a read model stops; run the version that wrote the log, see docs/operations.md, 'A record cannot be read'"
        );
        metrics::counter!("daybook_projection_stopped_total", "projection" => name).increment(1);
        metrics::gauge!("daybook_projection_stopped", member.labels()).set(1.0);
        let stop = Stop { position: member.position + 1, reason };
        member.stopped = Some(stop.clone());
        if self.slot == Slot::Live {
            self.parts.board.change(name, |status| status.stopped = Some(stop.clone()));
            match self.parts.rows.stop(name, member.partition, member.epoch, &stop).await {
                Err(Error::Lost(_)) if self.source.is_whole() => {}
                told => told?,
            }
        }
        Ok(())
    }
}
