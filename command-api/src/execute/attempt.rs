//! One attempt: lock, decide, queue the batch at the store, fold, unlock, wait until it is durable. No answer leaves
//! this file before all records that it depends on are durable.

use std::sync::Arc;

use domain::outcome;
use domain::time::Timestamp;
use event_store::Filter;
use event_store::append::{Batch, NewEvent, Outcome, Pending, Receipt};
use event_store::record::StreamId;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use tokio::sync::MutexGuard;
use uuid::Uuid;

use super::afloat::{Afloat, Written};
use super::batch::{self, Decided};
use super::cache::Slot;
use super::done::{Done, Verdict};
use super::error::Error;
use super::load::Held;
use super::plan::{Answer, Facts, Plan, Step};
use super::react::{self, Asker, Reaction};
use super::{Expected, Inner, Request, follows, refuse};

/// How many streams are read at a time for one command: more would keep other commands from reading.
pub(super) const READS: usize = 8;

/// A command, with its streams in the order in which they are locked.
pub(super) struct Work<'a> {
    pub(super) request: &'a Request,
    pub(super) plan: &'a Plan,
    pub(super) parts: Vec<Part<'a>>,
}

pub(super) struct Part<'a> {
    /// Its place in the plan.
    at: usize,
    pub(super) step: &'a Step,
    pub(super) stream: StreamId,
}

impl<'a> Work<'a> {
    /// # Errors
    /// If the plan is empty, names a stream twice, or has a command that its stream does not accept.
    pub(super) fn try_new(request: &'a Request, plan: &'a Plan) -> Result<Self, Error> {
        if let Some(wrong) = &plan.wrong {
            return Err(Error::Plan(wrong.clone()));
        }
        let mut parts: Vec<Part<'a>> = plan
            .steps
            .iter()
            .enumerate()
            .map(|(at, step)| Part { at, step, stream: request.stream_id(&step.stream) })
            .collect();
        parts.sort_by(|a, b| a.stream.cmp(&b.stream));
        if parts.is_empty() {
            return Err(Error::Plan("it asks nothing".to_owned()));
        }
        if let Some(twice) = parts.windows(2).find(|pair| pair[0].stream == pair[1].stream) {
            let stream = &twice[0].stream;
            return Err(Error::Plan(format!("it asks {stream} twice")));
        }
        if let Some((stream, _)) = &request.if_match
            && !plan.steps.iter().any(|step| step.stream == *stream)
        {
            return Err(Error::Plan("it names the version of a stream that it asks nothing of".to_owned()));
        }
        Ok(Self { request, plan, parts })
    }

