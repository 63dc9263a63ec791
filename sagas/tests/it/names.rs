//! Ids that callers name are unique within an order and no further: equal ids on two orders are two processes.

use domain::ids::{CancellationId, EditId, LineId, OrderId, RefundId, ShipmentId};
use domain::money::Minor;
use domain::order;
use domain::order::command::{Change, Edit, GrantRefund};
use domain::order::event::Capture;
use domain::order::state::Status;
use uuid::Uuid;

use super::ledger::{all_sagas_ended, reconcile};
use super::shop::{Shop, ship};

/// What a bulk action names: the id of the batch.
const BATCH: Uuid = Uuid::from_u128(0xBA7C4);

async fn confirmed(shop: &mut Shop, numbers: [u128; 2]) -> [OrderId; 2] {
    let mut orders = [OrderId::default(); 2];
    for (order, number) in orders.iter_mut().zip(numbers) {
        *order = shop.place(number, Capture::AtShipment, "sandbox:approve").await;
        assert_eq!(shop.verdict(*order).await, Status::Confirmed);
    }
    orders
}

#[tokio::test(flavor = "multi_thread")]
async fn one_cancellation_id_on_two_orders_cancels_both() {
    let mut shop = Shop::open(0).await;
    let life = shop.live();
    let orders = confirmed(&mut shop, [1, 2]).await;
    for order_id in orders {
        let cancel =
            order::Command::Cancel { cancellation_id: CancellationId(BATCH), lines: None, reason: "bulk".into() };
        assert_eq!(shop.order(order_id, cancel).await, None);
    }
    for order_id in orders {
        shop.until(order_id, |order| order.status == Status::Cancelled).await;
    }
    all_sagas_ended(&shop).await;
    assert_eq!(shop.reserved().await, 0);
    reconcile(&shop).await;
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_refund_id_on_two_orders_is_paid_on_both() {
    const GIFT: Minor = 150;
    let mut shop = Shop::open(0).await;
    let life = shop.live();
    let orders = confirmed(&mut shop, [1, 2]).await;
    for order_id in orders {
        shop.order(order_id, ship(order_id)).await;
        shop.until(order_id, |order| order.payment().captured == 5_000).await;
        let grant = order::Command::GrantRefund(GrantRefund {
            refund_id: RefundId(BATCH),
            amount: Some(GIFT),
            lines: Vec::new(),
            shipping: 0,
            reason: "sorry".into(),
        });
        assert_eq!(shop.order(order_id, grant).await, None);
    }
    for order_id in orders {
        shop.until(order_id, |order| order.payment().refunded == GIFT).await;
    }
    all_sagas_ended(&shop).await;
    reconcile(&shop).await;
    life.stop().await;
}

/// Also where the edit's id is that of one of the orders, whose own reservation is named after it.
#[tokio::test(flavor = "multi_thread")]
async fn one_edit_id_on_two_orders_reserves_for_both() {
    let mut shop = Shop::open(0).await;
    let life = shop.live();
    let orders = confirmed(&mut shop, [1, 2]).await;
    for order_id in orders {
        let edit = order::Command::Edit(Edit {
            edit_id: EditId(orders[0].0),
            changes: vec![Change::SetQty { line_id: LineId(1), qty: 4 }],
            reason: "one more".into(),
        });
        assert_eq!(shop.order(order_id, edit).await, None);
    }
    for order_id in orders {
        shop.until(order_id, |order| order.lines[&LineId(1)].reserved == 4).await;
    }
    all_sagas_ended(&shop).await;
    assert_eq!(shop.reserved().await, 2 * 6);
    life.stop().await;
}

/// The capture of a shipment is not taken for the capture of the order, whatever the shipment is called.
#[tokio::test(flavor = "multi_thread")]
async fn a_shipment_called_as_its_order_is_shipped_and_paid() {
    let mut shop = Shop::open(0).await;
    let life = shop.live();
    let orders = confirmed(&mut shop, [1, 2]).await;
    for order_id in orders {
        let request = order::Command::RequestShipment {
            shipment_id: ShipmentId(order_id.0),
            lines: None,
            location: None,
            carrier: None,
            tracking: None,
        };
        assert_eq!(shop.order(order_id, request).await, None);
        shop.until(order_id, |order| order.status == Status::Completed && order.payment().captured == 5_000).await;
    }
    all_sagas_ended(&shop).await;
    reconcile(&shop).await;
    life.stop().await;
}
