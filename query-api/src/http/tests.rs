//! The read side through its routes, on the real store and the real read models: answers match the fold of the log, and
//! bad input is never answered with a 5xx.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue has failed")]

#[path = "../../../projections/src/tests/shop.rs"]
mod shop;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use domain::ids::OrderId;
use domain::order::Order;
use projections::{Options, Projections};
use schemas::http::order::OrderBody;
use schemas::http::place::Places;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use self::shop::{Shop, TENANT};
use super::{Api, Caller, router};

struct Client {
    shop: Shop,
    projections: Arc<Projections>,
    router: Router,
}

struct Answered {
    status: u16,
    headers: axum::http::HeaderMap,
    body: Value,
}

impl Answered {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Client {
    async fn open(shop: Shop) -> Self {
        let projections = Projections::open(Options::new(shop.folder.path().join("read")), shop.log()).await.unwrap();
        projections.catch_up(None).await.unwrap();
        let api = Api::new(shop.log(), Arc::clone(&projections), Duration::from_millis(200));
        let router = router(api).split_for_parts().0;
        Self { shop, projections, router }
    }

    fn waits_for(&mut self, longest: Duration) {
        let api = Api::new(self.shop.log(), Arc::clone(&self.projections), longest);
        self.router = router(api).split_for_parts().0;
    }

    async fn caught_up(&self) {
        self.projections.catch_up(None).await.unwrap();
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], tenant: &str) -> Answered {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::empty()).unwrap();
        request.extensions_mut().insert(Caller { tenant: tenant.parse().unwrap() });
        let response: Response<Body> = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 10_000_000).await.unwrap();
        let body =
            if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap_or(json!("not JSON")) };
        Answered { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    async fn get(&self, path: &str) -> Answered {
        self.send("GET", path, &[], TENANT).await
    }

    fn shown(&self, id: OrderId, version: u64) -> Value {
        body(&self.shop.orders[&id], version)
    }
}

fn body(order: &Order, version: u64) -> Value {
    let Order::Placed(placed) = order else { panic!("not placed") };
    serde_json::to_value(OrderBody::new(placed, version)).unwrap()
}

async fn sold() -> (Client, OrderId) {
    let mut shop = Shop::open();
    shop.receive("MUG", 100).await;
    let id = shop.place("c-1", &[("MUG", 5)], 1_000).await;
    shop.authorise(id).await;
    shop.confirm(id).await;
    shop.ship(id).await;
    shop.take_back(id, 2).await;
    (Client::open(shop).await, id)
}

#[tokio::test]
async fn an_order_is_answered_with_its_version_its_position_and_the_body_of_its_fold() {
    let (client, id) = sold().await;
    let answer = client.get(&format!("/v1/orders/{id}")).await;
    assert_eq!(answer.status, 200);
    let version = answer.body["version"].as_u64().unwrap();
    assert_eq!(answer.body, client.shown(id, version));
    assert_eq!(answer.header("etag"), format!("\"v{version}\""));
    assert_eq!(answer.header("daybook-position"), client.shop.head().to_string());
    let tag = answer.header("etag").to_owned();
    for known in [tag.clone(), format!("\"v1\", W/{tag}"), "*".into()] {
        let again = client.send("GET", &format!("/v1/orders/{id}"), &[("if-none-match", &known)], TENANT).await;
        assert_eq!((again.status, again.body), (304, Value::Null), "{known}");
    }
    let other = client.send("GET", &format!("/v1/orders/{id}"), &[("if-none-match", "\"v1\"")], TENANT).await;
    assert_eq!(other.status, 200);
    let foreign = client.send("GET", &format!("/v1/orders/{id}"), &[], "another").await;
    assert_eq!((foreign.status, &foreign.body["code"]), (404, &json!("not-found")));
}