    fn decide(&self, held: &[MutexGuard<'_, Held>]) -> Result<Decision, Error> {
        if let Some((stream, expected)) = &self.request.if_match {
            let actual = self
                .parts
                .iter()
                .zip(held)
                .find(|(part, _)| part.step.stream == *stream)
                .map_or(0, |(_, held)| held.version);
            let met = match expected {
                Expected::Exists => actual != 0,
                Expected::Version(version) => actual != 0 && actual == *version,
            };
            if !met {
                return Ok(Decision::Settle(refuse::stale(*expected, actual).into()));
            }
        }
        let mut parts = self.parts.iter().zip(held);
        if parts.any(|(part, held)| part.step.made_at.is_some_and(|version| version != held.version)) {
            return Err(Error::Outdated);
        }
        let mut facts = Vec::with_capacity(held.len());
        let mut refused = Vec::new();
        for (part, held) in self.parts.iter().zip(held) {
            match part.step.ask.decide(&*held.fold)? {
                Answer::Facts(happened) => facts.push(Some(happened)),
                Answer::Nothing => facts.push(None),
                Answer::Refused(refusal) => refused.push((part.at, refusal)),
            }
        }
        refused.sort_by_key(|(at, _)| *at);
        let refused = refused.into_iter().map(|(_, refusal)| refusal).collect();
        Ok(match refuse::combine(refused) {
            Some(refusal) => Decision::Settle(refusal.into()),
            None if facts.iter().all(Option::is_none) => Decision::Settle(outcome::Verdict::NothingToDo),
            None => Decision::Apply(facts),
        })
    }
}

pub(super) enum Decision {
    /// This happens, stream by stream.
    Apply(Vec<Option<Box<dyn Facts>>>),
    /// Nothing happens.
    Settle(outcome::Verdict),
}

/// The result of an attempt.
pub(super) enum Attempt {
    /// It is done.
    Done(Done),
    /// The cached state was stale: retry.
    Again,
}

/// A batch on the queue.
struct Sent {
    /// The id of its first event.
    first: Option<Uuid>,
    pending: Pending,
    /// What the store said of it at once, if it did.
    early: Option<Result<Outcome, event_store::Error>>,
}

/// The result of a batch.
enum Landed {
    /// It is in the log.
    Now(Receipt),
    /// It had been in the log before.
    Before {
        /// What the store has of it.
        receipt: Receipt,
        /// Whether an earlier equal request wrote it, and not this one.
        replayed: bool,
    },
    /// It is not.
    Not,
}

impl Inner {
    pub(super) async fn attempt(self: &Arc<Self>, work: &Work<'_>, earlier: u32) -> Result<Attempt, Error> {
        let heads = self.heads(work).await?;
        let slots = self.slots(work, earlier == 0 && !work.request.dry_run).await?;
        let asked_by = self.asker(work).await?;
        let mut held = Vec::with_capacity(slots.len());
        let mut asker = None;
        // All streams in one order, the saga's among them: so no two commands wait for each other.
        for (slot, part) in slots.iter().zip(&work.parts) {
            if asker.is_none()
                && let Some(slot) = asked_by.as_ref().filter(|asked_by| asked_by.stream < part.stream)
            {
                asker = Some(Asker { slot, held: slot.lock().await });
            }
            held.push(slot.lock().await);
        }
        if let (None, Some(slot)) = (&asker, &asked_by) {
            asker = Some(Asker { slot, held: slot.lock().await });
        }
        if slots.iter().chain(&asked_by).any(|slot| slot.is_discarded()) {
            return Ok(Attempt::Again);
        }
        let behind = |at: usize| held[at].is_behind(heads[at]);
        if let Some(at) = (0..heads.len()).find(|at| behind(*at)) {
            self.cache.discard(&slots[at]);
            return Ok(Attempt::Again);
        }
        if work.request.while_asked && !asker.as_mut().is_some_and(|asker| asker.waits_for(work.request)) {
            return Err(Error::NotAsked);
        }
        let decision = work.decide(&held)?;
        if work.request.dry_run {
            return self.rehearse(work, &slots, held, decision).await;
        }
        match decision {
            Decision::Apply(facts) => self.apply(work, &slots, held, facts, asker, earlier == 0).await,
            Decision::Settle(verdict) => self.settle(work, &slots, held, verdict, asker).await,
        }
    }

    /// The slots of a command's streams, loaded. At first a stream that begins with the command is taken for empty and not looked for: if it
    /// is not, the batch conflicts, and the next attempt reads it.
    async fn slots(&self, work: &Work<'_>, first: bool) -> Result<Vec<Arc<Slot>>, Error> {
        let slots: Vec<Arc<Slot>> = work.parts.iter().map(|part| self.cache.slot(&part.stream, part.step.of)).collect();
        let begun =
            slots.iter().zip(&work.parts).filter(|(slot, part)| first && part.step.begins && slot.begin()).count();
        let absent: Vec<Arc<Slot>> = slots.iter().filter(|slot| !slot.is_loaded()).cloned().collect();
        self.metrics.looked_up(slots.len(), absent.len(), begun);
        stream::iter(absent)
            .map(|slot| async move { slot.load(&*self.store).await })
            .buffer_unordered(READS)
            .try_collect::<()>()
            .await?;
        self.cache.trim();
        Ok(slots)
    }

