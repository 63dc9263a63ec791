//! Commands take effect: once, all parts of a plan or none, with the laws checked after every event.

use std::sync::Arc;

use uuid::Uuid;

use super::wishes::Plan;
use super::world::{Delivery, Sent, World};
use crate::command::StockCommand;
use crate::ids::{OrderId, PaymentId, ReservationId, derived};
use crate::laws::crossing;
use crate::order::Order;
use crate::outcome::{self, Settled, Verdict};
use crate::payment::Payment;
use crate::saga::{self, PaymentSeen, Recorded};
use crate::time::Timestamp;
use crate::{Aggregate, Command, Event, Refusal, order, payment, reservation, stream};

/// A refusal in parts.
pub(super) type No = (String, crate::Class, String, serde_json::Value);
pub(super) type Answer = Result<Vec<Sent>, No>;

impl World {
    /// Runs a command once. The refusal's code, if it was refused.
    pub(super) fn run(&mut self, id: Uuid, correlation: Uuid, command: &Command) -> Option<String> {
        match command {
            Command::Order { order_id, command } => self.run_plan(id, &Plan::of(*order_id, command.clone())),
            Command::Payment { payment_id, command } => {
                let plan = Plan { orders: Vec::new(), payment: Some((*payment_id, command.clone())) };
                self.once(id, correlation, &format!("{plan:?}"), |world| world.decide_plan(&plan, correlation))
            }
            Command::Capture { order_id, payment_id, command } => {
                let plan = Plan::of(*order_id, order::Command::ClearCapture).with(*payment_id, command.clone());
                self.run_plan(id, &plan)
            }
            Command::Inventory { reservation, stock } => {
                let what = format!("{reservation:?} {stock:?}");
                self.once(id, correlation, &what, |world| world.run_stock(reservation.as_ref(), stock, correlation))
            }
        }
    }

    /// Runs all of a plan once, or nothing of it.
    pub(super) fn run_plan(&mut self, id: Uuid, plan: &Plan) -> Option<String> {
        let correlation = plan.orders[0].0.0;
        self.once(id, correlation, &format!("{plan:?}"), |world| world.decide_plan(plan, correlation))
    }

