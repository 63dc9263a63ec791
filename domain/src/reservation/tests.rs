//! The rules of a reservation that no order asked for, told as given, when, then.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::testing::{Named, given};
use uuid::Uuid;

impl Named for Command {
    fn names_what_it_makes(&self) -> bool {
        true
    }
}

const OPENED: Timestamp = Timestamp::from_micros(0);
const NOON: Timestamp = Timestamp::from_micros(1_000_000);
const LATER: Timestamp = NOON.plus_seconds(60);

fn item(sku: &str, qty: u32) -> Item {
    Item { sku: Sku::try_new(sku).unwrap(), location: LocationId::try_new("main").unwrap(), qty }
}

fn opened() -> Opened {
    Opened {
        reservation_id: ReservationId(Uuid::from_u128(1)),
        items: vec![item("A", 1), item("B", 2)],
        opened_at: OPENED,
        expires_at: NOON,
        reference: Some("cart 7".into()),
        hold_for_s: Some(60),
    }
}

fn open_with(items: Vec<Item>) -> Command {
    let Opened { reservation_id, expires_at, reference, .. } = opened();
    Command::Open { reservation_id, items, opened_at: OPENED, expires_at, hold_for_s: 60, reference }
}

const fn close(end: End) -> Command {
    Command::Close { end }
}

const fn prolong(expires_at: Timestamp) -> Command {
    Command::Prolong { expires_at }
}

#[test]
fn a_reservation_is_opened_once() {
    given::<Reservation>([])
        .when(open_with(opened().items))
        .then([Event::Opened(opened())])
        .when(open_with(vec![item("A", 9)]))
        .then_refused(Refusal::IdTaken { reservation_id: opened().reservation_id });
    let taken = Refusal::IdTaken { reservation_id: opened().reservation_id };
    let Command::Open { reservation_id, items, expires_at, .. } = open_with(opened().items) else { return };
    for (hold_for_s, reference) in [(60, None), (61, Some("cart 7".to_owned()))] {
        let items = items.clone();
        let other = Command::Open { reservation_id, items, opened_at: LATER, expires_at, hold_for_s, reference };
        given::<Reservation>([Event::Opened(opened())]).when(other).then_refused(taken.clone());
    }
    for items in [vec![], vec![item("A", 0)], vec![item("A", 1), item("A", 1)]] {
        given::<Reservation>([]).when(open_with(items)).then_refused(Refusal::InvalidItems);
    }
    given::<Reservation>([]).when(prolong(LATER)).then_refused(Refusal::NotFound);
}

#[test]
fn a_reservation_is_prolonged_and_never_shortened() {
    given::<Reservation>([Event::Opened(opened())])
        .when(prolong(LATER))
        .then([Event::Prolonged(Prolonged { expires_at: LATER })])
        .when(prolong(NOON))
        .then_refused(Refusal::NotLater { expires_at: LATER });
}

#[test]
fn however_often_it_is_prolonged_a_reservation_lives_for_a_year_at_most() {
    let latest = OPENED.plus_seconds(LONGEST_LIFE_S);
    given::<Reservation>([Event::Opened(opened())])
        .when(prolong(latest))
        .then([Event::Prolonged(Prolonged { expires_at: latest })])
        .when(prolong(latest.plus_seconds(1)))
        .then_refused(Refusal::LivesTooLong { latest })
        .when(prolong(latest))
        .then_nothing();
}

#[test]
fn a_reservation_ends_once() {
    let ended =
        |end| given::<Reservation>([Event::Opened(opened())]).when(close(end)).then([Event::Closed(Closed { end })]);
    ended(End::Released).when(close(End::Expired)).then_nothing();
    for command in [close(End::Released), prolong(LATER), open_with(opened().items)] {
        ended(End::Expired).when(command).then_refused(Refusal::ReservationEnded { end: End::Expired });
    }
}

#[test]
fn one_order_takes_it_over_and_nothing_else_ends_it_then() {
    let [first, second] = [1, 2].map(|n| OrderId(Uuid::from_u128(n)));
    let by = |order_id| close(End::Ordered { order_id });
    let ordered = || {
        given::<Reservation>([Event::Opened(opened())])
            .when(by(first))
            .then([Event::Closed(Closed { end: End::Ordered { order_id: first } })])
    };
    assert_eq!(ordered().peek().ordered_by(), Some(first));
    for command in [by(second), close(End::Expired), close(End::Released), prolong(LATER)] {
        ordered().when(command).then_refused(Refusal::ReservationOrdered { order_id: first });
    }
    let expired = Closed { end: End::Expired };
    given::<Reservation>([Event::Opened(opened()), Event::Closed(expired)])
        .when(by(first))
        .then_refused(Refusal::ReservationEnded { end: End::Expired });
    given::<Reservation>([]).when(by(first)).then_refused(Refusal::ReservationNotFound);
}

#[test]
fn an_end_is_stored_as_its_name_and_what_belongs_to_it() {
    let order_id = OrderId(Uuid::from_u128(1));
    let stored = |end| serde_json::to_value(Closed { end }).unwrap();
    assert_eq!(stored(End::Expired), serde_json::json!({"end": "expired"}));
    let ordered = stored(End::Ordered { order_id });
    assert_eq!(ordered, serde_json::json!({"end": "ordered", "order_id": order_id}));
    assert_eq!(serde_json::from_value::<Closed>(ordered).unwrap().end, End::Ordered { order_id });
    let told = serde_json::to_value(Refusal::ReservationEnded { end: End::Expired }).unwrap();
    assert_eq!(told, serde_json::json!({"code": "reservation-ended", "end": "expired"}));
}