    async fn apply(
        self: &Arc<Self>,
        work: &Work<'_>,
        slots: &[Arc<Slot>],
        mut held: Vec<MutexGuard<'_, Held>>,
        facts: Vec<Option<Box<dyn Facts>>>,
        mut asker: Option<Asker<'_>>,
        first: bool,
    ) -> Result<Attempt, Error> {
        let mut decided = Vec::with_capacity(held.len());
        for ((part, held), facts) in work.parts.iter().zip(&held).zip(&facts) {
            decided.push(Decided {
                stream: &part.stream,
                held,
                events: match facts {
                    Some(facts) => {
                        let events = facts.stored()?;
                        follows::fit(&part.stream, &*held.fold, &**facts, &events)?;
                        events
                    }
                    None => Vec::new(),
                },
            });
        }
        let mut batch = batch::applied(work.request, decided);
        let written: Vec<_> = batch.writes.iter().map(|write| written(&write.events)).collect();
        let (happening, at) = (react::happening(work, &held, &facts, &batch), self.decided_at());
        let begins = first && self.options.reactions;
        let begun = if begins { self.beginnings(work, &held, &happening, at) } else { Vec::new() };
        let Some(mut reactions) =
            react::add(work, &mut asker, &begun, &happening, at, self.follow_ups.carries_out_all(), &mut batch)
        else {
            return Ok(Attempt::Again);
        };
        let announced = reactions.iter().any(Reaction::asks).then(|| self.store.announce()).flatten();
        let sent = self.send(work, batch);
        let mut afloat = Afloat::new(self);
        if matches!(sent.early, None | Some(Ok(Outcome::Appended(_)))) {
            for (at, facts) in facts.iter().enumerate() {
                if let (Some(facts), Some(written)) = (facts, written[at]) {
                    afloat.fold(&slots[at], &mut held[at], &**facts, written);
                }
            }
            reactions.iter_mut().for_each(|reaction| reaction.fold(&mut afloat));
            self.follow_up(reactions.iter_mut().flat_map(|reaction| reaction.follow_ups(work.request)).collect());
        }
        drop(announced);
        let reacted: Vec<Arc<Slot>> = reactions.into_iter().map(|reaction| Arc::clone(reaction.slot)).collect();
        let mut streams = Vec::new();
        let mut states = Vec::new();
        for ((part, held), facts) in work.parts.iter().zip(&held).zip(&facts) {
            if facts.is_some() || (part.step.shown && held.version > 0) {
                streams.push((part.step.stream.clone(), held.version));
                if part.step.shown {
                    states.push((part.step.stream.clone(), held.fold.shown()));
                }
            }
        }
        drop((held, asker));
        match self.land(work, (slots, &reacted), sent, afloat).await? {
            Landed::Now(receipt) => Ok(Attempt::Done(Done {
                verdict: Verdict::Applied,
                command_id: receipt.command_id,
                position: receipt.last_position,
                recorded_at: Timestamp::from_micros(receipt.recorded_at),
                replayed: false,
                streams: sorted(streams),
                events: Vec::new(),
                states,
            })),
            Landed::Before { receipt, replayed } => self.again(work, &receipt, replayed).await,
            Landed::Not => Ok(Attempt::Again),
        }
    }

    async fn settle(
        self: &Arc<Self>,
        work: &Work<'_>,
        slots: &[Arc<Slot>],
        held: Vec<MutexGuard<'_, Held>>,
        verdict: outcome::Verdict,
        mut asker: Option<Asker<'_>>,
    ) -> Result<Attempt, Error> {
        let looked_at: Vec<_> =
            work.parts.iter().zip(&held).map(|(part, held)| (&part.step.stream, &part.stream, &**held)).collect();
        let (mut batch, event) = batch::settled(work.request, verdict.clone(), &looked_at)?;
        let happening = react::settled(work, event, &batch);
        let carried_out = self.follow_ups.carries_out_all();
        let Some(mut reactions) =
            react::add(work, &mut asker, &[], &happening, self.decided_at(), carried_out, &mut batch)
        else {
            return Ok(Attempt::Again);
        };
        let announced = reactions.iter().any(Reaction::asks).then(|| self.store.announce()).flatten();
        let sent = self.send(work, batch);
        let mut afloat = Afloat::new(self);
        if matches!(sent.early, None | Some(Ok(Outcome::Appended(_)))) {
            reactions.iter_mut().for_each(|reaction| reaction.fold(&mut afloat));
            self.follow_up(reactions.iter_mut().flat_map(|reaction| reaction.follow_ups(work.request)).collect());
        }
        drop(announced);
        let reacted: Vec<Arc<Slot>> = reactions.into_iter().map(|reaction| Arc::clone(reaction.slot)).collect();
        let mut streams = Vec::with_capacity(held.len());
        let mut states = Vec::new();
        for (part, held) in work.parts.iter().zip(&held) {
            streams.push((part.step.stream.clone(), held.version));
            if part.step.shown {
                states.push((part.step.stream.clone(), held.fold.shown()));
            }
        }
        drop((held, asker));
        match self.land(work, (slots, &reacted), sent, afloat).await? {
            Landed::Now(receipt) => Ok(Attempt::Done(Done {
                verdict: verdict.into(),
                command_id: receipt.command_id,
                position: receipt.last_position,
                recorded_at: Timestamp::from_micros(receipt.recorded_at),
                replayed: false,
                streams: sorted(streams),
                events: Vec::new(),
                states,
            })),
            Landed::Before { receipt, replayed } => self.again(work, &receipt, replayed).await,
            Landed::Not => Ok(Attempt::Again),
        }
    }

