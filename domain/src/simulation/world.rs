//! The streams, the sagas on top of them, and how commands and records travel between them. Records reach sagas late and one batch at a
//! time; commands are sent again, and take effect once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use uuid::Uuid;

use super::provider::Provider;
use crate::command::StockCommand;
use crate::ids::{LocationId, OrderId, PaymentId, Sku, Tenant, derived};
use crate::laws::{Lawful, Watched, crossing};
use crate::order::Order;
use crate::order::state::Placed;
use crate::outcome::{self, Settled, Verdict};
use crate::payment::Payment;
use crate::payment::command::RecordOutcome;
use crate::saga::{self, Batch, Origin, PaymentSeen, Recorded, Saga, Trigger};
use crate::stock::Stock;
use crate::time::Timestamp;
use crate::{Aggregate, Command, Event, Refusal, order, payment, stream};

/// A stream, folded.
#[derive(Clone, Debug, Default)]
pub(super) struct Folded<A: Lawful> {
    pub(super) state: Watched<A>,
    pub(super) version: u64,
}

/// An event on its way to the sagas, with its order right after it.
struct Sent {
    recorded: Recorded,
    event_id: Uuid,
    correlation: Uuid,
    order: Option<Placed>,
}

/// What was recorded together.
struct Delivery {
    command_id: Uuid,
    at: Timestamp,
    sent: Vec<Sent>,
    payment: Option<PaymentSeen>,
}

pub(super) struct World {
    random: u64,
    pub(super) now: Timestamp,
    pub(super) orders: BTreeMap<OrderId, Folded<Order>>,
    pub(super) payments: BTreeMap<PaymentId, Folded<Payment>>,
    pub(super) stock: BTreeMap<(LocationId, Sku), Folded<Stock>>,
    holdings: BTreeMap<OrderId, crossing::Holdings>,
    history: BTreeMap<String, Vec<Recorded>>,
    sagas: BTreeMap<(String, Uuid), Saga>,
    taken: BTreeSet<Uuid>,
    /// Ids of orders that a shipment or a return has as well.
    pub(super) claimed: BTreeSet<Uuid>,
    /// What the wish that is made of some orders just now is called.
    pub(super) named: Uuid,
    deliveries: VecDeque<Delivery>,
    pub(super) provider: Provider,
    /// Everything that happened, in words.
    pub(super) told: Vec<String>,
    pub(super) ids: u128,
}

