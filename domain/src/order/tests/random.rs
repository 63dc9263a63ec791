//! Random histories: for any commands in any order, every law holds after every event, and a command that names what it
//! makes adds nothing the second time.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::book::Book;
use super::*;
use crate::ids::{CancellationId, HoldId, RefundId, ReturnId, ShipmentId};
use crate::laws::Watched;
use crate::order::command::AddPayment;
use crate::order::event::{Added, AfterLoss, Means, RejectReason};
use crate::order::state::{RefundPart, RefundProgress, ReturnStage, ShipmentStatus};
use crate::payment::event::OnExpiry;

/// What one step of a history is made of: which command, and numbers to choose its content by.
type Step = (u8, u32, u32, u32);

const KINDS: u8 = 35;

/// The commands, and how often each had an effect.
#[derive(Default)]
struct Seen {
    accepted: BTreeMap<u8, u32>,
    refused: BTreeMap<&'static str, u32>,
}

struct History {
    order: Order,
    book: Book,
    step: u128,
    payment_version: u64,
}

impl History {
    fn start(place: Place) -> Self {
        let mut history = Self { order: Order::Absent, book: Book::default(), step: 1_000, payment_version: 0 };
        history.ask(&placing(place)).unwrap();
        history
    }

    fn placed(&self) -> &Placed {
        self.order.placed().unwrap()
    }

    /// Decides, moves past each event, checks every law after each, decides again.
    fn ask(&mut self, command: &Command) -> Result<usize, crate::order::Refusal> {
        let events = self.order.decide(command)?;
        let mut watched = Watched::of(self.order.clone());
        for event in &events {
            if let Err(violation) = watched.fold(event.clone()) {
                panic!("{violation:?}\nafter {event:?}\nof {command:?}\nto {:#?}", watched.state());
            }
            self.book.fold(watched.state().placed().unwrap(), event);
        }
        assert_eq!(watched.end_batch(), Ok(()), "{command:?}");
        self.order.clone_from(watched.state());
        self.book.agrees(self.placed());
        if command.names_what_it_makes() {
            assert_eq!(self.order.decide(command), Ok(vec![]), "again: {command:?}");
        }
        Ok(events.len())
    }

    fn take(&mut self, step: Step, seen: &mut Seen) {
        self.step += 1;
        let Some(command) = self.command(step) else {
            return;
        };
        match self.ask(&command) {
            Ok(0) => {}
            Ok(_) => *seen.accepted.entry(step.0 % KINDS).or_default() += 1,
            Err(refusal) => {
                let code = crate::Refusal::code(&refusal);
                *seen.refused.entry(code).or_default() += 1;
            }
        }
    }

    fn line(&self, number: u32) -> LineId {
        let lines = &self.placed().lines;
        let index = number as usize % lines.len();
        lines.keys().nth(index).copied().unwrap_or(L1)
    }

    fn shipment(&self, number: u32, status: ShipmentStatus) -> Option<ShipmentId> {
        let found = self.placed().shipments.iter();
        let found: Vec<_> = found.filter(|(_, s)| s.status == status).collect();
        let index = number as usize % found.len().max(1);
        found.get(index).map(|(id, _)| **id)
    }

    fn lost(&self) -> Option<ShipmentId> {
        let mut shipments = self.placed().shipments.iter();
        let lost = |line: &crate::order::state::ShipmentLine| line.lost > 0;
        shipments.find(|(_, shipment)| shipment.lines.values().any(lost)).map(|(shipment_id, _)| *shipment_id)
    }

    fn open_part(&self, number: u32) -> Option<(RefundId, RefundPart)> {
        let refunds = self.placed().refunds.iter();
        let parts = refunds.flat_map(|(refund_id, refund)| refund.parts.iter().map(|part| (*refund_id, part.clone())));
        let open: Vec<_> = parts.filter(|(_, part)| part.progress == RefundProgress::Pending).collect();
        open.get(number as usize % open.len().max(1)).cloned()
    }

    fn open_return(&self, number: u32) -> Option<ReturnId> {
        let open = |stage| matches!(stage, ReturnStage::Requested | ReturnStage::PartReceived);
        let found = self.placed().returns.iter();
        let found: Vec<_> = found.filter(|(_, r)| open(r.stage)).collect();
        let index = number as usize % found.len().max(1);
        found.get(index).map(|(id, _)| **id)
    }

