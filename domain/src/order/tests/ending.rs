//! The end of an authorisation that the order still needs: the money is held again, or the order is put on hold.

use super::*;
use crate::ids::HoldId;
use crate::order::command::AddPayment;
use crate::order::event::{
    Added, Happened, HoldPlaced, Means, PaymentAdded, PaymentFact, PaymentShare, SurplusReleased,
};
use crate::order::refusal::Refusal;
use crate::payment::abilities::Abilities;
use crate::payment::event::OnExpiry;
use crate::time::Timestamp;

const DAY: u32 = 86_400;
const END: Timestamp = Timestamp::from_micros(1_000_000_000_000);
const REAUTHORISE: Happened = Happened::Ending { capture_before: END, lead_s: DAY, then: OnExpiry::Reauthorise };
const HOLD: Happened = Happened::Ending { capture_before: END, lead_s: DAY, then: OnExpiry::Hold };
const ALL: Minor = 4_900;

/// What payments tells of a payment: its end, what it authorised and released, and what happened.
fn fact(of: PaymentId, version: u64, end: Timestamp, [authorised, voided]: [Minor; 2], what: Happened) -> Command {
    let status = match (authorised, voided) {
        (0, _) => PaymentStatus::Declined,
        (all, gone) if all == gone => PaymentStatus::Voided,
        _ => PaymentStatus::Authorised,
    };
    Command::RecordPayment(PaymentRecorded {
        payment_id: of,
        payment_version: version,
        status,
        authorised,
        captured: 0,
        refunded: 0,
        refund_pending: 0,
        voided,
        keeps: None,
        capture_before: (authorised > 0).then_some(end),
        abilities: None,
        fact: Some(PaymentFact { version, what }),
    })
}

fn told(version: u64, what: Happened) -> Command {
    let voided = if what == Happened::Expired { ALL } else { 0 };
    fact(payment_id(), version, END, [ALL, voided], what)
}

fn declined(of: PaymentId) -> Command {
    fact(of, 2, END, [0, 0], Happened::Declined { code: "no".into() })
}

fn authorised(of: PaymentId, amount: Minor) -> Command {
    fact(of, 2, END.plus_seconds(6 * DAY), [amount, 0], Happened::Authorised)
}

fn added(events: &[Event]) -> Vec<&PaymentAdded> {
    events.iter().filter_map(|event| if let Event::PaymentAdded(it) = event { Some(it) } else { None }).collect()
}

fn holds(events: &[Event]) -> Vec<&str> {
    let placed = events.iter().filter_map(|event| match event {
        Event::HoldPlaced(HoldPlaced { reason, .. }) => Some(reason.as_str()),
        _ => None,
    });
    placed.collect()
}

fn kept(events: &[Event]) -> Vec<PaymentShare> {
    let keep = |event: &Event| {
        if let Event::SurplusReleased(SurplusReleased { keep }) = event { keep.clone() } else { vec![] }
    };
    events.iter().flat_map(keep).collect()
}

/// Whose authorisation is to be replaced, and the payment that is asked for in its place.
fn renewing() -> (Given<Order>, PaymentId) {
    let order = confirmed(three_lines()).after([told(2, REAUTHORISE)]);
    let payment_id = order.look().payments[1].payment_id;
    (order, payment_id)
}

fn pay(number: u128, amount: Option<Minor>, means: Means) -> Command {
    let payment_id = PaymentId(id(number));
    Command::AddPayment(AddPayment { payment_id, amount, means, added: Added::ByHand })
}

fn card() -> Means {
    Means::Provider { instrument: "other card".into() }
}

fn cash() -> Means {
    Means::External { reference: "till".into() }
}

fn release(order: Given<Order>) -> Given<Order> {
    let holds: Vec<HoldId> = order.look().holds.keys().copied().collect();
    order.after(holds.into_iter().map(|hold_id| Command::ReleaseHold { hold_id, resolution: "paid".into() }))
}

#[test]
fn the_money_is_held_again_before_it_is_released() {
    let order = confirmed(three_lines()).when(told(2, REAUTHORISE)).then_with(|events| {
        let [more] = added(events)[..] else { panic!("{events:?}") };
        assert_eq!((more.amount, more.added, more.replaces), (ALL, Added::Renewal, Some(payment_id())));
        assert_eq!(more.means, Means::Provider { instrument: "card".into() });
        assert_eq!(events.len(), 2);
    });
    let ledger = order.look().ledger();
    assert_eq!((ledger.held, ledger.awaited, ledger.uncovered()), (ALL, 0, 0));
    assert!(order.look().payment_ending());
    let newer = order.look().payments[1].payment_id;
    let order = order.when(authorised(newer, ALL)).then_with(|events| {
        assert_eq!(kept(events), [PaymentShare { payment_id: payment_id(), amount: 0 }]);
        assert_eq!(events.len(), 2);
    });
    let ledger = order.look().ledger();
    assert_eq!((ledger.held, ledger.awaited, ledger.uncovered()), (ALL, 0, 0));
    assert!(!order.look().payment_ending());
    // What it held is released at the provider; a shipment takes the money from where it is held now.
    let order = order.after([fact(payment_id(), 3, END, [ALL, ALL], Happened::Voided), request_shipment(9, None)]);
    let shipment = order.look().shipments.values().next().unwrap();
    let takes: Vec<_> = shipment.captures.iter().map(|it| (it.share.payment_id, it.share.amount)).collect();
    assert_eq!(takes, [(newer, ALL)]);
}