type Answer = Result<Vec<Sent>, (String, crate::Class, String, serde_json::Value)>;

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: seed,
            now: Timestamp::from_micros(1_000_000_000_000),
            orders: BTreeMap::new(),
            payments: BTreeMap::new(),
            stock: BTreeMap::new(),
            holdings: BTreeMap::new(),
            history: BTreeMap::new(),
            sagas: BTreeMap::new(),
            taken: BTreeSet::new(),
            claimed: BTreeSet::new(),
            named: Uuid::nil(),
            deliveries: VecDeque::new(),
            provider: Provider::default(),
            told: Vec::new(),
            ids: 0,
        }
    }

    /// A number below `bound` (SplitMix64).
    pub(super) fn roll(&mut self, bound: usize) -> usize {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % bound.max(1) as u64).unwrap()
    }

    pub(super) fn new_id(&mut self) -> Uuid {
        self.ids += 1;
        Uuid::from_u128(self.ids)
    }

    /// One thing happens somewhere.
    pub(super) fn moment(&mut self) {
        match self.roll(20) {
            0..=3 => self.somebody_asks(),
            4..=10 => self.deliver(),
            11..=16 => {
                self.dispatch_one();
            }
            17..=18 => {
                let (willing, silent) = (self.roll(6) > 0, self.roll(4) == 0);
                self.provider_answers(willing, silent);
            }
            _ => {
                self.fire();
            }
        }
    }

    /// Nobody asks for more, the provider answers, and time passes until nothing is left to wait for.
    pub(super) fn rest(&mut self) {
        for _ in 0..20_000 {
            let busy = if !self.deliveries.is_empty() {
                self.deliver();
                true
            } else if self.dispatch_one() {
                true
            } else if !self.provider.waiting.is_empty() {
                self.provider_answers(true, false);
                true
            } else {
                self.fire()
            };
            if !busy {
                return;
            }
        }
        panic!("it never comes to rest: {:?}", &self.told[self.told.len() - 40..]);
    }

    /// Sends what a saga asked for, sometimes what it was answered already. Whether there was something to send.
    fn dispatch_one(&mut self) -> bool {
        let pending: Vec<_> = self
            .sagas
            .values()
            .flat_map(|saga| {
                let correlation = saga.state().about.as_ref().unwrap().correlation;
                let asked = saga.pending().into_iter();
                asked.map(move |(id, command)| (id, correlation, command))
            })
            .filter(|(id, _, _)| !self.taken.contains(id))
            .collect();
        if pending.is_empty() {
            return false;
        }
        let (id, correlation, command) = pending[self.roll(pending.len())].clone();
        self.run(id, correlation, &command);
        true
    }

    fn provider_answers(&mut self, willing: bool, silent: bool) {
        if self.provider.waiting.is_empty() {
            return;
        }
        let at = self.roll(self.provider.waiting.len());
        let request = self.provider.waiting[at].clone();
        // A void that is refused for ever would be the provider's fault.
        let willing = willing || request.verb == payment::event::Verb::Void;
        let told: RecordOutcome = self.provider.answer(at, willing, silent);
        let order = self.payments[&request.payment_id].state.state().requested().unwrap().order_id;
        let command =
            Command::Payment { payment_id: request.payment_id, command: payment::Command::RecordOutcome(told) };
        let id = self.new_id();
        let refused = self.run(id, order.0, &command);
        assert_eq!(refused, None, "what the provider says is always taken");
    }

    /// Runs a command once. The refusal's code, if it was refused.
    pub(super) fn run(&mut self, id: Uuid, correlation: Uuid, command: &Command) -> Option<String> {
        if !self.taken.insert(id) {
            return None;
        }
        self.now = Timestamp::from_micros(self.now.micros() + 1_000);
        let answer = match command {
            Command::Order { order_id, command } => self.run_order(*order_id, command),
            Command::Payment { payment_id, command } => self.run_payment(*payment_id, command, correlation),
            Command::Inventory { stock, .. } => self.run_stock(stock, correlation),
        };
        self.told.push(format!("{command:?} => {}", summary(&answer)));
        let (sent, refused) = match answer {
            Ok(sent) if sent.is_empty() => (vec![settled(id, correlation, Verdict::NothingToDo)], None),
            Ok(sent) => (sent, None),
            Err((code, class, message, details)) => {
                let verdict = Verdict::Refused {
                    class,
                    code: code.clone(),
                    message,
                    details: details.as_object().cloned().unwrap_or_default(),
                };
                (vec![settled(id, correlation, verdict)], Some(code))
            }
        };
        let seen = sent.iter().find_map(|sent| match &sent.recorded.event {
            Event::Payment(_) => sent.recorded.stream.parse().ok().map(PaymentId),
            _ => None,
        });
        let payment = seen.map(|payment_id| self.seen(payment_id));
        let mut sent = sent;
        for (n, sent) in sent.iter_mut().enumerate() {
            sent.event_id = derived(id, &n.to_string());
        }
        self.deliveries.push_back(Delivery { command_id: id, at: self.now, sent, payment });
        refused
    }

    fn seen(&self, payment_id: PaymentId) -> PaymentSeen {
        let folded = &self.payments[&payment_id];
        PaymentSeen { payment_id, version: folded.version, payment: Arc::new(folded.state.state().clone()) }
    }

    fn run_order(&mut self, order_id: OrderId, command: &order::Command) -> Answer {
        let folded = self.orders.entry(order_id).or_default();
        let events = folded.state.state().decide(command).map_err(|refusal| no(&refusal))?;
        let mut sent = Vec::new();
        for event in events {
            assert_eq!(folded.state.fold(event.clone()), Ok(()), "{event:?}");
            folded.version += 1;
            let recorded = recorded(&stream::order(order_id).id, folded.version, Event::Order(event));
            self.history.entry(stream::order(order_id).id).or_default().push(recorded.clone());
            sent.push(Sent {
                recorded,
                event_id: Uuid::nil(),
                correlation: order_id.0,
                order: folded.state.state().placed().cloned(),
            });
        }
        assert_eq!(folded.state.end_batch(), Ok(()), "{command:?}");
        self.cross(order_id, true);
        Ok(sent)
    }

    fn run_payment(&mut self, id: PaymentId, command: &payment::Command, correlation: Uuid) -> Answer {
        let folded = self.payments.entry(id).or_default();
        let events = folded.state.state().decide(command).map_err(|refusal| no(&refusal))?;
        let mut sent = Vec::new();
        for event in events {
            assert_eq!(folded.state.fold(event.clone()), Ok(()), "{event:?}");
            folded.version += 1;
            self.provider.asked(id, &event);
            let recorded = recorded(&stream::payment(id).id, folded.version, Event::Payment(event.clone()));
            self.history.entry(stream::payment(id).id).or_default().push(recorded.clone());
            sent.push(Sent { recorded, event_id: Uuid::nil(), correlation, order: None });
        }
        assert_eq!(folded.state.end_batch(), Ok(()), "{command:?}");
        self.cross(OrderId(correlation), true);
        Ok(sent)
    }

    /// All of it or none.
    fn run_stock(&mut self, commands: &[StockCommand], correlation: Uuid) -> Answer {
        let mut decided = Vec::new();
        for command in commands {
            let key = (command.location.clone(), command.sku.clone());
            let folded = self.stock.entry(key.clone()).or_default();
            let events = folded.state.state().decide(&command.command).map_err(|refusal| no(&refusal))?;
            decided.push((key, events));
        }
        let mut sent = Vec::new();
        for (key, events) in decided {
            let folded = self.stock.get_mut(&key).unwrap();
            for event in events {
                assert_eq!(folded.state.fold(event.clone()), Ok(()), "{event:?}");
                folded.version += 1;
                let mut correlation = correlation;
                if let Some((crossing::Owner::Order(order_id), units)) = crossing::moved(&event) {
                    *self.holdings.entry(order_id).or_default().entry(key.clone()).or_default() += units;
                    correlation = order_id.0;
                }
                sent.push(Sent {
                    recorded: recorded(&stream::stock(&key.0, &key.1).id, folded.version, Event::Stock(event)),
                    event_id: Uuid::nil(),
                    correlation,
                    order: None,
                });
            }
            assert_eq!(folded.state.end_batch(), Ok(()));
        }
        self.cross(OrderId(correlation), true);
        Ok(sent)
    }

    fn cross(&self, order_id: OrderId, on_its_way: bool) {
        let order = self.orders.get(&order_id).map_or(Order::Absent, |it| it.state.state().clone());
        let of = |payment: &&Payment| payment.requested().is_some_and(|paid| paid.order_id == order_id);
        let payments: Vec<&Payment> = self.payments.values().map(|it| it.state.state()).filter(of).collect();
        let stock = self.holdings.get(&order_id).cloned().unwrap_or_default();
        let verdict = crossing::check(&order, &payments, &stock, on_its_way);
        if verdict.is_err() {
            let about = order_id.to_string();
            let told: Vec<_> = self.told.iter().filter(|told| told.contains(&about)).collect();
            panic!("{verdict:?}\n{told:#?}\n{:#?}", self.sagas_of(order_id));
        }
    }

    fn sagas_of(&self, order_id: OrderId) -> Vec<(&str, &saga::State)> {
        let sagas = self.sagas.iter();
        let of = sagas.filter(|(_, saga)| saga.state().about.as_ref().unwrap().correlation == order_id.0);
        of.map(|((kind, _), saga)| (kind.as_str(), saga.state())).collect()
    }

    /// The next batch reaches the sagas.
    fn deliver(&mut self) {
        let Some(delivery) = self.deliveries.pop_front() else {
            return;
        };
        let mut correlations: Vec<Uuid> = delivery.sent.iter().map(|sent| sent.correlation).collect();
        correlations.sort_unstable();
        correlations.dedup();
        for correlation in correlations {
            let of = || delivery.sent.iter().filter(|sent| sent.correlation == correlation);
            let batch = Batch {
                command_id: delivery.command_id,
                events: of().map(|sent| sent.recorded.clone()).collect(),
                payment: delivery.payment.clone(),
            };
            let started: Vec<_> = of().flat_map(|sent| start(sent, delivery.at, delivery.payment.as_ref())).collect();
            self.trigger(correlation, &batch);
            for started in started {
                let key = (started.kind.clone(), started.subject);
                let saga = self.sagas.entry(key).or_insert_with(|| {
                    let tenant = Tenant::try_new("t").unwrap();
                    Saga::begin(&tenant, started.clone(), delivery.at).unwrap().0
                });
                assert!(saga.is_started_by(&started), "a start is swallowed: {started:?}");
            }
        }
    }

    fn trigger(&mut self, correlation: Uuid, batch: &Batch) {
        for saga in self.sagas.values_mut() {
            if saga.state().about.as_ref().unwrap().correlation == correlation {
                let events = saga.react(Trigger::Recorded(batch), self.now);
                saga.evolve_all(&events);
            }
        }
    }

    /// The earliest timer fires. Whether there was one.
    fn fire(&mut self) -> bool {
        let timers = self.sagas.iter().filter(|(_, saga)| saga.state().ended.is_none());
        let earliest = timers
            .flat_map(|(key, saga)| {
                let timers = saga.state().timers.iter();
                timers.map(move |(timer, due_at)| (*due_at, key.clone(), timer.clone()))
            })
            .min();
        let Some((due_at, key, timer)) = earliest else {
            return false;
        };
        self.now = self.now.max(due_at);
        let saga = self.sagas.get_mut(&key).unwrap();
        let evidence = saga.evidence(&timer).map(|stream| Batch {
            command_id: Uuid::nil(),
            events: self.history.get(&stream.id).cloned().unwrap_or_default(),
            payment: stream.id.parse().ok().map(PaymentId).and_then(|payment_id| {
                let folded = self.payments.get(&payment_id)?;
                let payment = Arc::new(folded.state.state().clone());
                Some(PaymentSeen { payment_id, version: folded.version, payment })
            }),
        });
        let trigger = Trigger::Due { timer: &timer, due_at, evidence: evidence.as_ref() };
        let events = saga.react(trigger, self.now);
        saga.evolve_all(&events);
        true
    }

    /// Every order at rest, and whether something of it is parked; the laws of each are checked.
    pub(super) fn verdicts(&self) -> Vec<(&Placed, bool)> {
        let mut found = Vec::new();
        for (order_id, folded) in &self.orders {
            let open = self.sagas_of(*order_id).iter().any(|(_, saga)| saga.ended.is_none());
            self.cross(*order_id, open);
            found.extend(folded.state.state().placed().map(|order| (order, open)));
        }
        found
    }

    /// What should not be: sagas that wait for nothing, or for a person without having tried; payments whose book is not the provider's.
    pub(super) fn unfinished(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (key, saga) in &self.sagas {
            let state = saga.state();
            // A hold that nobody released stops a shipment for as long.
            let order = OrderId(state.about.as_ref().unwrap().correlation);
            let placed = self.orders.get(&order).and_then(|order| order.state.state().placed());
            let held = state.notes.contains_key("held") && placed.is_some_and(|order| !order.holds.is_empty());
            let tried = held || state.parked.as_ref().is_some_and(|it| it.reason == "retries_exhausted");
            if state.ended.is_none() && !tried {
                found.push(format!("{key:?}: {state:?}"));
            }
        }
        for (id, folded) in &self.payments {
            let Some(payment) = folded.state.state().requested() else {
                continue;
            };
            let book = self.provider.accounts.get(id).copied().unwrap_or_default();
            let ours = (payment.authorised, payment.captured, payment.refunded, payment.voided);
            if (book.authorised, book.captured, book.refunded, book.voided) != ours {
                found.push(format!("{book:?} and {payment:?}"));
            }
        }
        found
    }
}