    fn once(
        &mut self,
        id: Uuid,
        correlation: Uuid,
        what: &str,
        take_effect: impl FnOnce(&mut Self) -> Answer,
    ) -> Option<String> {
        if !self.taken.insert(id) {
            return None;
        }
        self.now = Timestamp::from_micros(self.now.micros() + 1_000);
        let answer = take_effect(self);
        self.told.push(format!("{what} => {}", summary(&answer)));
        let (mut sent, refused) = match answer {
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

    fn decide_plan(&mut self, plan: &Plan, correlation: Uuid) -> Answer {
        let mut decided = Vec::new();
        for (order_id, command) in &plan.orders {
            let folded = self.orders.entry(*order_id).or_default();
            decided.push((*order_id, folded.state.state().decide(command).map_err(|refusal| no(&refusal))?));
        }
        let ended = self.decide_baskets(&plan.orders)?;
        let asked = match &plan.payment {
            Some((payment_id, command)) => {
                let folded = self.payments.entry(*payment_id).or_default();
                Some((*payment_id, folded.state.state().decide(command).map_err(|refusal| no(&refusal))?))
            }
            None => None,
        };
        let mut sent = self.reservation_events(ended);
        for (order_id, events) in decided {
            for event in events {
                sent.push(self.order_event(order_id, event, correlation));
            }
            assert_eq!(self.orders.get_mut(&order_id).unwrap().state.end_batch(), Ok(()), "{plan:?}");
        }
        if let Some((payment_id, events)) = asked {
            for event in events {
                sent.push(self.payment_event(payment_id, event, correlation));
            }
            assert_eq!(self.payments.get_mut(&payment_id).unwrap().state.end_batch(), Ok(()), "{plan:?}");
        }
        for (order_id, _) in &plan.orders {
            self.cross(*order_id, true);
        }
        self.cross(OrderId(correlation), true);
        Ok(sent)
    }

    fn order_event(&mut self, order_id: OrderId, event: order::Event, correlation: Uuid) -> Sent {
        self.witness_order(order_id, &event);
        let folded = self.orders.get_mut(&order_id).unwrap();
        let lawful = folded.state.fold(event.clone());
        folded.version += 1;
        assert_eq!(lawful, Ok(()), "{event:?}\n{}", self.story(order_id));
        let folded = &self.orders[&order_id];
        let recorded = recorded(&stream::order(order_id).id, folded.version, Event::Order(event));
        self.history.entry(stream::order(order_id).id).or_default().push(recorded.clone());
        let order = folded.state.state().placed().cloned();
        Sent { recorded, event_id: Uuid::nil(), correlation, order }
    }

    fn payment_event(&mut self, id: PaymentId, event: payment::Event, correlation: Uuid) -> Sent {
        let folded = self.payments.get_mut(&id).unwrap();
        assert_eq!(folded.state.fold(event.clone()), Ok(()), "{event:?}");
        folded.version += 1;
        self.provider.asked(id, &event);
        let recorded = recorded(&stream::payment(id).id, folded.version, Event::Payment(event.clone()));
        self.history.entry(stream::payment(id).id).or_default().push(recorded.clone());
        self.witness_payment(id, &event);
        Sent { recorded, event_id: Uuid::nil(), correlation, order: None }
    }

    /// All of it or none.
    fn run_stock(
        &mut self,
        reservation: Option<&(ReservationId, reservation::Command)>,
        commands: &[StockCommand],
        correlation: Uuid,
    ) -> Answer {
        let own = reservation.map_or(Ok(Vec::new()), |asked| self.decide_reservation(asked))?;
        let mut decided = Vec::new();
        for command in commands {
            let key = (command.location.clone(), command.sku.clone());
            let folded = self.stock.entry(key.clone()).or_default();
            let events = folded.state.state().decide(&command.command).map_err(|refusal| no(&refusal))?;
            decided.push((key, events));
        }
        let mut sent = self.reservation_events(own);
        for (key, events) in decided {
            for event in events {
                let folded = self.stock.get_mut(&key).unwrap();
                assert_eq!(folded.state.fold(event.clone()), Ok(()), "{event:?}");
                folded.version += 1;
                let mut correlation = correlation;
                for (owner, units) in crossing::moved(&event) {
                    let held = match owner {
                        crossing::Owner::Order(order_id) => {
                            correlation = order_id.0;
                            self.holdings.entry(order_id).or_default()
                        }
                        crossing::Owner::Reservation(id) => self.basket_holdings.entry(id).or_default(),
                    };
                    *held.entry(key.clone()).or_default() += units;
                }
                let version = folded.version;
                self.tally_basket(&event);
                sent.push(Sent {
                    recorded: recorded(&stream::stock(&key.0, &key.1).id, version, Event::Stock(event)),
                    event_id: Uuid::nil(),
                    correlation,
                    order: None,
                });
            }
            let folded = self.stock.get_mut(&key).unwrap();
            assert_eq!(folded.state.end_batch(), Ok(()));
            let short = !folded.state.state().shortage().is_empty();
            self.tally.count("shortage", short);
        }
        self.cross(OrderId(correlation), true);
        Ok(sent)
    }

    /// The payments of an order, in no order of their own.
    pub(super) fn payments_of(&self, order_id: OrderId) -> Vec<&Payment> {
        let of = |payment: &&Payment| payment.requested().is_some_and(|paid| paid.order_id == order_id);
        self.payments.values().map(|it| it.state.state()).filter(of).collect()
    }

    pub(super) fn cross(&self, order_id: OrderId, on_its_way: bool) {
        let order = self.orders.get(&order_id).map_or(Order::Absent, |it| it.state.state().clone());
        let stock = self.holdings.get(&order_id).cloned().unwrap_or_default();
        let verdict = crossing::check(&order, &self.payments_of(order_id), &stock, on_its_way);
        if verdict.is_err() {
            panic!("{verdict:?}\n{}", self.story(order_id));
        }
    }

    /// All that happened to an order.
    pub(super) fn story(&self, order_id: OrderId) -> String {
        let about = order_id.to_string();
        let told: Vec<_> = self.told.iter().filter(|told| told.contains(&about)).collect();
        let open: Vec<_> = self.sagas_of(order_id).into_iter().filter(|(_, saga)| saga.ended.is_none()).collect();
        format!("seed {}: {told:#?}\n{open:#?}", self.seed)
    }

    pub(super) fn sagas_of(&self, order_id: OrderId) -> Vec<(&str, &saga::State)> {
        let sagas = self.sagas.iter();
        let of = sagas.filter(|(_, saga)| saga.state().about.as_ref().unwrap().correlation == order_id.0);
        of.map(|((kind, _), saga)| (kind.as_str(), saga.state())).collect()
    }
}

pub(super) fn recorded(stream: &str, version: u64, event: Event) -> Recorded {
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

pub(super) fn no(refusal: &impl Refusal) -> No {
    let details = serde_json::to_value(refusal).unwrap();
    (refusal.code().to_owned(), refusal.class(), refusal.to_string(), details)
}

fn summary(answer: &Answer) -> String {
    match answer {
        Ok(sent) => format!("{:?}", sent.iter().map(|sent| &sent.recorded.event).collect::<Vec<_>>()),
        Err((code, ..)) => format!("refused: {code}"),
    }
}
