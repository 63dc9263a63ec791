//! The routes on a real store. No saga runs here: what one would send, a test sends in its place.
#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod bulk;
mod checked;
mod described;
mod instants;
mod largest;
mod limits;
mod mutated;
mod paying;
mod replays;
mod routes;
mod slow;
mod waiting;

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use axum::response::Response;
use domain::Command;
use domain::ids::{Channel, LineId, LocationId, OrderId, ReservationId, ShipmentId, Sku, Tenant, derived};
use domain::order::command::Confirm;
use domain::order::event::RejectReason;
use domain::order::line::LineQty;
use domain::stock::Shortfall;
use event_store::sqlite::{Options, Store};
use http_body_util::BodyExt;
use schemas::{Actor, Metadata};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tower::ServiceExt;
use uuid::Uuid;

use super::*;
use crate::execute;

/// A server without a socket.
struct Server {
    router: Router,
    executor: Executor,
    dir: TempDir,
    tracker: TaskTracker,
    _stop: DropGuard,
}

/// An answer, taken apart.
#[derive(Clone, Debug, PartialEq)]
struct Told {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Told {
    async fn of(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        Self { status: parts.status, headers: parts.headers, body: body.collect().await.unwrap().to_bytes().to_vec() }
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// What has to be equal of two answers to one request.
    fn essence(&self) -> (StatusCode, String, [Option<String>; 4]) {
        let header = |name| self.header(name).map(str::to_owned);
        let headers = ["etag", "location", "daybook-position", "content-type"].map(header);
        (self.status, String::from_utf8(self.body.clone()).unwrap(), headers)
    }

    /// The problem's code, with its status checked against the list.
    fn code(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        let code = problem["code"].as_str().unwrap();
        let listed = schemas::http::code::find(code).unwrap();
        assert_eq!(listed.status, self.status.as_u16());
        assert_eq!(problem["status"], listed.status);
        assert_eq!(problem["type"], format!("/docs/problems#{code}"));
        code.to_owned()
    }

    fn pointer(&self) -> String {
        let problem = self.json();
        problem["errors"][0]["pointer"].as_str().unwrap_or("none").to_owned()
    }
}

fn tenant() -> Tenant {
    Tenant::try_new("shop").unwrap()
}

fn actor() -> Actor {
    Actor { id: "clerk".into(), via: "http".into(), on_behalf_of: None }
}

fn settings() -> Settings {
    Settings {
        defaults: Defaults {
            location: LocationId::try_new("main").unwrap(),
            channel: Channel::try_new("web").unwrap(),
            reserve_for_s: 900,
        },
        bodies: Bodies::default(),
    }
}

impl Server {
    fn new() -> Self {
        Self::with(settings())
    }

    fn with(settings: Settings) -> Self {
        Self::in_dir(tempfile::tempdir().unwrap(), settings)
    }

    fn in_dir(dir: TempDir, settings: Settings) -> Self {
        let store: Arc<dyn event_store::EventStore> = Store::open(Options::new(dir.path())).unwrap();
        let tracker = TaskTracker::new();
        let executor = Executor::new(Arc::clone(&store), tracker.clone(), execute::Options::default());
        let (verdicts, follower) = verdict::Options::default().build(store);
        let stop = CancellationToken::new();
        tokio::spawn(follower.run(stop.clone()));
        let caller = Caller { tenant: tenant(), actor: actor() };
        let api = Api::new(executor.clone(), verdicts, settings).with_imports(bulk::service(&executor, &tracker));
        let (routes, _) = router(api).split_for_parts();
        let router = routes
            .fallback(problem::no_route)
            .method_not_allowed_fallback(problem::no_method)
            .layer(axum::Extension(caller));
        Self { router, executor, dir, tracker, _stop: stop.drop_guard() }
    }

    /// Stops it and starts another on the same store.
    async fn restarted(self) -> Self {
        self.tracker.close();
        self.tracker.wait().await;
        self.executor.store().close().await.unwrap();
        Self::in_dir(self.dir, settings())
    }

    async fn raw(&self, request: Request<Body>) -> Told {
        Told::of(self.router.clone().oneshot(request).await.unwrap()).await
    }