fn start(sent: &Sent, at: Timestamp, payment: Option<&PaymentSeen>) -> Vec<saga::event::Started> {
    let recorded = &sent.recorded;
    if saga::may_start(&recorded.stream, &recorded.event).is_none() {
        return Vec::new();
    }
    let origin = Origin {
        stream: &recorded.stream,
        version: recorded.version,
        event_id: sent.event_id,
        recorded_at: at,
        event: &recorded.event,
    };
    saga::start(&origin, sent.order.as_ref(), payment)
}

fn recorded(stream: &str, version: u64, event: Event) -> Recorded {
    Recorded { stream: stream.into(), version, event }
}

fn settled(id: Uuid, correlation: Uuid, verdict: Verdict) -> Sent {
    let settled = Settled { verdict, rests_on: vec![] };
    Sent {
        recorded: recorded(&id.to_string(), 1, Event::Outcome(outcome::Event::Settled(settled))),
        event_id: Uuid::nil(),
        correlation,
        order: None,
    }
}

fn no(refusal: &impl Refusal) -> (String, crate::Class, String, serde_json::Value) {
    let details = serde_json::to_value(refusal).unwrap();
    (refusal.code().to_owned(), refusal.class(), refusal.to_string(), details)
}

fn summary(answer: &Answer) -> String {
    match answer {
        Ok(sent) => format!("{:?}", sent.iter().map(|sent| &sent.recorded.event).collect::<Vec<_>>()),
        Err((code, ..)) => format!("refused: {code}"),
    }
}