    fn command(&mut self, (kind, a, b, c): Step) -> Option<Command> {
        let line = self.line(a);
        let some = |most: u32| b % most.max(1) + 1;
        Some(match kind % KINDS {
            0 => confirm(self.placed().totals.total),
            1 => record_reserved(&[(line, some(4)), (self.line(c), c % 3)], &[(line, c % 3)]),
            2 => {
                let all = self.placed().lines.values();
                let all: Vec<_> = all.map(|l| (l.line.line_id, l.unassigned())).collect();
                match b % 3 {
                    0 => record_reserved(&[], &all),
                    _ => record_reserved(&all, &[]),
                }
            }
            3 => Command::RecordAllocated { reservation_id: reservation_id(), lines: vec![at_main(line, some(3))] },
            4 => Command::RecordUnreserved {
                reservation_id: reservation_id(),
                lines: vec![at_main(line, some(2))],
                reason: "lost".to_owned(),
            },
            5 => cancel(self.step, Some(vec![units(line, some(2))])),
            6 if c % 4 == 0 => cancel(self.step, None),
            7 => {
                let open = self.placed().cancellations.iter().find(|(_, c)| !c.closed);
                let cancellation_id = open.map_or(CancellationId(id(7)), |(id, _)| *id);
                Command::CloseCancellation { cancellation_id, payment: None }
            }
            8 if c % 4 == 0 => Command::PlaceHold {
                hold_id: HoldId(id(self.step)),
                reason: "look".to_owned(),
                note: None,
                until: None,
            },
            9 => Command::ReleaseHold { hold_id: *self.placed().holds.keys().next()?, resolution: "fine".to_owned() },
            10 => request_shipment(self.step, Some(vec![units(line, some(2))])),
            11 => request_shipment(self.step, None),
            12 | 13 => self.capture(a)?,
            14 | 15 => Command::Dispatch { shipment_id: self.shipment(a, ShipmentStatus::Requested)? },
            16 => Command::RefuseShipment {
                shipment_id: self.shipment(a, ShipmentStatus::Requested)?,
                reason: "declined".to_owned(),
            },
            17 => Command::ConfirmDelivery {
                shipment_id: self.shipment(a, ShipmentStatus::Dispatched)?,
                lines: (c % 2 == 0).then(|| vec![units(line, some(2))]),
                at: None,
            },
            18 => Command::ReportLost {
                shipment_id: self.shipment(a, ShipmentStatus::Dispatched)?,
                lines: Some(vec![units(line, 1)]),
                sent: None,
                then: [AfterLoss::Later, AfterLoss::Refund, AfterLoss::Resend][c as usize % 3],
            },
            19 => request_return(self.step, &[(line, some(3))]),
            20 => self.receive_some(a, b, c)?,
            21 => Command::DeclineReturn { return_id: self.open_return(a)?, reason: "late".to_owned() },
            22 => {
                let mut refund = grant(self.step, Some(i64::from(b % 900)));
                refund.refund_id = RefundId(id(self.step));
                Command::GrantRefund(refund)
            }
            23 => edit(self.step, self.changes(a, b, c)),
            24 => Command::Reject { reason: RejectReason::Expired, detail: None, shortfalls: vec![], payment: None },
            25 => Command::WithdrawShipment {
                shipment_id: self.shipment(a, ShipmentStatus::Requested)?,
                reason: "not now".to_owned(),
            },
            26 => Command::RefuseShipment {
                shipment_id: self.shipment(a, ShipmentStatus::Withdrawn)?,
                reason: "withdrawn".to_owned(),
            },
            27 => Command::DecideLoss {
                shipment_id: self.lost()?,
                decision: Some(self.placed().shipments[&self.lost()?].decisions + 1),
                sent: None,
                then: [AfterLoss::Refund, AfterLoss::Resend][b as usize % 2],
            },
            28 => Command::ReportFound { shipment_id: self.lost()?, lines: None },
            29 => Command::AddPayment(AddPayment {
                payment_id: PaymentId(id(self.step)),
                amount: None,
                means: [
                    Means::External { reference: "cash".to_owned() },
                    Means::Provider { instrument: "card".into() },
                ][b as usize % 2]
                    .clone(),
                added: Added::ByHand,
            }),
            30 => {
                let (refund_id, part) = self.open_part(a)?;
                let (payment_id, at_payment, code) = (part.payment_id, part.at_payment, "no".to_owned());
                match self.placed().payment_of(payment_id).is_some_and(|payment| payment.is_external()) {
                    true if b % 2 == 0 => Command::ConfirmRefundPaid { refund_id, reference: "till".to_owned() },
                    true => Command::WithdrawRefund { refund_id, reason: "mistake".to_owned() },
                    false => Command::FailRefund(event::RefundDeclined { refund_id, payment_id, at_payment, code }),
                }
            }
            31 => {
                let mut refunds = self.placed().refunds.iter();
                let (refund_id, refund) = refunds.find(|(_, refund)| refund.failed() + refund.withdrawn() > 0)?;
                Command::RetryRefund { refund_id: *refund_id, attempt: Some(refund.attempt + 1) }
            }
            32 => {
                let state = &self.placed().lines[&line];
                let amount = state.value_of_next(1, Rounding::HalfEven).max(i64::from(b % 500)) + 1;
                let lines =
                    vec![event::LineValue { line_id: line, qty: some(2), amount: amount.min(1 + i64::from(c % 700)) }];
                Command::GrantRefund(GrantRefund { lines, ..grant(self.step, None) })
            }
            33 => Command::GrantRefund(GrantRefund { shipping: i64::from(b % 300), ..grant(self.step, None) }),
            34 => self.end(a, b)?,
            _ => return None,
        })
    }

