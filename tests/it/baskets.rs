//! Baskets over HTTP: stock that is held before anything is ordered becomes an order's, once, and is nobody else's in between; `verify`
//! finds nothing afterwards.

use domain::time::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::server::verify;
use crate::harness::{Answer, Client, Server, shop};

struct Shop {
    folder: tempfile::TempDir,
    server: Server,
    client: Client,
}

impl Shop {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("store");
        let server = Server::start_with(&data, &["--set", "store.test_clock=true"]).await;
        let client = server.client();
        Self { folder, server, client }
    }

    /// A reservation of units: its id.
    async fn basket(&self, items: &[(&str, u32)]) -> String {
        let items: Vec<Value> = items.iter().map(|(sku, qty)| json!({ "sku": sku, "qty": qty })).collect();
        let wanted = json!({ "items": items, "hold_for_s": 600 });
        self.client.post("/v1/reservations", &wanted).await.expect(201).text("/reservation_id")
    }

    async fn place(&self, order: &Value) -> Answer {
        self.client.post_and_wait("/v1/orders", order).await
    }

    async fn shown(&self, basket: &str) -> Value {
        self.client.get(&format!("/v1/reservations/{basket}")).await.expect(200).json()
    }

    /// Held and free units of a SKU.
    async fn stock(&self, sku: &str) -> (u64, u64) {
        let shown = self.client.get(&format!("/v1/stock/{sku}")).await.expect(200).json();
        let here = &shown["locations"][0];
        (here["reserved"].as_u64().unwrap(), here["available"].as_u64().unwrap())
    }

    /// Everything that was begun is over, and nothing is found.
    async fn close(self) {
        self.server.ended().await;
        let data = self.folder.path().join("store");
        assert!(self.server.stop().success());
        verify(&data);
    }
}

fn order(lines: &[(&str, u32)], basket: &str) -> Value {
    let mut order = shop::order(lines, "sandbox:approve");
    order["reservation_id"] = json!(basket);
    order
}