#[test]
fn a_fact_that_comes_late_is_about_the_end_before() {
    let later = END.plus_seconds(30 * DAY);
    let raised = fact(payment_id(), 4, later, [ALL, 0], Happened::Raised { raise_id: crate::ids::RaiseId(id(9)) });
    let order = confirmed(three_lines()).after([raised]);
    let order = order.when(told(3, REAUTHORISE)).then_with(|events| assert!(added(events).is_empty(), "{events:?}"));
    assert!(!order.look().payment_ending());
    // The new end is seen to in its own time.
    let near = Happened::Ending { capture_before: later, lead_s: DAY, then: OnExpiry::Reauthorise };
    let order = order.when(fact(payment_id(), 5, later, [ALL, 0], near)).then_with(|events| {
        assert_eq!(added(events).len(), 1, "{events:?}");
    });
    assert!(order.look().payment_ending());
}

#[test]
fn a_decline_puts_the_order_on_hold_until_somebody_pays_and_releases_it() {
    let (order, renewal) = renewing();
    order.when(pay(80, None, card())).then_refused(Refusal::ExceedsOwed { asked: 0, open: 0 });
    let (order, _) = renewing();
    let order = order.when(declined(renewal)).then_with(|events| assert_eq!(holds(events), ["authorisation_ending"]));
    assert!(order.look().payment_ending());
    let order = order.when(pay(80, None, card())).then_with(|events| {
        assert_eq!((added(events)[0].amount, added(events)[0].replaces), (ALL, Some(payment_id())));
    });
    let order = order.after([authorised(PaymentId(id(80)), ALL)]);
    assert_eq!(order.look().payments[0].held(), 0);
    assert!(!order.look().payment_ending());
    release(order).after([request_shipment(9, None)]);
}

#[test]
fn what_comes_another_way_takes_the_place_of_what_ends() {
    let order = confirmed(three_lines()).after([told(2, HOLD)]);
    let order = order.when(pay(80, Some(2_000), cash())).then_with(|events| {
        assert_eq!(kept(events), [PaymentShare { payment_id: payment_id(), amount: ALL - 2_000 }]);
    });
    assert!(order.look().payment_ending());
    let order = order.after([pay(81, None, cash())]);
    assert_eq!((order.look().ledger().held, order.look().balance()), (0, 0));
    assert!(!order.look().payment_ending());
}

#[test]
fn without_a_way_to_hold_it_again_the_order_is_put_on_hold_once() {
    let unable = |mut told: Command| {
        if let Command::RecordPayment(told) = &mut told {
            told.abilities = Some(Abilities::NONE);
        }
        told
    };
    for ending in [told(2, HOLD), unable(told(2, REAUTHORISE))] {
        let order = confirmed(three_lines()).when(ending).then_with(|events| {
            assert_eq!((holds(events), events.len()), (vec!["authorisation_ending"], 2));
        });
        // While nobody has seen to that, its end changes nothing.
        let over = unable(told(3, Happened::Expired));
        let order = order.when(over).then_with(|events| assert_eq!(events.len(), 1));
        assert!(order.look().payment_ending());
        order.when(pay(80, None, cash())).then_with(|events| assert_eq!(added(events)[0].amount, ALL));
    }
    // Released, the order may ship until the end.
    let order = release(confirmed(three_lines()).after([told(2, HOLD)]));
    order.when(told(3, Happened::Expired)).then_with(|events| assert_eq!(holds(events), ["authorisation_expired"]));
}