    async fn again(&self, work: &Work<'_>, receipt: &Receipt, replayed: bool) -> Result<Attempt, Error> {
        let mut done = self.replay(&work.request.tenant, Some(work.plan), receipt).await?;
        done.replayed = replayed;
        Ok(Attempt::Done(done))
    }

    /// Queues the batch. A batch that the store refused at once is not folded.
    fn send(&self, work: &Work<'_>, batch: Batch) -> Sent {
        let first = batch.writes.iter().flat_map(|write| &write.events).map(|event| event.event_id).next();
        let mut pending = self.store.append(batch);
        if work.request.while_asked {
            self.follow_ups.queued(work.request.command_id);
        }
        let early = (&mut pending).now_or_never();
        Sent { first, pending, early }
    }

    /// Waits for the batch. If it was not written, the folds ahead of it are discarded.
    async fn land(
        &self,
        work: &Work<'_>,
        (slots, reacted): (&[Arc<Slot>], &[Arc<Slot>]),
        sent: Sent,
        afloat: Afloat<'_>,
    ) -> Result<Landed, Error> {
        let Sent { first, pending, early } = sent;
        let outcome = match early {
            Some(outcome) => outcome,
            None => pending.await,
        };
        if let Ok(Outcome::Appended(receipt)) = outcome {
            afloat.landed();
            return Ok(Landed::Now(receipt));
        }
        drop(afloat);
        match outcome {
            Ok(Outcome::Appended(receipt)) => Ok(Landed::Now(receipt)),
            Ok(Outcome::AlreadyAppended(receipt)) => Ok(Landed::Before { receipt, replayed: true }),
            Ok(Outcome::CommandIdReused(_)) => Err(Error::KeyReused),
            Ok(Outcome::Conflict { stream, .. }) => {
                self.metrics.conflict();
                for slot in slots.iter().chain(reacted).filter(|slot| slot.stream == stream) {
                    self.cache.discard(slot);
                }
                Ok(Landed::Not)
            }
            Err(event_store::Error::Unknown(why)) => self.resolve(work, first, why).await,
            Err(error) => Err(error.into()),
        }
    }

    /// Asks the store for the outcome of a batch that it did not report. The answer takes all appends in flight into
    /// account. What is there may be the batch of an earlier equal request: the events have other ids then.
    async fn resolve(&self, work: &Work<'_>, first: Option<Uuid>, why: String) -> Result<Landed, Error> {
        let receipt = match self.store.command(work.request.command_id).await {
            Ok(Some(receipt)) if receipt.fingerprint == work.request.fingerprint => receipt,
            Ok(Some(_)) => return Err(Error::KeyReused),
            Ok(None) => return Ok(Landed::Not),
            Err(_) => return Err(Error::Unknown(why)),
        };
        // The first event of a batch is the first of its records.
        match self.store.read_log(receipt.first_position.saturating_sub(1), &Filter::default(), 1).await {
            Ok(page) => {
                let there = page.records.first().map(|record| record.event_id);
                Ok(Landed::Before { receipt, replayed: there != first })
            }
            Err(_) => Err(Error::Unknown(why)),
        }
    }
}

fn written(events: &[NewEvent]) -> Option<Written> {
    let last = events.last()?.event_id;
    let bytes = events.iter().map(|event| event.data.len()).sum();
    Some(Written { count: events.len(), last, bytes })
}

/// In order of category and id, as a replay finds them too.
pub(super) fn sorted<T: Ord>(mut list: Vec<T>) -> Vec<T> {
    list.sort();
    list
}