    async fn send(&self, ask: Ask<'_>) -> Told {
        self.raw(ask.request()).await
    }

    /// Sends what a saga would.
    async fn saga(&self, order_id: OrderId, command: order::Command) {
        let id = derived(order_id.0, &format!("{command:?}"));
        let metadata = Metadata::new(actor(), order_id.0);
        let command = Command::Order { order_id, command };
        let done = self.executor.execute_command(&tenant(), id, command, metadata).await.unwrap();
        assert_eq!(done.refused(), None);
    }

    /// What checkout does with an order of one line that is paid later. As much of it comes in as it needs.
    async fn confirm(&self, order_id: OrderId, qty: u32) {
        self.send(post("/v1/stock/85123A/receipts", json!({ "qty": qty }))).await;
        let reservation_id = ReservationId(derived(order_id.0, "reservation"));
        let reserved = vec![LineQty { line_id: LineId(1), qty, location: LocationId::try_new("main").unwrap() }];
        self.saga(order_id, order::Command::RecordReserved { reservation_id, reserved, backordered: vec![] }).await;
        self.saga(
            order_id,
            order::Command::Confirm(Confirm {
                payment_id: None,
                reservation_id: Some(reservation_id),
                authorised: 0,
                payment_version: 0,
                capture_before: None,
                abilities: None,
            }),
        )
        .await;
    }

    /// What checkout does where stock is short.
    async fn reject(&self, order_id: OrderId) {
        self.saga(
            order_id,
            order::Command::Reject {
                reason: RejectReason::OutOfStock,
                detail: None,
                payment: None,
                shortfalls: vec![Shortfall {
                    sku: Sku::try_new("85123A").unwrap(),
                    location: LocationId::try_new("main").unwrap(),
                    wanted: 6,
                    available: 2,
                }],
            },
        )
        .await;
    }

    async fn dispatch(&self, order_id: OrderId, shipment_id: ShipmentId) {
        self.saga(order_id, order::Command::Dispatch { shipment_id }).await;
    }
}

/// A request.
#[derive(Clone)]
struct Ask<'a> {
    method: Method,
    path: &'a str,
    key: Option<&'a str>,
    if_match: Option<&'a str>,
    prefer: Option<&'a str>,
    body: Option<Value>,
}

fn ask<'a>(method: Method, path: &'a str) -> Ask<'a> {
    Ask { method, path, key: None, if_match: None, prefer: None, body: None }
}

fn post<'a>(path: &'a str, body: Value) -> Ask<'a> {
    ask(Method::POST, path).body(body)
}

impl<'a> Ask<'a> {
    fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    fn key(mut self, key: &'a str) -> Self {
        self.key = Some(key);
        self
    }

    fn if_match(mut self, tag: &'a str) -> Self {
        self.if_match = Some(tag);
        self
    }

    fn prefer(mut self, prefer: &'a str) -> Self {
        self.prefer = Some(prefer);
        self
    }

    fn request(&self) -> Request<Body> {
        let mut request = Request::builder().method(self.method.clone()).uri(self.path);
        for (name, value) in [("idempotency-key", self.key), ("if-match", self.if_match), ("prefer", self.prefer)] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        match &self.body {
            Some(body) => request.header("content-type", "application/json").body(Body::from(body.to_string())),
            None => request.body(Body::empty()),
        }
        .unwrap()
    }
}

/// An order of six units of one SKU, paid later.
fn order_of(external_ref: Option<&str>) -> Value {
    let mut body = json!({
        "currency": "GBP",
        "payment": {"capture": "pay_later"},
        "lines": [{"sku": "85123a", "title": "Heart", "qty": 6, "unit_price": "2.55"}],
    });
    if let Some(external_ref) = external_ref {
        body["external_ref"] = external_ref.into();
    }
    body
}

fn order_id(told: &Told) -> OrderId {
    told.json()["order_id"].as_str().unwrap().parse().unwrap()
}

/// So many seconds from now, or before it.
fn in_seconds(seconds: i64) -> Value {
    let now = (event_store::clock::system_clock())();
    Timestamp::from_micros(now + seconds * 1_000_000).to_string().into()
}

fn uuid(n: u128) -> Uuid {
    Uuid::from_u128(n)
}