#[test]
fn an_end_that_is_there_is_seen_to_whichever_fact_comes_first() {
    let (first, second) = (told(2, REAUTHORISE), told(3, Happened::Expired));
    for [one, other] in [[first.clone(), second.clone()], [second, first]] {
        let order = confirmed(three_lines()).after([one, other]);
        let newer = &order.look().payments[1];
        assert_eq!((newer.requested, newer.awaited(), order.look().holds.len()), (ALL, ALL, 0));
        assert!(order.look().payment_ending());
        let renewal = newer.payment_id;
        order.when(declined(renewal)).then_with(|events| assert_eq!(holds(events), ["authorisation_expired"]));
    }
    // Nobody waits for an answer that nobody knows.
    let (order, renewal) = renewing();
    let unknown = Happened::Unknown { asked: crate::payment::event::Verb::Authorise };
    let mut silent = fact(renewal, 2, END, [0, 0], unknown);
    if let Command::RecordPayment(told) = &mut silent {
        told.status = PaymentStatus::Unknown;
    }
    let order = order.when(silent).then_with(|events| assert_eq!(events.len(), 1));
    order.when(told(3, Happened::Expired)).then_with(|events| assert_eq!(holds(events), ["authorisation_expired"]));
}

#[test]
fn what_a_waiting_shipment_takes_stays_where_it_is() {
    let shipment = request_shipment(9, Some(vec![units(L1, 3)]));
    let order = confirmed(three_lines()).after([shipment]);
    let order = order.when(told(2, REAUTHORISE)).then_with(|events| assert_eq!(added(events)[0].amount, 1_400));
    let newer = order.look().payments[1].payment_id;
    let order = order.when(authorised(newer, 1_400)).then_with(|events| {
        assert_eq!(kept(events), [PaymentShare { payment_id: payment_id(), amount: 3_500 }]);
    });
    // The shipment does not leave: what it was to take is to be found elsewhere as well.
    let refuse = Command::RefuseShipment { shipment_id: crate::ids::ShipmentId(id(9)), reason: "broken".to_owned() };
    let order = order.when(refuse).then_with(|events| assert_eq!(holds(events), ["authorisation_ending"]));
    let order = order.when(pay(80, None, card())).then_with(|events| assert_eq!(added(events)[0].amount, 3_500));
    let order = order.after([authorised(PaymentId(id(80)), 3_500)]);
    assert_eq!((order.look().payments[0].held(), order.look().ledger().held), (0, ALL));
}

#[test]
fn an_edit_meanwhile_is_paid_for_itself() {
    let more = |qty| edit(5, vec![Change::SetQty { line_id: L1, qty }]);
    let (order, renewal) = renewing();
    let order = order.when(more(5)).then_with(|events| {
        assert_eq!((added(events)[0].amount, added(events)[0].replaces), (2_000, None));
    });
    let extra = order.look().payments[2].payment_id;
    let order = order.after([authorised(renewal, ALL), authorised(extra, 2_000)]);
    assert_eq!((order.look().payments[0].held(), order.look().ledger().held), (0, ALL + 2_000));
    let (order, renewal) = renewing();
    let order = order.after([more(1), authorised(renewal, ALL)]);
    assert_eq!((order.look().payments[0].held(), order.look().ledger().held), (0, ALL - 2_000));
}

#[test]
fn an_end_that_comes_as_soon_again_is_not_put_off_again() {
    let (order, renewal) = renewing();
    let order = order.after([authorised(renewal, ALL)]);
    let near = |capture_before| Happened::Ending { capture_before, lead_s: DAY, then: OnExpiry::Reauthorise };
    let again = |end| fact(renewal, 3, end, [ALL, 0], near(end));
    let later = END.plus_seconds(6 * DAY);
    let order = order.when(again(later)).then_with(|events| assert_eq!(added(events)[0].replaces, Some(renewal)));
    assert_eq!(order.look().payments.len(), 3);
    let (order, _) = renewing();
    let soon = END.plus_seconds(DAY);
    let order = order.after([fact(renewal, 2, soon, [ALL, 0], Happened::Authorised)]);
    order.when(again(soon)).then_with(|events| assert_eq!(holds(events), ["authorisation_ending"]));
}

#[test]
fn an_end_concerns_only_a_confirmed_order_that_needs_the_money() {
    let order = pending(three_lines());
    let first = crate::saga::checkout::payment_of(order.look().order_id);
    let near = fact(first, 2, END, [ALL, 0], REAUTHORISE);
    let order = order.when(near).then_with(|events| assert_eq!(events.len(), 1));
    let confirm = Command::Confirm(Confirm {
        payment_id: Some(first),
        reservation_id: None,
        authorised: ALL,
        payment_version: 1,
        capture_before: Some(END),
        abilities: None,
    });
    order.when(confirm).then_with(|events| assert_eq!(added(events)[0].replaces, Some(first)));
    let cancelled = confirmed(three_lines()).after([cancel(7, None)]);
    cancelled.when(told(2, REAUTHORISE)).then_with(|events| assert_eq!(events.len(), 1));
    let shipped = shipped(three_lines());
    let late = fact(payment_id(), 2, END, [ALL, 0], REAUTHORISE);
    shipped.when(late).then_with(|events| assert_eq!(events.len(), 1));
}
