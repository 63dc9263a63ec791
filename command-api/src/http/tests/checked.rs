//! What a command to an order is checked against before it takes effect: stock, and the order that has its number.

use domain::command::StockCommand;
use domain::stock;
use domain::stock::command::Reserve;
use domain::stock::event::LineShare;
use futures_util::future::join_all;

use super::*;

/// A confirmed order of six units, of which a count leaves `counted`.
async fn short(server: &Server, counted: u32) -> OrderId {
    let id = order_id(&server.send(post("/v1/orders", order_of(None))).await);
    server.confirm(id, 6).await;
    let count = json!({"counted": counted, "accept_shortage": true});
    assert_eq!(server.send(post("/v1/stock/85123A/counts", count)).await.status, StatusCode::CREATED);
    id
}

async fn order(server: &Server, id: OrderId) -> Order {
    let (order, _) = server.executor.load::<Order>(&tenant(), &stream::order(id)).await.unwrap();
    (*order).clone()
}

#[tokio::test]
async fn a_shipment_of_what_is_not_here_is_refused_before_it_is_requested() {
    let server = Server::new();
    let id = short(&server, 4).await;
    let ship = format!("/v1/orders/{id}/shipments");
    let before = order(&server, id).await;
    let all = ask(Method::POST, &ship).key("all");
    let told = server.send(all.clone()).await;
    assert_eq!(told.code(), "exceeds-on-hand");
    assert_eq!((&told.json()["wanted"], &told.json()["on_hand"]), (&json!(6), &json!(4)));
    let five = json!({"lines": [{"line_id": 1, "qty": 5}]});
    assert_eq!(server.send(post(&ship, five)).await.code(), "exceeds-on-hand");
    assert_eq!(order(&server, id).await, before);

    let four = json!({"shipment_id": uuid(40), "lines": [{"line_id": 1, "qty": 4}]});
    assert_eq!(server.send(post(&ship, four.clone())).await.status, StatusCode::ACCEPTED);
    server.send(post("/v1/stock/85123A/counts", json!({"counted": 0, "accept_shortage": true}))).await;
    // A shipment that was requested before is not checked again.
    assert_eq!(server.send(post(&ship, four)).await.status, StatusCode::ACCEPTED);
    // Stock came, and the first answer stays the answer.
    server.send(post("/v1/stock/85123A/receipts", json!({"qty": 9}))).await;
    assert_eq!(server.send(all).await.essence(), told.essence());
    assert_eq!(server.send(ask(Method::POST, &ship)).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_hold_is_told_before_what_is_not_here() {
    let server = Server::new();
    let id = short(&server, 0).await;
    server.send(post(&format!("/v1/orders/{id}/holds"), json!({"reason": "fraud_check"}))).await;
    assert_eq!(server.send(ask(Method::POST, &format!("/v1/orders/{id}/shipments"))).await.code(), "on-hold");
    let nobody = format!("/v1/orders/{}/shipments", uuid(3));
    assert_eq!(server.send(ask(Method::POST, &nobody)).await.code(), "not-found");
}

#[tokio::test]
async fn a_return_comes_back_to_where_the_sku_is_kept() {
    let server = Server::new();
    let mut body = order_of(None);
    let postage = json!({"sku": "POST", "title": "Postage", "qty": 2, "unit_price": "1.00", "stocked": false});
    body["lines"].as_array_mut().unwrap().push(postage);
    let id = order_id(&server.send(post("/v1/orders", body)).await);
    server.confirm(id, 6).await;
    let ship = server.send(post(&format!("/v1/orders/{id}/shipments"), json!({"shipment_id": uuid(40)}))).await;
    assert_eq!(ship.status, StatusCode::ACCEPTED, "{:?}", ship.json());
    server.dispatch(id, ShipmentId(uuid(40))).await;
    let announced = json!({"return_id": uuid(50), "lines": [
        {"line_id": 1, "qty": 6, "reason": "too_small"},
        {"line_id": 2, "qty": 2, "reason": "too_small"},
    ]});
    assert_eq!(server.send(post(&format!("/v1/orders/{id}/returns"), announced)).await.status, StatusCode::CREATED);
    let before = order(&server, id).await;

    let path = format!("/v1/returns/{}/receipts", uuid(50));
    let line = |line: u32, qty: u32, disposition: &str, location: &str| json!({"line_id": line, "qty": qty, "disposition": disposition, "location": location});
    for disposition in ["restock", "damaged"] {
        let typo = json!({"lines": [line(1, 1, "restock", "main"), line(1, 2, disposition, "typo-loc")]});
        let told = server.send(post(&path, typo)).await;
        assert_eq!(told.code(), "never-kept");
        assert_eq!((&told.json()["sku"], &told.json()["location"]), (&json!("85123A"), &json!("typo-loc")));
    }
    assert_eq!(order(&server, id).await, before);

    // Lines that are not kept in stock, and units that never arrived, have no location.
    let elsewhere = json!({"lines": [line(2, 2, "restock", "typo-loc"), line(1, 1, "missing", "typo-loc")]});
    assert_eq!(server.send(post(&path, elsewhere)).await.status, StatusCode::OK);
    let twice = json!({"lines": [line(1, 1, "restock", "main"), line(1, 1, "restock", "main")]});
    let told = server.send(post(&path, twice)).await;
    assert_eq!((told.code(), told.pointer()), ("malformed-body".into(), "/lines/1/line_id".into()));
    server.send(post("/v1/stock/85123A/receipts", json!({"location": "shop", "qty": 1}))).await;
    let shop = json!({"lines": [line(1, 1, "restock", "shop"), line(1, 1, "restock", "main")]});
    assert_eq!(server.send(post(&path, shop)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_line_is_named_once_in_a_return_and_in_a_refund() {
    let server = Server::new();
    let id = order_id(&server.send(post("/v1/orders", order_of(None))).await);
    let lines = json!({"lines": [{"line_id": 1, "qty": 1, "reason": "a"}, {"line_id": 1, "qty": 1, "reason": "b"}]});
    let told = server.send(post(&format!("/v1/orders/{id}/returns"), lines)).await;
    assert_eq!((told.code(), told.pointer()), ("malformed-body".into(), "/lines/1/line_id".into()));
    let line = json!({"line_id": 1, "qty": 1, "amount": {"amount": 1, "currency": "GBP"}});
    let refund = json!({"reason": "goodwill", "lines": [line, line]});
    let told = server.send(post(&format!("/v1/orders/{id}/refunds"), refund)).await;
    assert_eq!((told.code(), told.pointer()), ("malformed-body".into(), "/lines/1/line_id".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_number_of_a_rejected_order_is_taken_once_more_and_leads_to_the_newest() {
    let server = Server::new();
    let place = || post("/v1/orders", order_of(Some("536365")));
    let first = server.send(place().key("first")).await;
    let told = server.send(place()).await;
    assert_eq!(told.code(), "duplicate-external-ref");
    assert_eq!(told.json()["order_id"], first.json()["order_id"]);
    let mut last = first.clone();
    for _ in 0..2 {
        server.reject(order_id(&last)).await;
        let told = join_all((0..8).map(|_| server.send(place()))).await;
        let (placed, refused): (Vec<_>, Vec<_>) = told.into_iter().partition(|told| told.status == StatusCode::CREATED);
        assert_eq!((placed.len(), refused.len()), (1, 7));
        for told in refused {
            assert_eq!(told.code(), "duplicate-external-ref");
            assert_eq!(told.json()["order_id"], placed[0].json()["order_id"]);
        }
        last = placed[0].clone();
        assert_ne!(order_id(&last), order_id(&first));
    }
    // The first request still has its first answer, though another order has the number now.
    assert_eq!(server.send(place().key("first")).await.essence(), first.essence());
    let server = server.restarted().await;
    assert_eq!(server.send(place()).await.json()["order_id"], last.json()["order_id"]);
    assert_eq!(server.send(place().key("first")).await.essence(), first.essence());
}

#[tokio::test]
async fn an_order_for_nothing_names_no_instrument() {
    let server = Server::new();
    let mut body = order_of(None);
    body["payment"] = json!({});
    let told = server.send(post("/v1/orders", body.clone())).await;
    assert_eq!((told.code(), told.pointer()), ("malformed-body".into(), "/payment/instrument".into()));
    body["lines"][0]["unit_price"] = "0".into();
    assert_eq!(server.send(post("/v1/orders", body)).await.status, StatusCode::CREATED);
}

/// What inventory does when it holds an order's units.
async fn reserve(server: &Server, order_id: OrderId, qty: u32) {
    let (sku, location) = (Sku::try_new("85123A").unwrap(), LocationId::try_new("main").unwrap());
    let wish = Reserve {
        reservation_id: ReservationId(derived(order_id.0, "reservation")),
        sku: sku.clone(),
        location: location.clone(),
        order_id: Some(order_id),
        lines: vec![LineShare { line_id: LineId(1), qty }],
        backorder_ok: vec![],
        allow_partial: false,
        expires_at: None,
        now: Timestamp::from_micros(0),
        basket: None,
    };
    let stock = vec![StockCommand { location, sku, command: stock::Command::Reserve(wish) }];
    let (id, metadata) = (derived(order_id.0, "hold"), Metadata::new(actor(), order_id.0));
    let command = Command::Inventory { reservation: None, stock };
    let done = server.executor.execute_command(&tenant(), id, command, metadata).await.unwrap();
    assert_eq!(done.refused(), None);
}

#[tokio::test]
async fn what_is_short_waits_for_stock_again_by_order_and_stock_at_once() {
    let server = Server::new();
    let id = order_id(&server.send(post("/v1/orders", order_of(None))).await);
    server.confirm(id, 6).await;
    reserve(&server, id, 6).await;
    server.send(post("/v1/stock/85123A/counts", json!({"counted": 4, "accept_shortage": true}))).await;
    let path = "/v1/stock/85123A/backorders";
    let wish = |id: OrderId, qty: u32| json!({"order_id": id, "qty": qty, "reason": "counted short"});
    let before = order(&server, id).await;
    assert_eq!(server.send(post(path, wish(id, 3))).await.code(), "not-short");
    assert_eq!(server.send(post(path, wish(id, 7))).await.code(), "not-reserved");
    assert_eq!(server.send(post("/v1/stock/OTHER/backorders", wish(id, 1))).await.code(), "not-reserved");
    assert_eq!(server.send(post(path, wish(OrderId(uuid(9)), 1))).await.code(), "not-found");
    assert_eq!(server.send(post(path, wish(id, 0))).await.pointer(), "/qty");
    assert_eq!(order(&server, id).await, before);

    let told = server.send(post(path, wish(id, 2)).key("wait")).await;
    assert_eq!(told.status, StatusCode::CREATED, "{:?}", told.json());
    let numbers = |told: &Told| ["on_hand", "reserved", "backordered"].map(|name| told.json()[name].as_u64().unwrap());
    assert_eq!(numbers(&told), [4, 4, 2]);
    let state = order(&server, id).await;
    let line = state.placed().unwrap().lines[&LineId(1)].clone();
    assert_eq!((line.reserved, line.backordered), (4, 2));
    assert_eq!(server.send(post(path, wish(id, 2)).key("wait")).await.essence(), told.essence());
    assert_eq!(server.send(post(path, wish(id, 1))).await.code(), "not-short");
    let told = server.send(ask(Method::POST, &format!("/v1/orders/{id}/shipments"))).await;
    assert_eq!(told.json()["shipments"][0]["lines"][0]["qty"], 4);
    let told = server.send(post("/v1/stock/85123A/receipts", json!({"qty": 5}))).await;
    assert_eq!(numbers(&told), [9, 6, 0]);
}
