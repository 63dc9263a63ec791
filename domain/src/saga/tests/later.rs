//! What happens to an order once it is confirmed: cancellations, shipments, returns, refunds, backorders, edits, reservations.

use super::*;

#[test]
fn a_confirmed_order_is_cancelled_before_and_after_it_was_captured() {
    for seed in 0..20 {
        for (capture, instrument) in [
            (Capture::AtShipment, ""),
            (Capture::AtConfirmation, ""),
            (Capture::AtConfirmation, "refund-unknown-done"),
            (Capture::AtShipment, "void-unknown-done"),
            (Capture::PayLater, ""),
        ] {
            let mut world = World::confirmed(seed, capture, instrument);
            world.cancel(None);
            world.run(HOUR);
            assert_eq!(world.placed().status, Status::Cancelled);
            let (authorised, captured, refunded, voided) = world.money();
            assert_eq!((authorised - captured - voided, captured - refunded), (0, 0));
            assert_eq!(world.held(), 0);
            world.at_rest();
        }
    }
}

#[test]
fn a_cancellation_while_the_money_is_being_taken_gives_it_back() {
    for steps in 10..60 {
        for lines in [None, Some(vec![Units { line_id: LineId(1), qty: 1 }])] {
            let mut world = World::with_stock(steps, 100);
            world.place(Capture::AtConfirmation, "capture-late");
            for _ in 0..steps {
                world.step();
            }
            if world.placed().status != Status::Confirmed {
                continue;
            }
            let part = lines.is_some();
            world.cancel(lines);
            world.run(2 * HOUR);
            let (_, captured, refunded, _) = world.money();
            assert_eq!(captured - refunded, if part { 4_000 } else { 0 });
            world.at_rest();
        }
    }
}

#[test]
fn a_part_is_cancelled_and_the_rest_is_shipped() {
    for capture in [Capture::AtShipment, Capture::AtConfirmation, Capture::PayLater] {
        let mut world = World::confirmed(5, capture, "");
        world.cancel(Some(vec![Units { line_id: LineId(1), qty: 2 }]));
        world.run(HOUR);
        assert_eq!(world.held(), 3);
        world.at_rest();
        world.ship();
        assert_eq!(world.placed().status, Status::Completed);
        let (_, captured, refunded, _) = world.money();
        let owed = if capture == Capture::PayLater { 0 } else { 3_000 };
        assert_eq!(captured - refunded, owed);
        world.at_rest();
    }
}

/// A cancellation that withdraws a shipment for some of its units frees the others, which stock puts back a moment later: whatever cancels
/// them meanwhile releases them once they are back.
#[test]
fn what_is_cancelled_while_its_shipment_is_on_its_way_back_is_released() {
    for seed in 0..200 {
        let mut world = World::confirmed(seed, Capture::AtShipment, "capture-late");
        world.ask_order(order::Command::RequestShipment {
            shipment_id: ShipmentId(derived(ORDER.0, "shipment")),
            lines: None,
            location: None,
            carrier: None,
            tracking: None,
        });
        for _ in 0..seed % 20 {
            world.step();
        }
        for (number, qty) in [(1, 1), (2, 2)] {
            let cancel = order::Command::Cancel {
                cancellation_id: CancellationId(Uuid::from_u128(number)),
                lines: Some(vec![Units { line_id: LineId(1), qty }]),
                reason: "customer".into(),
            };
            if world.order(ORDER, cancel).is_err() {
                break;
            }
        }
        world.run(24 * HOUR);
        world.at_rest();
    }
}

#[test]
fn a_capture_that_fails_refuses_the_shipment_and_an_unknown_one_does_not() {
    let mut world = World::confirmed(2, Capture::AtShipment, "capture-declines");
    world.ship();
    assert_eq!(world.ends("fulfilment"), ["capture_failed"]);
    assert_eq!((world.held(), world.money().1), (5, 0));
    world.at_rest();

    let mut world = World::confirmed(2, Capture::AtShipment, "capture-unknown-done");
    world.ship();
    assert_eq!(world.placed().status, Status::Completed);
    assert_eq!(world.money().1, 5_000);
    world.at_rest();

    let mut world = World::confirmed(2, Capture::AtShipment, "capture-never");
    world.ship();
    assert_eq!(world.placed().status, Status::Confirmed);
    let parked = world.saga("fulfilment").state().parked.clone();
    assert_eq!(parked.unwrap().reason, "outcome_unknown");
    assert_eq!(world.placed().shipped_units(), 0, "nothing leaves on a guess");
}

#[test]
fn a_capture_at_confirmation_that_fails_needs_a_person_unless_the_order_is_cancelled() {
    let mut world = World::with_stock(3, 100);
    world.place(Capture::AtConfirmation, "capture-declines");
    world.run(24 * HOUR);
    assert_eq!(world.placed().status, Status::Confirmed);
    assert!(world.saga("checkout").state().parked.is_some());
    world.cancel(None);
    world.run(24 * HOUR);
    assert_eq!(world.placed().status, Status::Cancelled);
    assert_eq!((world.held(), world.money()), (0, (5_000, 0, 0, 5_000)));
    world.at_rest();
}