    /// Payments tells that what a payment holds soon cannot be taken, or cannot any more.
    fn end(&mut self, number: u32, what: u32) -> Option<Command> {
        self.payment_version += 1;
        let version = self.payment_version;
        let holds = |payment: &&crate::order::state::Payment| !payment.is_external() && !payment.holds_nothing();
        let held: Vec<_> = self.placed().payments.iter().filter(holds).collect();
        let payment = *held.get(number as usize % held.len().max(1))?;
        let over = what.is_multiple_of(3);
        let end = crate::time::Timestamp::from_micros(1_000_000 * i64::from(number % 3));
        let then = [OnExpiry::Reauthorise, OnExpiry::Hold][what as usize % 2];
        Some(Command::RecordPayment(PaymentRecorded {
            payment_id: payment.payment_id,
            payment_version: version,
            status: if over { PaymentStatus::Voided } else { payment.status },
            authorised: payment.authorised,
            captured: payment.captured,
            refunded: payment.refunded,
            refund_pending: 0,
            voided: if over { payment.authorised - payment.captured } else { payment.voided },
            keeps: None,
            capture_before: Some(end),
            abilities: None,
            fact: Some(event::PaymentFact {
                version,
                what: if over {
                    event::Happened::Expired
                } else {
                    event::Happened::Ending { capture_before: end, lead_s: 60, then }
                },
            }),
        }))
    }

    /// Payments takes what the requested shipments ask for, or more, or gives some back; never what the provider cannot.
    fn capture(&mut self, number: u32) -> Option<Command> {
        self.payment_version += 1;
        let version = self.payment_version;
        let order = self.placed();
        let ours: Vec<_> = order.payments.iter().filter(|payment| !payment.is_external()).collect();
        let known = ours.get(number as usize % ours.len().max(1)).copied();
        let payment_id = known.map_or(payment_id(), |payment| payment.payment_id);
        let had = |of: fn(&crate::order::state::Payment) -> Minor| known.map_or(0, of);
        let requested = had(|payment| payment.requested);
        let first = if requested > 0 { requested } else { order.totals.total };
        let authorised = if had(|payment| payment.authorised) > 0 { had(|payment| payment.authorised) } else { first };
        let waiting = order.shipments.values().filter(|s| s.status == ShipmentStatus::Requested);
        let waiting = waiting.flat_map(|shipment| &shipment.captures).filter(|capture| !capture.done);
        let asked: Minor = waiting.filter(|it| it.share.payment_id == payment_id).map(|it| it.share.amount).sum();
        let most = authorised - had(|payment| payment.voided);
        let more = if number.is_multiple_of(5) { most } else { asked };
        let captured = (had(|payment| payment.captured) + more).min(most);
        let let_go = number % 7 == 3 && known.is_some_and(|payment| payment.keep.is_some());
        let keep = known.and_then(|payment| payment.keep).unwrap_or(0);
        let surplus = (authorised - captured - had(|payment| payment.voided) - keep).max(0);
        let voided = had(|payment| payment.voided) + if let_go { surplus } else { 0 };
        let refunds = order.refunds.values().flat_map(|refund| &refund.parts);
        let mut open = refunds.filter(|part| part.payment_id == payment_id && part.progress == RefundProgress::Pending);
        let part = open.next().filter(|_| number.is_multiple_of(2));
        let refunded = had(|payment| payment.refunded) + part.map_or(0, |part| part.amount);
        let status = match (captured, number % 9) {
            (_, 0) => PaymentStatus::Unknown,
            (0, _) if voided == authorised => PaymentStatus::Voided,
            (0, _) => PaymentStatus::Authorised,
            (captured, _) if captured == authorised - voided => PaymentStatus::Captured,
            _ => PaymentStatus::PartCaptured,
        };
        let what = match part {
            Some(part) => event::Happened::Refunded { refund_id: part.at_payment },
            None => event::Happened::Voided,
        };
        Some(Command::RecordPayment(PaymentRecorded {
            payment_id,
            payment_version: version,
            status,
            authorised,
            captured,
            refunded,
            refund_pending: 0,
            voided,
            keeps: None,
            capture_before: None,
            abilities: None,
            fact: Some(event::PaymentFact { version, what }),
        }))
    }

