//! Whatever is asked of stock, the laws hold after every event, nothing happens twice, and every unit is accounted for by order.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use uuid::Uuid;

use super::command::{Command, Reserve};
use super::event::{LetGo, LineShare};
use super::refusal::Refusal;
use super::state::Stock;
use crate::Aggregate;
use crate::ids::{LineId, LocationId, OrderId, ReservationId, ReturnId, ShipmentId, Sku};
use crate::laws::Watched;
use crate::laws::crossing::{Owner, Units, moved};
use crate::testing::Named;
use crate::time::Timestamp;

fn sku() -> Sku {
    Sku::try_new("A").unwrap()
}

fn here() -> LocationId {
    LocationId::try_new("main").unwrap()
}

/// Six reservations: two of each of two orders, and two that no order asked for.
fn reservation() -> impl Strategy<Value = (ReservationId, Option<OrderId>)> {
    (0..6_u128).prop_map(|n| {
        let order = (n < 4).then(|| OrderId(Uuid::from_u128(n / 2)));
        (ReservationId(Uuid::from_u128(100 + n)), order)
    })
}

fn lines() -> impl Strategy<Value = Vec<LineShare>> {
    let share = (1..4_u32, 1..6_u32).prop_map(|(line, qty)| LineShare { line_id: LineId(line), qty });
    prop::collection::vec(share, 1..4)
}

/// Few enough that what is put back has often left before.
fn shipment() -> impl Strategy<Value = ShipmentId> {
    (0..12_u128).prop_map(|n| ShipmentId(Uuid::from_u128(n)))
}

fn at(seconds: u32) -> Timestamp {
    Timestamp::from_micros(0).plus_seconds(seconds)
}

fn reserve() -> impl Strategy<Value = Command> {
    let wish = (reservation(), lines(), any::<bool>(), any::<bool>());
    let when = (prop::option::of(0..50_u32), 0..50_u32);
    let basket = prop::option::of((100..106_u128).prop_map(|n| ReservationId(Uuid::from_u128(n))));
    (wish, when, basket).prop_map(
        |(((reservation_id, order_id), lines, allow_partial, may_wait), (ends, now), basket)| {
            Command::Reserve(Reserve {
                reservation_id,
                sku: sku(),
                location: here(),
                order_id,
                backorder_ok: if may_wait { vec![LineId(1), LineId(3)] } else { vec![] },
                lines,
                allow_partial,
                expires_at: ends.map(at),
                now: at(now),
                basket,
            })
        },
    )
}

fn release() -> impl Strategy<Value = Command> {
    let how_much = prop_oneof![
        Just((None, vec![])),
        (1..8_u32).prop_map(|qty| (Some(qty), vec![])),
        prop::collection::vec((1..4_u32, 0..4_u32, 0..4_u32), 1..4).prop_map(|lines| {
            let some = |(line, qty, backordered)| LetGo { line_id: LineId(line), qty, backordered };
            (None, lines.into_iter().map(some).collect())
        }),
    ];
    (reservation(), how_much, 0..1_000_u128).prop_map(|((reservation_id, order_id), (qty, lines), by)| {
        Command::Release {
            reservation_id,
            order_id,
            qty,
            lines,
            release_id: Uuid::from_u128(by),
            expires_at: Some(at(30)),
            reason: "cancelled".into(),
        }
    })
}

fn booking() -> impl Strategy<Value = Command> {
    prop_oneof![
        3 => (1..12_u32).prop_map(|qty| Command::Receive {
            sku: sku(), location: here(), qty, source_ref: None,
        }),
        1 => (0..4_u32, 0..8_u32).prop_map(|(safety_stock, backorder_limit)| Command::Register {
            sku: sku(), location: here(), safety_stock, backorder_limit,
        }),
        1 => (0..3_u128, 1..3_u32, 0..3_u32, 0..3_u32).prop_map(|(n, receipt, restock, damaged)| {
            Command::Return {
                sku: sku(),
                location: here(),
                return_id: ReturnId(Uuid::from_u128(n)),
                receipt,
                order_id: Some(OrderId(Uuid::from_u128(n))),
                restock,
                damaged,
            }
        }),
        1 => (-9..9_i64, 0..20_u32, any::<bool>(), 0..1_000_u128).prop_map(
            |(delta, expected, accept_shortage, n)| Command::Adjust {
                delta,
                reason: "breakage".into(),
                expected,
                accept_shortage,
                adjustment_id: Uuid::from_u128(n),
            }
        ),
        1 => (0..20_u32, any::<bool>()).prop_map(|(counted, accept_shortage)| Command::Count {
            counted, accept_shortage,
        }),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        4 => reserve(),
        3 => release(),
        3 => booking(),
        3 => (reservation(), lines(), shipment()).prop_map(|((reservation_id, order_id), lines, shipment_id)| {
            Command::Ship { shipment_id, reservation_id, order_id, lines }
        }),
        2 => (reservation(), lines(), shipment(), any::<bool>()).prop_map(
            |((reservation_id, order_id), lines, shipment_id, release)| Command::PutBack {
                shipment_id, reservation_id, order_id, lines, release,
            }
        ),
        2 => (0..2_u128, lines()).prop_map(|(order, lines)| Command::Defer {
            reservation_id: ReservationId(Uuid::from_u128(100 + 2 * order)),
            order_id: OrderId(Uuid::from_u128(order)),
            lines,
            reason: "counted short".into(),
        }),
        2 => Just(Command::Allocate {}),
        1 => reservation().prop_map(|(reservation_id, _)| Command::Expire { reservation_id }),
        1 => (reservation(), 0..90_u32).prop_map(|((reservation_id, _), ends)| Command::Extend {
            reservation_id, expires_at: at(ends),
        }),
    ]
}