#[test]
fn what_somebody_says_shall_not_be_taken_again_no_process_asks_for_again() {
    let mut world = World::with_stock(3, 100);
    world.place(Capture::AtConfirmation, "capture-never");
    world.run(600);
    let capture_id = CaptureId(derived(ORDER.0, "capture"));
    let payment_id = crate::saga::checkout::payment_of(ORDER);
    let command = payment::Command::ResolveOutcome {
        verb: Verb::Capture { capture_id },
        verdict: Verdict::NotDone,
        evidence: "they wrote".into(),
        provider_ref: None,
        try_again: false,
    };
    world.send(Command::Payment { payment_id, command }).unwrap();
    world.run(24 * HOUR);
    assert_eq!(world.ends("checkout"), ["done"]);
    assert_eq!(world.payments[&payment_id].requested().unwrap().captures[&capture_id].attempt, 1);
    assert_eq!((world.placed().status, world.held(), world.money()), (Status::Confirmed, 5, (5_000, 0, 0, 0)));
    world.at_rest();
}

#[test]
fn a_hold_stops_the_dispatch_until_it_is_released() {
    let mut world = World::confirmed(4, Capture::AtShipment, "capture-late");
    world.ask_order(order::Command::RequestShipment {
        shipment_id: ShipmentId(derived(ORDER.0, "shipment")),
        lines: None,
        location: None,
        carrier: None,
        tracking: None,
    });
    let hold_id = HoldId(derived(ORDER.0, "hold"));
    world.ask_order(order::Command::PlaceHold { hold_id, reason: "fraud_check".into(), note: None, until: None });
    world.run(600);
    assert_eq!(world.placed().status, Status::Confirmed);
    world.ask_order(order::Command::ReleaseHold { hold_id, resolution: "fine".into() });
    world.run(60);
    assert_eq!(world.placed().status, Status::Completed);
    world.at_rest();
}

#[test]
fn a_return_in_two_parcels_is_restocked_and_refunded() {
    for instrument in ["", "refund-fails-twice", "refund-unknown-done"] {
        let mut world = World::confirmed(6, Capture::AtShipment, instrument);
        world.ship();
        let return_id = ReturnId(derived(ORDER.0, "return"));
        world.ask_order(order::Command::RequestReturn {
            return_id,
            lines: vec![ReturnUnits { line_id: LineId(1), qty: 3, reason: "too large".into() }],
        });
        for disposition in [Disposition::Restock, Disposition::Damaged] {
            world.ask_order(order::Command::ReceiveReturn {
                return_id,
                receipt: None,
                lines: vec![ReceivedUnits { line_id: LineId(1), qty: 1, disposition, location: None }],
            });
        }
        world.run(HOUR);
        assert_eq!(world.money().2, 2_000);
        assert_eq!(world.stocks["main/A"].on_hand, 98);
        world.at_rest();
    }
}

#[test]
fn a_refund_that_the_provider_will_not_make_is_told_to_the_order_within_half_a_minute() {
    let mut world = World::confirmed(6, Capture::AtConfirmation, "refund-declines");
    let refund_id = RefundId(derived(ORDER.0, "gift"));
    world.ask_order(order::Command::GrantRefund(order::command::GrantRefund {
        refund_id,
        amount: Some(500),
        lines: Vec::new(),
        shipping: 0,
        reason: "gesture".into(),
    }));
    world.run(30);
    assert_eq!(world.ends("refund"), ["refund_failed"]);
    assert_eq!(world.money().2, 0);
    let ledger = world.placed().ledger();
    assert_eq!((ledger.failed, ledger.granted, ledger.refundable()), (500, 0, 5_000));
    world.at_rest();
}

#[test]
fn what_is_free_or_paid_later_needs_no_payment() {
    let mut world = World::confirmed(8, Capture::PayLater, "authorise-declines");
    world.ship();
    assert_eq!(world.placed().status, Status::Completed);
    assert_eq!(world.money(), (0, 0, 0, 0));
    world.at_rest();

    let mut world = World::with_stock(9, 10);
    let mut free = line(1, "A", 1);
    free.unit_price = "0".to_owned().try_into().unwrap();
    let mut fee = line(2, "FEE", 1);
    fee.unit_price = "0".to_owned().try_into().unwrap();
    fee.stocked = false;
    let lines = vec![free, fee];
    world.send(place_as(ORDER, Capture::AtShipment, "", lines)).unwrap();
    world.run(HOUR);
    assert_eq!(world.placed().status, Status::Confirmed);
    world.ship();
    assert_eq!(world.placed().status, Status::Completed);
    world.at_rest();
}