#[tokio::test]
async fn as_of_any_moment_is_the_fold_of_the_prefix_and_stays_so() {
    let mut shop = Shop::open();
    shop.receive("MUG", 100).await;
    let id = shop.place("c-1", &[("MUG", 5)], 1_000).await;
    let mut moments = vec![(shop.head(), shop.orders[&id].clone())];
    shop.confirm(id).await;
    moments.push((shop.head(), shop.orders[&id].clone()));
    shop.cancel(id, Some(2)).await;
    moments.push((shop.head(), shop.orders[&id].clone()));
    let mut client = Client::open(shop).await;
    let mut first = Vec::new();
    for round in 0..2 {
        for (at, (position, state)) in moments.iter().enumerate() {
            let answer = client.get(&format!("/v1/orders/{id}?as_of_position={position}")).await;
            assert_eq!(answer.status, 200);
            let version = answer.body["version"].as_u64().unwrap();
            assert_eq!(answer.body, body(state, version));
            assert_eq!(answer.header("daybook-position"), position.to_string());
            assert!(answer.header("cache-control").contains("immutable"));
            let by_version = client.get(&format!("/v1/orders/{id}?as_of_version={version}")).await;
            assert_eq!(by_version.body, answer.body);
            let events = client.get(&format!("/v1/events?after={}&limit=1", position - 1)).await;
            let time = events.body["events"][0]["recorded_at"].as_str().unwrap().to_owned();
            let by_time = client.get(&format!("/v1/orders/{id}?as_of_time={time}")).await;
            assert_eq!(by_time.body, answer.body);
            assert_eq!(by_time.header("daybook-position"), position.to_string());
            if round == 0 {
                first.push(answer.body);
            } else {
                assert_eq!(answer.body, first[at], "asked again, later");
            }
        }
        client.shop.cancel(id, Some(1)).await;
        client.caught_up().await;
    }
    assert_eq!(client.get(&format!("/v1/orders/{id}?as_of_position=1")).await.status, 404, "not placed yet");
    assert_eq!(client.get(&format!("/v1/orders/{id}?as_of_version=99")).await.status, 404);
    for future in ["as_of_position=99999", "as_of_time=2999-01-01T00:00:00Z"] {
        let answer = client.get(&format!("/v1/orders/{id}?{future}")).await;
        assert_eq!((answer.status, &answer.body["code"]), (400, &json!("future-instant")));
    }
}

#[tokio::test]
async fn the_difference_of_two_moments_names_each_place_with_both_values() {
    let (client, id) = sold().await;
    let answer = client.get(&format!("/v1/orders/{id}/diff?from=v1&to=v3")).await;
    assert_eq!(answer.status, 200);
    let changes = answer.body["changes"].as_array().unwrap();
    let of = |pointer: &str| changes.iter().find(|change| change["pointer"] == pointer).cloned();
    assert_eq!(of("/status").unwrap(), json!({"pointer": "/status", "before": "pending", "after": "confirmed"}));
    assert!(of("/version").is_none());
    assert_eq!((&answer.body["from"]["version"], &answer.body["to"]["version"]), (&json!(1), &json!(3)));
    let same = client.get(&format!("/v1/orders/{id}/diff?from=v2&to=v2")).await;
    assert_eq!(same.body["changes"], json!([]));
    let whole = client.get(&format!("/v1/orders/{id}/diff?from=p1")).await;
    assert!(whole.body["changes"].as_array().unwrap().len() > 10, "from nothing to now");
}

#[tokio::test]
async fn the_list_is_filtered_counted_and_walked() {
    let mut shop = Shop::open();
    shop.trade(30).await;
    let client = Client::open(shop).await;
    let answer = client.get("/v1/orders?status=completed&count=exact&limit=200").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let found = answer.body["items"].as_array().unwrap();
    assert!(!found.is_empty() && found.iter().all(|order| order["status"] == "completed"));
    assert_eq!(answer.body["count"], json!({"value": found.len(), "exact": true}));
    let mut path = "/v1/orders?limit=7&placed_at%5Bgte%5D=1970-01-01T00:00:00Z".to_owned();
    let mut met = std::collections::BTreeSet::new();
    loop {
        let page = client.get(&path).await;
        for order in page.body["items"].as_array().unwrap() {
            assert!(met.insert(order["order_id"].as_str().unwrap().to_owned()), "met twice");
        }
        let Some(next) = page.body["next"].as_str() else {
            break;
        };
        path = format!("/v1/orders?limit=7&placed_at[gte]=1970-01-01T00:00:00Z&cursor={next}");
    }
    assert_eq!(met.len(), 30);
}