    fn receive_some(&self, a: u32, b: u32, c: u32) -> Option<Command> {
        let return_id = self.open_return(a)?;
        let open = &self.placed().returns.get(&return_id)?.open;
        let (line, qty) = open.iter().nth(b as usize % open.len().max(1))?;
        let disposition = [Disposition::Restock, Disposition::Damaged, Disposition::Missing];
        let disposition = *disposition.get(c as usize % 3)?;
        let receipts = self.placed().returns.get(&return_id)?.receipts;
        Some(receive(return_id.0.as_u128(), receipts + 1, &[(*line, b % qty + 1, disposition)]))
    }

    fn changes(&self, a: u32, b: u32, c: u32) -> Vec<Change> {
        let line_id = self.line(a);
        let cents = |n: u32| price(&format!("{}.{:02}", n / 100, n % 100));
        let change = match c % 4 {
            0 => {
                let next = LineId(100 + u32::try_from(self.step % 1_000).unwrap_or(0));
                let mut line = new_line(next, b % 5 + 1, "1.37");
                line.stocked = b.is_multiple_of(2);
                line.tax_bp = b % 3_000;
                Change::Add(line)
            }
            1 => Change::Reprice { line_id, unit_price: cents(b % 2_000) },
            2 => Change::Discount { line_id, discount: i64::from(b % 200) },
            _ => Change::SetQty { line_id, qty: b % 9 + 1 },
        };
        vec![change]
    }
}

prop_compose! {
    fn some_line()(
        qty in 1..8_u32,
        cents in 0..30_000_u32,
        percent in prop_oneof![Just(0_u32), 1..100_u32],
        tax_bp in prop_oneof![Just(0_u32), Just(2_000), 1..2_500_u32],
        tax_included in any::<bool>(),
        stocked in prop::bool::weighted(0.8),
    ) -> (u32, u32, u32, u32, bool, bool) {
        (qty, cents, percent, tax_bp, tax_included, stocked)
    }
}

prop_compose! {
    /// Discounts are percentages, as in Northwind's orders, on the line and on the whole.
    fn some_order()(
        lines in prop::collection::vec(some_line(), 1..5),
        currency in prop::sample::select(vec![Currency::GBP, Currency::JPY, Currency::KWD]),
        rounding in prop::sample::select(vec![Rounding::HalfEven, Rounding::HalfUp]),
        capture in prop::sample::select(vec![
            Capture::AtShipment, Capture::AtShipment, Capture::AtConfirmation, Capture::PayLater,
        ]),
        shipping in 0..1_000_i64,
        percent in prop_oneof![Just(0_i64), 1..40_i64],
    ) -> Place {
        let lines = lines.into_iter().zip(1..);
        let lines = lines.map(|((qty, cents, percent, tax_bp, tax_included, stocked), number)| {
            let unit_price = format!("{}.{:04}", cents / 10_000, cents % 10_000);
            let mut line = new_line(LineId(number), qty, &unit_price);
            let subtotal = i64::from(cents) * 10_i64.pow(currency.exponent()) * i64::from(qty) / 10_000;
            // Below the subtotal, however that is rounded.
            let discount = subtotal * i64::from(percent) * 9 / 1_000;
            line.discount = discount;
            (line.tax_bp, line.tax_included, line.stocked) = (tax_bp, tax_included, stocked);
            line
        });
        let mut place = place_of(lines.collect());
        (place.currency, place.rounding) = (currency, rounding);
        place.payment.capture = capture;
        place.shipping[0].price = shipping;
        let mut bare = place.clone();
        bare.discount = 0;
        // A subtotal of nothing leaves nothing to discount.
        let totals = given::<Order>([]).after([placing(bare)]).look().totals;
        place.discount = (totals.subtotal - totals.discount) * percent / 100;
        place
    }
}

fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec((0..KINDS, any::<u32>(), any::<u32>(), any::<u32>()), 1..most)
}

/// The usual way up to confirmation, so that histories get somewhere.
fn usual(stock: u32) -> [Step; 2] {
    [(2, 0, stock, 0), (0, 0, 0, 0)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, ..ProptestConfig::default() })]

    #[test]
    fn every_law_holds_after_every_event(place in some_order(), steps in steps(90), usually in prop::option::weighted(0.85, any::<u32>())) {
        let mut history = History::start(place);
        let mut seen = Seen::default();
        let first = usually.map(usual);
        for step in first.into_iter().flatten().chain(steps) {
            history.take(step, &mut seen);
        }
    }

    #[test]
    fn the_state_survives_being_written_down(place in some_order(), steps in steps(40)) {
        let mut history = History::start(place);
        let mut seen = Seen::default();
        for step in usual(1).into_iter().chain(steps) {
            history.take(step, &mut seen);
        }
        let written = serde_json::to_string(&history.order).unwrap();
        prop_assert_eq!(serde_json::from_str::<Order>(&written).unwrap(), history.order);
    }
}

#[test]
fn random_histories_reach_every_command_and_most_refusals() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen = Seen::default();
    for number in 0..400 {
        use proptest::strategy::ValueTree;
        let history = (some_order(), steps(180)).new_tree(&mut runner).unwrap();
        let (place, steps) = history.current();
        let mut history = History::start(place);
        let first = (number % 5 > 0).then(|| usual(number));
        for step in first.into_iter().flatten().chain(steps) {
            history.take(step, &mut seen);
        }
    }
    for kind in 0..KINDS {
        assert!(seen.accepted.contains_key(&kind), "no command {kind} was accepted");
    }
    let codes = [
        "order-state",
        "not-paid",
        "not-reserved",
        "on-hold",
        "already-shipped",
        "quantity-exceeds-open",
        "quantity-exceeds-shipped",
        "exceeds-refundable",
        "payment-unknown",
        "invalid-edit",
        "invalid-line",
        "cancellation-not-found",
    ];
    for code in codes {
        assert!(seen.refused.contains_key(code), "nothing was refused as {code}");
    }
}

/// How many orders there are: `DAYBOOK_MONEY_ORDERS`, so that a long run has more.
#[expect(clippy::disallowed_methods, reason = "a number of orders is given to a test, not to the product")]
fn orders() -> u64 {
    std::env::var("DAYBOOK_MONEY_ORDERS").ok().map_or(400, |orders| orders.parse().unwrap())
}

/// So many random orders, and how many of each currency took and gave back money.
fn many(orders: u64, seed: u64) -> BTreeMap<String, u64> {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let mut moved = BTreeMap::new();
    for number in 0..orders {
        let history = (some_order(), steps(60)).new_tree(&mut runner).unwrap();
        let (place, steps) = history.current();
        let mut history = History::start(place);
        let first = (number % 8 > 0).then(|| usual(1));
        for step in first.into_iter().flatten().chain(steps) {
            history.take(step, &mut Seen::default());
        }
        let ledger = history.placed().ledger();
        let both = ledger.captured > 0 && ledger.granted > 0;
        *moved.entry(history.placed().currency.to_string()).or_default() += u64::from(both);
    }
    moved
}

#[test]
fn money_is_exact_to_the_minor_unit() {
    let threads = std::thread::available_parallelism().map_or(1, |it| it.get() as u64);
    let moved = std::thread::scope(|scope| {
        let all: Vec<_> =
            (0..threads).map(|seed| scope.spawn(move || many(orders().div_ceil(threads), seed))).collect();
        let mut sum: BTreeMap<String, u64> = BTreeMap::new();
        for (currency, orders) in all.into_iter().flat_map(|one| one.join().unwrap()) {
            *sum.entry(currency).or_default() += orders;
        }
        sum
    });
    for currency in ["GBP", "JPY", "KWD"] {
        let orders = orders() / 30;
        assert!(moved.get(currency) > Some(&orders), "{moved:?}");
    }
}