fn code(answer: &Answer) -> String {
    answer.text("/code")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_units_in_a_basket_become_an_order_and_nobody_elses() {
    let shop = Shop::open().await;
    shop::receive(&shop.client, "RED", 3).await;
    shop::receive(&shop.client, "BLUE", 5).await;
    let basket = shop.basket(&[("RED", 3), ("BLUE", 4)]).await;
    let other = shop.place(&shop::order(&[("RED", 1)], "sandbox:approve")).await.expect(201).json();
    assert_eq!((&other["status"], &other["rejection"]["reason"]), (&json!("rejected"), &json!("out_of_stock")));

    let body = order(&[("RED", 3), ("BLUE", 1)], &basket);
    let planned = shop.client.post("/v1/orders?dry_run=true", &body).await.expect(200).json();
    let kinds: Vec<_> = planned["events"].as_array().unwrap().iter().map(|event| event["type"].clone()).collect();
    assert_eq!(kinds, [json!("OrderPlaced"), json!("ReservationClosed")]);
    assert_eq!(shop.shown(&basket).await["status"], "open");

    let headers = [("idempotency-key", "from-a-basket"), ("prefer", "wait=60")];
    let sent = || shop.client.send(Method::POST, "/v1/orders", &headers, Some(&body));
    let placed = sent().await.expect(201);
    assert_eq!((placed.text("/status").as_str(), placed.text("/from_reservation_id")), ("confirmed", basket.clone()));
    let again = sent().await.expect(201);
    assert!(again.replayed);
    assert_eq!(again.text("/order_id"), placed.text("/order_id"));

    assert_eq!((shop.stock("RED").await, shop.stock("BLUE").await), ((3, 0), (1, 4)));
    let ended = shop.shown(&basket).await;
    assert_eq!((&ended["status"], &ended["order_id"]), (&json!("ordered"), &json!(placed.text("/order_id"))));

    let second = shop.place(&order(&[("BLUE", 1)], &basket)).await.expect(409);
    assert_eq!((code(&second), second.text("/order_id")), ("reservation-ordered".into(), placed.text("/order_id")));
    let path = format!("/v1/reservations/{basket}");
    let end: Timestamp = ended["expires_at"].as_str().unwrap().parse().unwrap();
    let longer = json!({ "expires_at": end.plus_seconds(60) });
    let longer = shop.client.send(Method::PATCH, &path, &[], Some(&longer)).await.expect(409);
    let let_go = shop.client.send(Method::DELETE, &path, &[], None).await.expect(409);
    assert_eq!([code(&longer), code(&let_go)], ["reservation-ordered", "reservation-ordered"]);

    // Long after the basket's time is over the order still has its units.
    shop.client.post("/v1/test-clock", &json!({ "advance_s": 3_600 })).await.expect(200);
    let shipments = format!("/v1/orders/{}/shipments", placed.text("/order_id"));
    let shipped = shop.client.post_and_wait(&shipments, &json!({})).await.expect(200);
    assert_eq!(shipped.text("/status"), "completed");
    let ledger = shop.client.get("/v1/stock/BLUE/ledger?location=main").await.expect(200).json();
    let moved = ledger["items"].as_array().unwrap().iter().find(|it| it["movement"] == "ordered").unwrap();
    assert_eq!((&moved["reserved_change"], &moved["reservation_id"]), (&json!(-3), &json!(basket)));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_basket_that_is_over_is_no_orders() {
    let shop = Shop::open().await;
    shop::receive(&shop.client, "RED", 3).await;
    let path = |basket: &str| format!("/v1/reservations/{basket}");
    let (forgotten, given_up) = (shop.basket(&[("RED", 2)]).await, shop.basket(&[("RED", 1)]).await);
    shop.client.send(Method::DELETE, &path(&given_up), &[], None).await.expect(200);
    shop.client.post("/v1/test-clock", &json!({ "advance_s": 601 })).await.expect(200);
    shop::until(&shop.client, &path(&forgotten), "over", |shown| shown["status"] == "expired").await;
    for (basket, end) in [(&forgotten, "expired"), (&given_up, "released")] {
        let refused = shop.place(&order(&[("RED", 1)], basket)).await.expect(409);
        assert_eq!((code(&refused), refused.text("/end")), ("reservation-ended".into(), end.into()));
    }
    let unknown = shop.place(&order(&[("RED", 1)], "01890a5d-ac96-774b-bcce-b302099a8057")).await.expect(404);
    assert_eq!(code(&unknown), "reservation-not-found");
    shop.place(&order(&[("RED", 1)], "basket")).await.expect(400);
    assert_eq!(shop.stock("RED").await, (0, 3));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_comes_to_nothing_leaves_nothing_of_its_basket() {
    let shop = Shop::open().await;
    shop::receive(&shop.client, "RED", 3).await;
    shop::receive(&shop.client, "BLUE", 3).await;
    let free = ((0, 3), (0, 3));
    let basket = shop.basket(&[("RED", 2), ("BLUE", 2)]).await;
    let refused = shop.place(&order(&[("RED", 4)], &basket)).await.expect(201).json();
    assert_eq!(refused["rejection"]["shortfalls"][0]["available"], 3, "{refused}");
    assert_eq!((shop.stock("RED").await, shop.stock("BLUE").await), free);
    assert_eq!(shop.shown(&basket).await["order_id"], refused["order_id"]);

    let basket = shop.basket(&[("RED", 2), ("BLUE", 2)]).await;
    let mut declined = order(&[("RED", 2)], &basket);
    declined["payment"]["instrument"] = json!("sandbox:decline");
    let declined = shop.place(&declined).await.expect(201).json();
    assert_eq!(declined["rejection"]["reason"], "payment_declined");
    assert_eq!((shop.stock("RED").await, shop.stock("BLUE").await), free);

    let basket = shop.basket(&[("RED", 2)]).await;
    let placed = shop.place(&order(&[("RED", 2)], &basket)).await.expect(201);
    let cancellations = format!("/v1/orders/{}/cancellations", placed.text("/order_id"));
    let cancelled = shop.client.post_and_wait(&cancellations, &json!({ "reason": "no need" })).await.expect(200);
    assert_eq!(cancelled.text("/status"), "cancelled");
    assert_eq!((shop.stock("RED").await, shop.stock("BLUE").await), free);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_orders_on_one_basket_one_has_it() {
    let shop = Shop::open().await;
    shop::receive(&shop.client, "RED", 2).await;
    let basket = shop.basket(&[("RED", 2)]).await;
    let place = |number: u32| {
        let (client, mut body) = (shop.client.clone(), order(&[("RED", 1 + number % 2)], &basket));
        body["tags"] = json!([format!("number {number}")]);
        tokio::spawn(async move { client.post_and_wait("/v1/orders", &body).await })
    };
    let all: Vec<_> = (0..12).map(place).collect();
    let mut confirmed = 0;
    for answer in all {
        let answer = answer.await.unwrap();
        match answer.status {
            201 => {
                assert_eq!(answer.text("/status"), "confirmed");
                confirmed += 1;
            }
            _ => assert_eq!(code(&answer.expect(409)), "reservation-ordered"),
        }
    }
    assert_eq!(confirmed, 1);
    shop.close().await;
}