/// An adjustment has to know what is there, or nearly all of them are refused.
fn informed(stock: &Stock, command: Command) -> Command {
    match command {
        Command::Adjust { delta, reason, expected, accept_shortage, adjustment_id } => Command::Adjust {
            delta,
            reason,
            expected: if expected % 4 == 0 { expected } else { stock.on_hand },
            accept_shortage,
            adjustment_id,
        },
        command => command,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn the_laws_hold_after_every_event(wishes in prop::collection::vec(command(), 1..80)) {
        let mut stock = Stock::default();
        let mut tally: BTreeMap<Owner, Units> = BTreeMap::new();
        for command in wishes {
            let command = informed(&stock, command);
            let Ok(events) = stock.decide(&command) else { continue };
            let mut watched = Watched::of(stock.clone());
            for event in &events {
                prop_assert_eq!(watched.fold(event.clone()), Ok(()), "{:?}", event);
                for (owner, units) in moved(event) {
                    *tally.entry(owner).or_default() += units;
                }
            }
            prop_assert_eq!(watched.end_batch(), Ok(()), "{:?}", command);
            stock.clone_from(watched.state());
            if command.names_what_it_makes()
                && let Ok(more) = stock.decide(&command)
            {
                prop_assert_eq!(more, vec![], "again: {:?}", command);
            }
        }
        let shipped: i64 = tally.values().map(|units| units.shipped).sum();
        prop_assert_eq!(shipped, stock.book.shipped);
        for (owner, units) in tally {
            let held = stock.reservations.iter().filter(|(id, held)| match owner {
                Owner::Order(order) => held.order_id == Some(order),
                Owner::Reservation(reservation) => **id == reservation,
            });
            let (mut reserved, mut backordered) = (0, 0);
            for (_, held) in held {
                reserved += i64::from(held.reserved());
                backordered += i64::from(held.backordered());
            }
            prop_assert_eq!((units.reserved, units.backordered), (reserved, backordered));
        }
        let written = serde_json::to_string(&stock).unwrap();
        let read: Stock = serde_json::from_str(&written).unwrap();
        prop_assert_eq!(read, stock);
    }

    #[test]
    fn a_check_is_answered_as_the_reserve_or_the_shipment_would_be(wishes in prop::collection::vec(command(), 1..40)) {
        let mut stock = Stock::default();
        for command in wishes {
            let command = informed(&stock, command);
            let asked = match &command {
                Command::Reserve(wish) => Some((
                    Command::CheckAvailable {
                        sku: wish.sku.clone(),
                        location: wish.location.clone(),
                        lines: wish.lines.clone(),
                        backorder_ok: wish.backorder_ok.clone(),
                    },
                    Command::Reserve(Reserve {
                        reservation_id: ReservationId(Uuid::from_u128(1_000)),
                        allow_partial: false,
                        expires_at: None,
                        basket: None,
                        ..wish.clone()
                    }),
                )),
                Command::Ship { lines, .. } => {
                    let qty = lines.iter().map(|share| share.qty).sum();
                    Some((Command::CheckShippable { qty }, command.clone()))
                }
                _ => None,
            };
            if let Some((check, done)) = asked {
                match (stock.decide(&check), stock.decide(&done)) {
                    (Ok(nothing), Ok(_)) => prop_assert_eq!(nothing, vec![]),
                    (Err(said), Err(refused)) => prop_assert!(
                        said == refused || !matches!(refused, Refusal::OutOfStock(_) | Refusal::ExceedsOnHand { .. }),
                        "{said:?} and {refused:?}"
                    ),
                    // What is held for whom, only the shipment knows.
                    (Ok(_), Err(refused)) => prop_assert!(
                        !matches!(refused, Refusal::OutOfStock(_) | Refusal::ExceedsOnHand { .. }),
                        "{refused:?}"
                    ),
                    (Err(said), Ok(events)) => prop_assert_eq!(events, vec![], "{:?}", said),
                }
            }
            for event in stock.decide(&command).unwrap_or_default() {
                stock.evolve(&event);
            }
        }
    }

    #[test]
    fn a_thousand_buyers_of_a_hot_sku_never_get_more_than_there_is(
        qty in 1..100_u32,
        buyers in prop::collection::vec((1..4_u32, any::<bool>()), 1..200),
    ) {
        let mut stock = Stock::default();
        let receive = Command::Receive { sku: sku(), location: here(), qty, source_ref: None };
        for event in stock.decide(&receive).unwrap() {
            stock.evolve(&event);
        }
        let mut sold = 0;
        for (n, (wanted, _)) in buyers.iter().enumerate() {
            let id = Uuid::from_u128(n as u128);
            let wish = Command::Reserve(Reserve {
                reservation_id: ReservationId(id),
                sku: sku(),
                location: here(),
                order_id: Some(OrderId(id)),
                lines: vec![LineShare { line_id: LineId(1), qty: *wanted }],
                backorder_ok: vec![],
                allow_partial: false,
                expires_at: None,
                now: at(0),
                basket: None,
            });
            match stock.decide(&wish) {
                Ok(events) => {
                    sold += wanted;
                    events.iter().for_each(|event| stock.evolve(event));
                }
                Err(_) => prop_assert!(sold + wanted > qty, "refused too early"),
            }
        }
        prop_assert!(sold <= qty);
        prop_assert_eq!(stock.reserved, sold);
    }
}