#[tokio::test]
async fn what_happened_is_told_by_the_stream_the_timeline_and_the_log() {
    let (client, id) = sold().await;
    let mut versions = Vec::new();
    let mut path = format!("/v1/orders/{id}/events?limit=2");
    loop {
        let page = client.get(&path).await;
        versions.extend(page.body["items"].as_array().unwrap().iter().map(|event| event["version"].as_u64().unwrap()));
        let Some(next) = page.body["next"].as_str() else {
            break;
        };
        path = format!("/v1/orders/{id}/events?limit=2&after={next}");
    }
    let last = *versions.last().unwrap();
    assert_eq!(versions, (1..=last).collect::<Vec<_>>());
    let timeline = client.get(&format!("/v1/orders/{id}/timeline?limit=200")).await;
    let entries = timeline.body["items"].as_array().unwrap();
    assert!(entries.len() as u64 > last, "its payment's and its stock's events are there as well");
    assert!(entries.iter().all(|entry| entry["actor"] == "clerk-7" && entry["summary"].is_string()));
    let (mut after, mut seen) = (0, Vec::new());
    loop {
        let page = client.get(&format!("/v1/events?after={after}&limit=3")).await;
        let events = page.body["events"].as_array().unwrap();
        seen.extend(events.iter().map(|event| event["position"].as_u64().unwrap()));
        after = page.body["next"].as_u64().unwrap();
        if after == page.body["head"].as_u64().unwrap() {
            break;
        }
    }
    assert_eq!(seen, (1..=client.shop.head()).collect::<Vec<_>>(), "no gap and none twice");
    let placed = client.get("/v1/events?types=OrderPlaced&streams=order").await;
    assert_eq!(placed.body["events"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn stock_payments_and_read_models_are_shown() {
    let (client, id) = sold().await;
    let stock = client.get("/v1/stock/mug").await;
    assert_eq!(stock.status, 200);
    assert_eq!(stock.body["locations"][0]["on_hand"], 97, "100 - 5 + 2");
    let then = client.get("/v1/stock/MUG?as_of_position=2&location=main").await;
    assert_eq!(then.body["locations"][0]["on_hand"], 100);
    assert!(then.header("cache-control").contains("immutable"));
    let ledger = client.get("/v1/stock/MUG/ledger").await;
    let moves: Vec<_> =
        ledger.body["items"].as_array().unwrap().iter().map(|m| m["movement"].as_str().unwrap()).collect();
    assert_eq!(moves, ["returned", "shipped", "reserved", "received", "registered"]);
    assert_eq!(client.get("/v1/stock").await.body["items"].as_array().unwrap().len(), 1);
    let payment = domain::ids::derived(id.0, "payment");
    let shown = client.get(&format!("/v1/payments/{payment}")).await;
    assert_eq!((shown.status, &shown.body["order_id"]), (200, &json!(id)));
    let standing = client.get("/v1/projections").await;
    assert_eq!(standing.body["items"].as_array().unwrap().len(), Projections::names().len());
    assert!(standing.body["items"].as_array().unwrap().iter().all(|item| item["lag"] == 0));
    assert_eq!(client.send("POST", "/v1/projections/no_such/rebuild", &[], TENANT).await.status, 404);
}

#[tokio::test]
async fn a_shortage_names_the_newest_orders_until_it_is_over() {
    let mut shop = Shop::open();
    shop.receive("MUG", 20).await;
    shop.receive("CUP", 20).await;
    let mut ids = Vec::new();
    for n in 0..3 {
        let id = shop.place("c-1", &[("MUG", 5)], 1_000 * n).await;
        shop.confirm(id).await;
        ids.push(id);
    }
    let count = domain::stock::Command::Count { counted: 8, accept_shortage: true };
    shop.stock(uuid::Uuid::now_v7(), vec![("MUG", count)]).await;
    let mut short = Client::open(shop).await;
    let told = short.get("/v1/stock/MUG").await;
    let level = &told.body["locations"][0];
    assert_eq!(level["short"], 7);
    let named: Vec<_> =
        level["shortage"].as_array().unwrap().iter().map(|it| (it["order_id"].clone(), it["qty"].clone())).collect();
    assert_eq!(named, [(json!(ids[2]), json!(5)), (json!(ids[1]), json!(2))]);
    let skus = |told: &Answered| -> Vec<String> {
        told.body["items"].as_array().unwrap().iter().map(|it| it["sku"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(skus(&short.get("/v1/stock?short=true").await), ["MUG"]);
    assert_eq!(skus(&short.get("/v1/stock").await), ["CUP", "MUG"]);
    assert_eq!(short.get("/v1/stock?short=maybe").await.status, 400);

    short.shop.receive("MUG", 7).await;
    short.caught_up().await;
    let told = short.get("/v1/stock/MUG").await;
    assert_eq!(
        (&told.body["locations"][0]["short"], &told.body["locations"][0]["shortage"]),
        (&json!(0), &Value::Null)
    );
    assert_eq!(skus(&short.get("/v1/stock?short=true").await), Vec::<String>::new());
}

/// What a moment of a SKU's stock is, by the fold of its stream.
async fn folded(client: &Client, at: crate::history::At) -> (u64, u32, u32) {
    let log = client.shop.log();
    let (mug, main) = (shop::sku("MUG"), shop::main());
    let moment = crate::history::stock_at(&*log, TENANT, &main, &mug, at).await.unwrap();
    (moment.version, moment.state.on_hand, moment.state.reserved)
}

#[tokio::test]
async fn stock_at_any_moment_is_the_fold_of_its_stream_whether_the_ledger_is_there_yet_or_not() {
    let mut shop = Shop::open();
    shop.receive("MUG", 500).await;
    for n in 0..12 {
        let id = shop.place("c-1", &[("MUG", 5)], 1_000 * n).await;
        shop.confirm(id).await;
    }
    let mut client = Client::open(shop).await;
    // The last movements are in the log, and not in the ledger.
    let behind = client.shop.head();
    client.shop.receive("MUG", 7).await;
    assert!(client.shop.head() > behind);
    let head = client.shop.head();
    let mut seen = 0;
    for position in 1..=head {
        let answer = client.get(&format!("/v1/stock/MUG?as_of_position={position}")).await;
        let (version, on_hand, reserved) = folded(&client, crate::history::At::Position(position)).await;
        if version == 0 {
            assert_eq!(answer.status, 404);
            continue;
        }
        let level = &answer.body["locations"][0];
        assert_eq!((&level["version"], &level["on_hand"]), (&json!(version), &json!(on_hand)), "at {position}");
        assert_eq!((&level["reserved"], &answer.body["position"]), (&json!(reserved), &json!(position)));
        let same = client.get(&format!("/v1/stock/MUG?as_of_version={version}")).await;
        assert_eq!(same.body["locations"], answer.body["locations"], "version {version}");
        let at = same.body["locations"][0]["updated_at"].as_str().unwrap();
        let then = client.get(&format!("/v1/stock/MUG?as_of_time={at}")).await;
        let instant: domain::time::Timestamp = at.parse().unwrap();
        let (version, on_hand, _) = folded(&client, crate::history::At::Instant(instant.micros())).await;
        let level = &then.body["locations"][0];
        assert_eq!((&level["version"], &level["on_hand"]), (&json!(version), &json!(on_hand)), "at {at}");
        seen += 1;
    }
    assert!(seen > 12);
    assert_eq!(client.get("/v1/stock/MUG?as_of_version=9999").await.status, 404);
}

#[tokio::test]
async fn what_is_in_the_log_and_not_shown_yet_is_503_and_never_404() {
    let (mut client, _) = sold().await;
    let late = client.shop.place("c-2", &[("MUG", 1)], 7).await;
    client.shop.receive("VASE", 3).await;
    for path in [format!("/v1/orders/{late}"), format!("/v1/orders/{late}/timeline"), "/v1/stock/VASE".to_owned()] {
        let answer = client.get(&path).await;
        assert_eq!((answer.status, &answer.body["code"]), (503, &json!("not-caught-up")), "{path}");
    }
    let unknown = OrderId(uuid::Uuid::now_v7());
    assert_eq!(client.get(&format!("/v1/orders/{unknown}")).await.status, 404, "of this there is nothing to wait for");
    client.caught_up().await;
    for path in [format!("/v1/orders/{late}"), format!("/v1/orders/{late}/timeline"), "/v1/stock/VASE".to_owned()] {
        assert_eq!(client.get(&path).await.status, 200, "{path}");
    }
    assert_eq!(client.get("/v1/stock/NOTHING").await.status, 404);
}

#[tokio::test]
async fn a_held_order_is_503_with_what_to_do_and_one_bad_event_hides_no_page_of_the_log() {
    let (mut client, id) = sold().await;
    let name = domain::stream::order(id);
    let stream = event_store::record::StreamId::new(TENANT, name.category, name.id);
    let position = client.shop.write(stream, ("OrderDreamt", 1), "{\"not\": ", "{}").await;
    let other = client.shop.place("c-2", &[("MUG", 1)], 7).await;
    client.caught_up().await;
    let held = client.get(&format!("/v1/orders/{id}")).await;
    assert_eq!(
        (held.status, &held.body["code"], &held.body["position"]),
        (503, &json!("stream-held"), &json!(position))
    );
    let as_of = client.get(&format!("/v1/orders/{id}?as_of_position={position}")).await;
    assert_eq!((as_of.status, &as_of.body["code"]), (503, &json!("unreadable-record")));
    let before = client.get(&format!("/v1/orders/{id}?as_of_position={}", position - 1)).await;
    assert_eq!(before.status, 200, "what it was before can be told");
    assert_eq!(client.get(&format!("/v1/orders/{other}")).await.status, 200);
    let list = client.get("/v1/orders").await;
    assert_eq!(
        (&list.body["stale"], &list.body["held"], list.header("daybook-stale")),
        (&json!(true), &json!(1), "true")
    );
    let timeline = client.get(&format!("/v1/orders/{other}/timeline")).await;
    assert_eq!((timeline.status, &timeline.body["stale"]), (200, &json!(false)), "another order lacks nothing");
    let events = client.get(&format!("/v1/events?after={}", position - 1)).await;
    assert_eq!((events.status, &events.body["events"][0]["data"]), (200, &Value::Null));
    assert!(events.body["events"][0]["unreadable"].is_string());
    let records = client.get("/v1/records?state=unreadable").await;
    assert_eq!(records.body["items"][0]["position"], json!(position));
    client.shop.set_aside(position).await;
    client.caught_up().await;
    assert_eq!(client.get(&format!("/v1/orders/{id}")).await.status, 200);
    assert_eq!(client.get("/v1/records?state=set-aside").await.body["items"][0]["position"], json!(position));
}

#[tokio::test]
async fn a_read_waits_for_the_position_that_it_asks_for_and_says_so_if_it_does_not_come() {
    let (client, id) = sold().await;
    let late = client.get(&format!("/v1/orders/{id}?min_position={}", client.shop.head() + 1)).await;
    assert_eq!((late.status, &late.body["code"]), (503, &json!("not-caught-up")));
    assert_eq!(late.header("retry-after"), "1");
    let token = CancellationToken::new();
    let running = tokio::spawn(Arc::clone(&client.projections).run(token.clone()));
    let mut client = client;
    client.shop.take_back(id, 1).await;
    let own = client.get(&format!("/v1/orders/{id}?min_position={}", client.shop.head())).await;
    assert_eq!(own.status, 200);
    let version = own.body["version"].as_u64().unwrap();
    assert_eq!(own.body, client.shown(id, version), "its own write");
    let rebuild = client.send("POST", "/v1/projections/order_list/rebuild", &[], TENANT).await;
    assert_eq!(rebuild.status, 202);
    token.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn a_position_that_the_log_is_nowhere_near_is_refused_at_once_and_never_waited_for() {
    let (mut client, id) = sold().await;
    client.waits_for(Duration::from_secs(3_600));
    for path in [
        format!("/v1/orders/{id}"),
        format!("/v1/orders/{id}/timeline"),
        format!("/v1/orders/{id}/events"),
        "/v1/orders".to_owned(),
        "/v1/stock".to_owned(),
        "/v1/stock/MUG".to_owned(),
        "/v1/events".to_owned(),
    ] {
        for position in [client.shop.head() + 1_001, 900_000_000, 9_223_372_036_854_775_806] {
            let answer = client.get(&format!("{path}?min_position={position}")).await;
            assert_eq!((answer.status, &answer.body["code"]), (400, &json!("future-position")), "{path} {position}");
        }
    }
}

#[tokio::test]
async fn a_read_that_waits_gives_its_place_back_and_too_many_are_not_waited_for() {
    let (client, id) = sold().await;
    let places = Places::new(1, 1);
    let late = format!("/v1/orders/{id}?min_position={}", client.shop.head() + 1);
    let asked = |path: String| {
        let place = places.take().expect("a place");
        let mut request = Request::get(&path).body(Body::empty()).unwrap();
        request.extensions_mut().insert(Caller { tenant: TENANT.parse().unwrap() });
        request.extensions_mut().insert(place);
        client.router.clone().oneshot(request)
    };
    let first = asked(late.clone());
    let meanwhile = async {
        while places.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(places.running(), 0, "who waits keeps its place");
        let crowded = asked(late.clone()).await.unwrap();
        assert_eq!(crowded.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(crowded.headers()["retry-after"], "1");
        let shown = asked(format!("/v1/orders/{id}?min_position=1")).await.unwrap();
        assert_eq!(shown.status(), StatusCode::OK, "what is shown already needs no wait");
    };
    let (first, ()) = tokio::join!(first, meanwhile);
    assert_eq!(first.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE, "the position did not come");
    assert_eq!((places.running(), places.waiting()), (0, 0));
}

#[tokio::test]
async fn bad_input_is_a_documented_problem_and_never_a_5xx() {
    let (client, id) = sold().await;
    let huge = "9".repeat(400);
    let paths = [
        "/v1/orders?limit=0",
        "/v1/orders?limit=201",
        "/v1/orders?limit=-1",
        "/v1/orders?limit=x",
        "/v1/orders?limit=5&limit=6",
        "/v1/orders?colour=red",
        "/v1/orders?status=perhaps",
        "/v1/orders?status[gte]=pending",
        "/v1/orders?sort=customer",
        "/v1/orders?cursor=AAAA",
        "/v1/orders?cursor=%00",
        "/v1/orders?count=all",
        "/v1/orders?min_position=-1",
        "/v1/orders?min_position=18446744073709551615",
        "/v1/orders?customer=%FF%FE",
        "/v1/orders?placed_at[lt]=yesterday",
        "/v1/orders?total[gte]=9223372036854775808",
        "/v1/orders?%5B%5D=1",
        "/v1/orders?sku=",
        "/v1/orders?channel=web",
        "/v1/orders?payment_status=captured",
        "/v1/orders?customer=a&customer=b",
        "/v1/orders?customer=a&sort=total",
        "/v1/orders?status=pending&customer=a",
        "/v1/orders?total[gte]=5",
        "/v1/orders/nobody",
        "/v1/orders/00000000-0000-0000-0000-000000000000",
        "/v1/orders/%FF",
        "/v1/stock/%20",
        "/v1/stock/NONE",
        "/v1/stock/NONE?as_of_position=1",
        "/v1/stock/NONE?as_of_position=99999",
        "/v1/stock/MUG?as_of_version=99",
        "/v1/stock/MUG?location=",
        "/v1/stock/MUG?location=elsewhere",
        "/v1/stock/NONE/ledger",
        "/v1/stock/MUG/ledger?before=x",
        "/v1/stock?cursor=zzz",
        "/v1/payments/x",
        "/v1/payments/00000000-0000-0000-0000-000000000000",
        "/v1/reservations/00000000-0000-0000-0000-000000000000",
        "/v1/events?after=99999",
        "/v1/events?after=18446744073709551615",
        "/v1/events?types=Never",
        "/v1/events?streams=nothing",
        "/v1/events?limit=1001",
        "/v1/projections?x=1",
    ];
    let mut paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
    for tail in [
        "/diff",
        "/diff?from=x",
        "/diff?from=v",
        "/diff?from=v99&to=v100",
        "/diff?from=é",
        "/events?after=x",
        "/timeline?limit=0",
        "?as_of_time=now",
        "?as_of_time=2020-01-01T00:00:00Z&as_of_position=1",
        "?as_of_version=99",
        "?min_position=x",
    ] {
        paths.push(format!("/v1/orders/{id}{}", tail.replace('é', "%C3%A9")));
    }
    paths.push(format!("/v1/orders?total={huge}"));
    paths.push(format!("/v1/orders?customer={huge}{huge}"));
    for path in paths {
        let answer = client.get(&path).await;
        let expected = if path.contains("min_position=18446744073709551615") { 400..401 } else { 400..500 };
        assert!(expected.contains(&answer.status), "{path}: {} {}", answer.status, answer.body);
        assert_eq!(answer.header("content-type"), "application/problem+json", "{path}");
        let code = answer.body["code"].as_str().unwrap();
        assert!(
            schemas::http::code::CODES.iter().any(|known| known.code == code && known.status == answer.status),
            "{path}: {code}"
        );
    }
    assert_eq!(client.send("DELETE", "/v1/orders", &[], TENANT).await.status, StatusCode::METHOD_NOT_ALLOWED.as_u16());
}

#[test]
fn every_route_documents_what_it_answers() {
    let shop_free = router_description();
    let text = serde_json::to_value(&shop_free).unwrap();
    let paths = text["paths"].as_object().unwrap();
    assert_eq!(paths.len(), 14);
    for (path, item) in paths {
        for (method, operation) in item.as_object().unwrap() {
            let answers = operation["responses"].as_object().unwrap();
            assert!(answers.contains_key("400"), "{method} {path}");
            assert!(answers.keys().any(|status| status.starts_with('2')), "{method} {path}");
        }
    }
}

fn router_description() -> utoipa::openapi::OpenApi {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let shop = Shop::open();
        let projections = Projections::open(Options::new(shop.folder.path().join("read")), shop.log()).await.unwrap();
        router(Api::new(shop.log(), projections, Duration::from_secs(1))).split_for_parts().1
    })
}
