//! The processes on the real aggregates: each kind's way, each refusal, and storms of all of them at once.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say so at once")]

mod baskets;
mod holds;
mod later;
mod storms;
mod world;

use uuid::Uuid;

use self::world::{Dice, World};
use crate::command::StockCommand;
use crate::ids::{
    CancellationId, CaptureId, EditId, HoldId, LineId, LocationId, OrderId, RefundId, ReservationId, ReturnId,
    ShipmentId, Sku, derived,
};
use crate::money::{Currency, Minor, Rounding};
use crate::order::command::{Change, Edit, NewLine, Place, ReceivedUnits, ReturnUnits, Units};
use crate::order::event::{Capture, Disposition, PaymentTerms, RejectReason};
use crate::order::state::{Placed, Status};
use crate::payment::event::{Verb, Verdict};
use crate::reservation::{End, Item};
use crate::{Command, order, payment, reservation, stock};

const ORDER: OrderId = OrderId(Uuid::from_u128(1));
const HOUR: u32 = 3_600;

fn main() -> LocationId {
    "main".parse().unwrap()
}

fn sku(name: &str) -> Sku {
    name.parse().unwrap()
}

fn line(number: u32, name: &str, qty: u32) -> NewLine {
    NewLine {
        line_id: LineId(number),
        sku: sku(name),
        title: name.to_owned(),
        qty,
        unit_price: "10.00".to_owned().try_into().unwrap(),
        discount: 0,
        tax_bp: 0,
        tax_included: true,
        backorder_ok: false,
        stocked: true,
    }
}

fn place_as(order_id: OrderId, capture: Capture, instrument: &str, lines: Vec<NewLine>) -> Command {
    let place = Place {
        order_id,
        external_ref: None,
        channel: "web".parse().unwrap(),
        customer: None,
        currency: Currency::GBP,
        rounding: Rounding::HalfEven,
        lines,
        discount: 0,
        shipping: Vec::new(),
        ship_to: None,
        payment: PaymentTerms { capture, instrument: instrument.into(), retry_for_s: 0 },
        location: main(),
        reserve_for_s: 900,
        occurred_at: None,
        tags: Vec::new(),
        expected_total: None,
        replaces: None,
        basket: None,
    };
    Command::Order { order_id, command: order::Command::Place(Box::new(place)) }
}

fn to_stock(name: &str, command: stock::Command) -> Command {
    Command::Inventory { reservation: None, stock: vec![StockCommand { location: main(), sku: sku(name), command }] }
}

impl World {
    fn with_stock(seed: u64, units: u32) -> Self {
        let mut world = Self::new(seed);
        for name in ["A", "B"] {
            world.receive(name, units);
        }
        world
    }

    fn receive(&mut self, name: &str, qty: u32) {
        let command = stock::Command::Receive { sku: sku(name), location: main(), qty, source_ref: None };
        self.send(to_stock(name, command)).unwrap();
    }

    fn place(&mut self, capture: Capture, instrument: &str) {
        let lines = vec![line(1, "A", 3), line(2, "B", 2)];
        self.send(place_as(ORDER, capture, instrument, lines)).unwrap();
    }

    fn confirmed(seed: u64, capture: Capture, instrument: &str) -> Self {
        let mut world = Self::with_stock(seed, 100);
        world.place(capture, instrument);
        world.run(HOUR);
        assert_eq!(world.placed().status, Status::Confirmed);
        world
    }

    fn placed(&self) -> &Placed {
        self.orders[&ORDER].placed().unwrap()
    }

    fn ask_order(&mut self, command: order::Command) {
        self.order(ORDER, command).unwrap();
    }

    fn ship(&mut self) {
        let shipment_id = ShipmentId(derived(ORDER.0, "shipment"));
        self.ask_order(order::Command::RequestShipment {
            shipment_id,
            lines: None,
            location: None,
            carrier: None,
            tracking: None,
        });
        self.run(HOUR);
    }

    fn cancel(&mut self, lines: Option<Vec<Units>>) {
        let cancellation_id = CancellationId(derived(ORDER.0, "cancellation"));
        self.ask_order(order::Command::Cancel { cancellation_id, lines, reason: "changed mind".into() });
    }

    fn held(&self) -> u32 {
        self.stocks.values().map(|it| it.reserved + it.backordered).sum()
    }

    /// Authorised, captured, refunded and voided.
    fn money(&self) -> (Minor, Minor, Minor, Minor) {
        let payment = self.payments.get(&super::checkout::payment_of(ORDER));
        let payment = payment.and_then(payment::Payment::requested);
        payment.map_or((0, 0, 0, 0), |it| (it.authorised, it.captured, it.refunded, it.voided))
    }

    /// Everything is over, and the laws hold strictly.
    fn at_rest(&self) {
        let open: Vec<_> = self.open().iter().map(|(kind, it)| (*kind, it.state())).collect();
        assert!(open.is_empty(), "{open:#?}\n{}", self.story(ORDER.0));
        self.check();
    }
}