#[test]
fn a_backorder_is_confirmed_and_ships_when_stock_comes() {
    for seed in 0..20 {
        let mut world = World::with_stock(seed, 1);
        register_with_backorders(&mut world);
        let mut waits = line(1, "A", 3);
        waits.backorder_ok = true;
        world.send(place_as(ORDER, Capture::AtShipment, "", vec![waits])).unwrap();
        // Stock may arrive before the backorder is recorded in the order.
        for _ in 0..seed {
            world.step();
        }
        world.receive("A", 5);
        world.run(HOUR);
        assert_eq!(world.placed().status, Status::Confirmed);
        assert_eq!(world.placed().lines[&LineId(1)].reserved, 3);
        world.at_rest();
        world.ship();
        assert_eq!(world.placed().status, Status::Completed);
        world.at_rest();
    }
}

#[test]
fn stock_that_one_order_lets_go_serves_all_who_wait_for_it() {
    for seed in 0..5 {
        let mut world = World::with_stock(seed, 20);
        register_with_backorders(&mut world);
        world.send(place_as(ORDER, Capture::PayLater, "", vec![line(1, "A", 20)])).unwrap();
        world.run(HOUR);
        let waiting: Vec<_> = (2..=11).map(|n| OrderId(Uuid::from_u128(n))).collect();
        for order_id in &waiting {
            let mut waits = line(1, "A", 2);
            waits.backorder_ok = true;
            world.send(place_as(*order_id, Capture::PayLater, "", vec![waits])).unwrap();
        }
        world.run(HOUR);
        world.cancel(None);
        world.run(HOUR);
        for order_id in &waiting {
            assert_eq!(world.orders[order_id].placed().unwrap().lines[&LineId(1)].reserved, 2, "seed {seed}");
        }
        world.at_rest();
    }
}

fn edit(qty: u32) -> order::Command {
    order::Command::Edit(Edit {
        edit_id: EditId(derived(ORDER.0, &format!("edit/{qty}"))),
        changes: vec![Change::SetQty { line_id: LineId(1), qty }],
        reason: "customer".into(),
    })
}

#[test]
fn an_edit_has_more_held_or_less_and_cancels_what_there_is_not() {
    let mut world = World::confirmed(3, Capture::AtShipment, "");
    world.ask_order(edit(10));
    world.run(HOUR);
    assert_eq!(world.held(), 12);
    world.at_rest();
    world.ask_order(edit(1));
    world.run(HOUR);
    assert_eq!(world.held(), 3);
    world.at_rest();
    world.ask_order(edit(1_000));
    world.run(HOUR);
    assert_eq!(world.placed().lines[&LineId(1)].cancelled, 999);
    assert_eq!(world.held(), 3);
    assert_eq!(world.ends("amendment").iter().filter(|end| *end == "out_of_stock").count(), 1);
    world.at_rest();
}

#[test]
fn what_is_cancelled_while_an_edit_is_under_way_is_let_go() {
    for steps in 0..30 {
        let mut world = World::confirmed(steps, Capture::AtShipment, "");
        world.ask_order(edit(10));
        for _ in 0..steps {
            world.step();
        }
        world.cancel(Some(vec![Units { line_id: LineId(1), qty: 6 }]));
        world.run(HOUR);
        assert_eq!(world.held(), 6);
        world.at_rest();
    }
}

#[test]
fn a_reservation_ends_by_itself_or_by_somebody() {
    for prolonged in [false, true] {
        let mut world = World::with_stock(1, 10);
        let reservation_id = ReservationId(Uuid::from_u128(77));
        let expires_at = world.now.plus_seconds(600);
        let item = Item { sku: sku("A"), location: main(), qty: 4 };
        let reserve = stock::command::Reserve {
            reservation_id,
            sku: sku("A"),
            location: main(),
            order_id: None,
            lines: vec![stock::event::LineShare { line_id: LineId(0), qty: 4 }],
            backorder_ok: Vec::new(),
            allow_partial: false,
            expires_at: Some(expires_at),
            now: world.now,
            basket: None,
        };
        let batch = |reservation: reservation::Command, stock: stock::Command| Command::Inventory {
            reservation: Some((reservation_id, reservation)),
            stock: vec![StockCommand { location: main(), sku: sku("A"), command: stock }],
        };
        let open = reservation::Command::Open {
            reservation_id,
            items: vec![item],
            opened_at: world.now,
            expires_at,
            hold_for_s: 60,
            reference: None,
        };
        world.send(batch(open, stock::Command::Reserve(reserve))).unwrap();
        world.run(300);
        assert_eq!(world.held(), 4);
        if prolonged {
            let expires_at = expires_at.plus_seconds(600);
            let prolong = reservation::Command::Prolong { expires_at };
            let extend = stock::Command::Extend { reservation_id, expires_at };
            world.send(batch(prolong, extend)).unwrap();
            world.run(600);
            assert_eq!(world.held(), 4, "it was prolonged");
            let close = reservation::Command::Close { end: End::Released };
            let release = stock::Command::Release {
                reservation_id,
                order_id: None,
                qty: None,
                lines: Vec::new(),
                release_id: reservation_id.0,
                expires_at: None,
                reason: "no need".into(),
            };
            world.send(batch(close, release)).unwrap();
        }
        world.run(HOUR);
        assert_eq!(world.held(), 0);
        assert_eq!(world.ends("reservation"), [if prolonged { "released" } else { "expired" }]);
        world.at_rest();
    }
}
