//! The work during one term of the lease: from the checkpoint on, page by page, until it is cancelled or the lease is
//! lost. It pursues every request without an outcome; requests that an earlier process may have sent are queried first.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use domain::ids::{OrderId, Tenant};
use domain::saga::Recorded;
use domain::{Event, outcome, payment, stream};
use event_store::consumer::Checkpoint;
use event_store::leadership::Term;
use event_store::patience::{Patient, is_worth_waiting};
use event_store::record::{Position, Record, StreamId};
use event_store::{Error, EventStore, Feed, Filter, Page};
use streams::{Entry, Unreadable, Until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::intent::{self, Intent, IntentKey};
use super::pursue::Pursuit;
use super::{NAME, Options, Setting};
use crate::holds::Holds;
use crate::log::{decode, durable_head, groups, hash_at, tenant};
use crate::{Stopped, meters};

/// The form of the checkpoint's state.
const FORM: u8 = 1;
/// The form that begins with the payments that are held.
const FORM_WITH_HELD: u8 = 2;

/// For how many settled requests a late refusal is recognised: far more than the commands in flight to the payments
/// service.
const PAST: usize = 10_000;

/// A request that is not settled.
struct Open {
    position: Position,
    unknown: bool,
    /// `None` until it is being pursued.
    settled: Option<CancellationToken>,
    intent: Option<Box<Intent>>,
    /// The ids of the commands that record the outcome.
    outcomes: [Uuid; 3],
}

pub(super) struct Session {
    pursuit: Arc<Pursuit>,
    tracker: TaskTracker,
    options: Options,
    cancel: CancellationToken,
    term: Term,
    open: HashMap<IntentKey, Open>,
    outcomes: HashMap<Uuid, IntentKey>,
    /// The outcomes of requests that are settled, the oldest first.
    past: VecDeque<[Uuid; 3]>,
    /// Payments that nothing is pursued of: one of their records cannot be read. Each with its position.
    held: BTreeMap<StreamId, Position>,
    holds: Holds,
    /// Held payments of which a record has just been set aside.
    freed: Vec<StreamId>,
    /// The log up to here was written before this session: its requests may have been sent already.
    written_before: Position,
    position: Position,
    /// The hash there, if the record there was seen.
    hash: Option<[u8; 32]>,
    saved: Position,
    saved_at: Instant,
    state: Option<Bytes>,
}

impl Session {
    /// A session that continues from the current checkpoint.
    pub(super) async fn open(setting: &Setting, term: Term, cancel: CancellationToken) -> Result<Self, Error> {
        let options = setting.options.clone();
        let pulse = setting.pulse.clone();
        let store = Arc::new(Patient::new(setting.store.clone(), term.clone(), cancel.clone(), pulse));
        let row = store.consumer(&term.lease().key).await?;
        let checkpoint = row.map(|row| row.checkpoint).unwrap_or_default();
        let written_before = durable_head(store.as_ref()).await?;
        Ok(Self {
            pursuit: Arc::new(Pursuit::new(
                store,
                setting.gateway.clone(),
                setting.dispatch.clone(),
                options.clone(),
                term.clone(),
                cancel.clone(),
            )),
            tracker: setting.tracker.clone(),
            options,
            cancel,
            term,
            open: HashMap::new(),
            outcomes: HashMap::new(),
            past: VecDeque::new(),
            held: BTreeMap::new(),
            holds: setting.holds.clone(),
            freed: Vec::new(),
            written_before,
            position: checkpoint.position,
            hash: Some(checkpoint.hash),
            saved: checkpoint.position,
            saved_at: Instant::now(),
            state: Some(checkpoint.state),
        })
    }

    pub(super) async fn run(&mut self, feed: &mut dyn Feed, cancel: &CancellationToken) -> Result<(), Stopped> {
        self.reopen().await?;
        feed.seek(self.position);
        let term = self.term.clone();
        while !cancel.is_cancelled() {
            let chore = self.saved_at + self.options.save_every;
            tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                () = term.ended() => return Err(Error::LeaseLost.into()),
                page = feed.next(self.options.page) => self.page(&page?),
                () = tokio::time::sleep_until(chore.into()) => {}
            }
            for stream in std::mem::take(&mut self.freed) {
                self.release(&stream).await?;
            }
            if self.position >= self.written_before {
                self.pursue_all();
            }
            self.chores().await?;
        }
        self.save().await
    }

    /// The requests that were open at the checkpoint.
    async fn reopen(&mut self) -> Result<(), Stopped> {
        let mut state = self.state.take().unwrap_or_default();
        if state.is_empty() {
            return Ok(());
        }
        let held = match state.get_u8() {
            FORM => 0,
            FORM_WITH_HELD => state.try_get_u32().unwrap_or(0),
            _ => {
                tracing::warn!("the checkpoint is not understood; all of the log is read again, nothing to do");
                (self.position, self.hash, self.saved) = (0, Some([0; 32]), 0);
                return Ok(());
            }
        };
        for _ in 0..held {
            let Ok(position) = state.try_get_u64() else { break };
            let page = self.pursuit.store.read_log(position.saturating_sub(1), &Filter::default(), 1).await?;
            if let Some(record) = page.records.iter().find(|it| it.position == position) {
                self.held.insert(record.stream.clone(), position);
            }
        }
        while let Ok(position) = state.try_get_u64() {
            let page = self.pursuit.store.read_log(position - 1, &Filter::default(), 1).await?;
            let records: Vec<_> = page.records.into_iter().collect();
            for group in groups(&records) {
                let Some(tenant) = group.records.first().and_then(tenant) else {
                    continue;
                };
                let asked = group.records.iter().find(|it| it.position == position);
                if let Some((record, recorded)) = asked.and_then(|it| Some((it, decode(it)?)))
                    && let Some(intent) = Intent::of(&tenant, record, &recorded)
                {
                    self.asked(intent);
                }
            }
        }
        for stream in self.held.keys().cloned().collect::<Vec<_>>() {
            self.release(&stream).await?;
        }
        self.holds.set(NAME, None, self.held.len());
        Ok(())
    }

    /// Stops pursuing a payment from an unreadable record on: its requests may be settled there.
    fn hold(&mut self, record: &Record, unreadable: &Unreadable) {
        crate::log::unreadable(unreadable, NAME);
        self.held.insert(record.stream.clone(), record.position);
        self.forget(&record.stream);
        self.holds.set(NAME, None, self.held.len());
    }

    /// Pursues nothing of a payment any longer.
    fn forget(&mut self, stream: &StreamId) {
        let of = |key: &IntentKey| *stream.id == *key.payment_id.to_string() && *stream.tenant == *key.tenant.as_str();
        let keys: Vec<_> = self.open.keys().filter(|key| of(key)).cloned().collect();
        keys.iter().for_each(|key| self.settled(key));
    }

    /// Takes up a payment again if all of it can be read: its requests without an outcome. The provider is queried
    /// first.
    async fn release(&mut self, stream: &StreamId) -> Result<(), Stopped> {
        let entries = match streams::entries(self.pursuit.store.as_ref(), stream, Until::End).await {
            Ok(entries) => entries,
            Err(streams::Error::Store(error)) => return Err(error.into()),
            Err(streams::Error::Unreadable(_)) => return Ok(()),
        };
        if self.held.remove(stream).is_none() {
            return Ok(());
        }
        self.holds.set(NAME, None, self.held.len());
        self.forget(stream);
        self.written_before = self.written_before.max(self.position);
        for Entry { record, event } in entries {
            if let (Some(event), Some(tenant), true) = (event, tenant(&record), record.position <= self.position) {
                let recorded = Recorded { stream: record.stream.id.clone(), version: record.version, event };
                self.happened(&tenant, &record, &recorded);
            }
        }
        Ok(())
    }

    fn asked(&mut self, intent: Intent) {
        let key = intent.key.clone();
        let outcomes = intent.outcome_ids();
        for outcome in outcomes {
            self.outcomes.insert(outcome, key.clone());
        }
        self.open.entry(key).or_insert(Open {
            position: intent.position,
            unknown: false,
            settled: None,
            outcomes,
            intent: Some(Box::new(intent)),
        });
    }

    fn page(&mut self, page: &Page) {
        for group in groups(&page.records) {
            let Some(tenant) = group.records.first().and_then(tenant) else {
                continue;
            };
            for record in group.records {
                let of_payment = &*record.stream.category == stream::PAYMENT;
                if !of_payment && !self.outcomes.contains_key(&group.command_id) {
                    continue;
                }
                if self.held.contains_key(&record.stream) {
                    if streams::sets_aside(record).is_some() {
                        self.freed.push(record.stream.clone());
                    }
                    continue;
                }
                match streams::decode(record) {
                    Ok(read) => {
                        let (stream, version) = (record.stream.id.clone(), record.version);
                        self.happened(&tenant, record, &Recorded { stream, version, event: read.event });
                    }
                    Err(unreadable) if of_payment => self.hold(record, &unreadable),
                    // The outcome is offered again until the payment says that it has it.
                    Err(unreadable) => crate::log::unreadable(&unreadable, NAME),
                }
            }
        }
        if page.next > self.position {
            let last = page.records.last();
            let last = last.filter(|last| last.position == page.next);
            (self.position, self.hash) = (page.next, last.map(|last| last.hash));
        }
    }

    fn happened(&mut self, tenant: &Tenant, record: &Record, recorded: &Recorded) {
        match &recorded.event {
            Event::Payment(event) => {
                if let Some(intent) = Intent::of(tenant, record, recorded) {
                    self.asked(intent);
                } else if let Some(key) = intent::settled(tenant, record, event) {
                    self.settled(&key);
                } else if let payment::Event::OutcomeUnknown(unknown) = event {
                    let key = intent::key(tenant, record, unknown.verb);
                    if let Some(open) = key.and_then(|key| self.open.get_mut(&key)) {
                        open.unknown = true;
                    }
                }
            }
            Event::Outcome(outcome::Event::Settled(settled)) => {
                self.outcome_settled(record, record.command_id, &settled.verdict);
            }
            _ => {}
        }
    }

    fn settled(&mut self, key: &IntentKey) {
        let Some(open) = self.open.remove(key) else {
            return;
        };
        // The worker's last record command may still be refused, because another one was faster.
        self.past.push_back(open.outcomes);
        if self.past.len() > PAST
            && let Some(forgotten) = self.past.pop_front()
        {
            for outcome in forgotten {
                self.outcomes.remove(&outcome);
            }
        }
        if let Some(settled) = open.settled {
            settled.cancel();
        }
    }

    /// The payment refused the provider's outcome, because it was settled differently before. The provider is not asked
    /// again, and the order gets a note about it.
    fn outcome_settled(&mut self, record: &Record, command_id: Uuid, verdict: &outcome::Verdict) {
        let Some(key) = self.outcomes.get(&command_id).cloned() else {
            return;
        };
        let outcome::Verdict::Refused { code, message, .. } = verdict else { return };
        meters::refused_outcome();
        tracing::error!(
            payment = %key.payment_id,
            code,
            message,
            "a payment refuses the provider's answer; see docs/operations.md, 'The provider contradicts a payment'"
        );
        if self.open.get(&key).is_some_and(|open| open.outcomes.contains(&command_id)) {
            self.settled(&key);
        }
        let order = OrderId(crate::log::correlation(record));
        let text = format!(
            "Payment {}: the provider's answer about {} was refused ({code}: {message}). Compare it with the provider's books.",
            key.payment_id,
            key.word()
        );
        self.tracker.spawn(self.pursuit.clone().note(key.tenant, order, command_id, text));
    }

    /// Starts to pursue all open requests that are not pursued yet.
    fn pursue_all(&mut self) {
        for open in self.open.values_mut().filter(|it| it.settled.is_none()) {
            let Some(intent) = open.intent.take() else {
                continue;
            };
            let settled = self.cancel.child_token();
            open.settled = Some(settled.clone());
            let sent_before = open.position <= self.written_before;
            let pursuit = self.pursuit.clone();
            let unknown = open.unknown;
            self.tracker.spawn(pursuit.run(*intent, sent_before, unknown, settled));
        }
    }

    async fn chores(&mut self) -> Result<(), Stopped> {
        let now = Instant::now();
        self.term.check()?;
        if now - self.saved_at >= self.options.save_every {
            let unknown = self.open.values().filter(|open| open.unknown).count();
            meters::payments(self.open.len(), unknown);
            let head = self.pursuit.store.head().borrow().position;
            meters::position(NAME, self.position, head);
            self.save().await?;
        }
        Ok(())
    }

    async fn save(&mut self) -> Result<(), Stopped> {
        self.saved_at = Instant::now();
        if self.position == self.saved {
            return Ok(());
        }
        let mut state = BytesMut::with_capacity(1 + self.open.len() * 8);
        if self.held.is_empty() {
            state.put_u8(FORM);
        } else {
            state.put_u8(FORM_WITH_HELD);
            state.put_u32(u32::try_from(self.held.len()).unwrap_or(u32::MAX));
            self.held.values().for_each(|position| state.put_u64(*position));
        }
        for open in self.open.values() {
            state.put_u64(open.position);
        }
        let hash = match self.hash {
            Some(hash) => Some(hash),
            None => hash_at(self.pursuit.store.as_ref(), self.position).await?,
        };
        let Some(hash) = hash else {
            tracing::error!(
                position = self.position,
                "the feed is ahead of the log, so no checkpoint is saved; check that the log was not replaced by an \
                 older copy"
            );
            return Ok(());
        };
        self.hash = Some(hash);
        let checkpoint = Checkpoint { position: self.position, hash, state: state.freeze() };
        match self.pursuit.store.save(self.term.lease(), checkpoint).await {
            Ok(()) => self.saved = self.position,
            // The older checkpoint stays true: more is read again after a restart, and nothing is lost.
            Err(error) if is_worth_waiting(&error) => {
                meters::unsaved();
                tracing::warn!(
                    %error,
                    position = self.position,
                    "the checkpoint of payments cannot be saved now; it is retried"
                );
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}