fn register_with_backorders(world: &mut World) {
    let register = stock::Command::Register { sku: sku("A"), location: main(), safety_stock: 0, backorder_limit: 50 };
    world.send(to_stock("A", register)).unwrap();
}

#[test]
fn an_order_is_confirmed_shipped_and_completed() {
    for seed in 0..20 {
        let mut world = World::confirmed(seed, Capture::AtShipment, "");
        assert_eq!(world.held(), 5);
        assert_eq!(world.money(), (5_000, 0, 0, 0));
        world.at_rest();
        world.ship();
        assert_eq!(world.placed().status, Status::Completed);
        assert_eq!((world.held(), world.money()), (0, (5_000, 5_000, 0, 0)));
        world.at_rest();
    }
}

#[test]
fn without_stock_it_is_rejected_and_says_what_was_short() {
    let mut world = World::with_stock(1, 2);
    world.place(Capture::AtShipment, "");
    world.run(HOUR);
    let rejection = world.placed().rejection.clone().unwrap();
    assert_eq!(rejection.reason, RejectReason::OutOfStock);
    assert_eq!(rejection.shortfalls[0].wanted, 3);
    assert_eq!(rejection.shortfalls[0].available, 2);
    assert_eq!((world.held(), world.money()), (0, (0, 0, 0, 0)));
    world.at_rest();
}

#[test]
fn a_declined_payment_lets_the_stock_go() {
    for (seed, instrument) in
        ["authorise-declines", "authorise-unknown-declines"].into_iter().cycle().take(20).enumerate()
    {
        let mut world = World::with_stock(seed as u64, 100);
        world.place(Capture::AtShipment, instrument);
        world.run(HOUR);
        let rejection = world.placed().rejection.clone().unwrap();
        assert_eq!(rejection.reason, RejectReason::PaymentDeclined);
        assert_eq!(rejection.detail.as_deref(), Some("declined"));
        assert_eq!(world.held(), 0);
        world.at_rest();
    }
}

#[test]
fn an_unknown_payment_waits_and_goes_on_with_evidence() {
    for seed in 0..10 {
        let mut world = World::confirmed(seed, Capture::AtShipment, "authorise-unknown-done");
        assert_eq!(world.money().0, 5_000);
        world.at_rest();
        world.ship();
        world.at_rest();
    }
}

#[test]
fn a_dark_provider_parks_it_and_a_person_resolves_it() {
    for verdict in [Verdict::Done, Verdict::NotDone] {
        let mut world = World::with_stock(7, 100);
        world.place(Capture::AtShipment, "authorise-never,void-done");
        world.run(600);
        assert_eq!(world.placed().payment().status, order::event::PaymentStatus::Unknown);
        world.run(2 * HOUR);
        let state = world.saga("checkout").state();
        assert_eq!(state.parked.as_ref().unwrap().reason, "outcome_unknown");
        assert_eq!(world.held(), 0, "goods wait for no money once the reservation is over");
        let resolve = payment::Command::ResolveOutcome {
            verb: Verb::Authorise,
            verdict,
            evidence: "they wrote".into(),
            provider_ref: Some("ref".into()),
            try_again: true,
        };
        let payment_id = super::checkout::payment_of(ORDER);
        let command = resolve;
        world.send(Command::Payment { payment_id, command }).unwrap();
        world.run(HOUR);
        assert_eq!(world.placed().status, Status::Rejected);
        let (authorised, captured, _, voided) = world.money();
        assert_eq!((captured, voided), (0, authorised));
        world.at_rest();
    }
}

#[test]
fn a_slow_payment_outlasts_its_reservation_and_is_let_go() {
    let mut world = World::with_stock(3, 100);
    world.place(Capture::AtShipment, "authorise-slow");
    world.run(HOUR);
    let rejection = world.placed().rejection.clone().unwrap();
    assert_eq!(rejection.reason, RejectReason::Expired);
    assert_eq!((world.held(), world.money()), (0, (5_000, 0, 0, 5_000)));
    world.at_rest();
}

#[test]
fn cancelled_at_any_moment_before_it_is_confirmed_nothing_is_kept() {
    for instrument in ["", "authorise-late", "authorise-declines", "void-fails-twice"] {
        for steps in 0..30 {
            let mut world = World::with_stock(steps, 100);
            world.place(Capture::AtShipment, instrument);
            for _ in 0..steps {
                world.step();
            }
            let cancellation_id = CancellationId(derived(ORDER.0, "cancellation"));
            let cancelled = world
                .order(ORDER, order::Command::Cancel { cancellation_id, lines: None, reason: "changed mind".into() });
            world.run(HOUR);
            let status = world.placed().status;
            if cancelled.is_ok() {
                assert!(matches!(status, Status::Cancelled | Status::Rejected), "{status:?}");
                assert_eq!(world.held(), 0);
                assert!(world.placed().cancellations.values().all(|it| it.closed));
                let (authorised, captured, refunded, voided) = world.money();
                assert_eq!((authorised - voided - captured, captured - refunded), (0, 0));
            }
            world.at_rest();
        }
    }
}
