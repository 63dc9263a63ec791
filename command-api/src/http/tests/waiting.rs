//! `Prefer: wait`: the answer is the verdict, at the version where it fell.

use futures_util::future::join_all;

use domain::ids::{PaymentId, RefundId};
use domain::money::Money;
use domain::order::event::{Happened, PaymentFact, PaymentRecorded, PaymentStatus};
use domain::payment;
use domain::payment::command::{Outcome, RecordOutcome};
use domain::payment::event::Verb;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_gets_the_verdict_and_who_asks_later_gets_the_same() {
    let server = Server::new();
    let id = OrderId(uuid(1));
    let mut body = order_of(None);
    body["order_id"] = id.to_string().into();
    let ask = post("/v1/orders", body).key("k").prefer("wait=30");
    let asks = join_all((0..20).map(|_| server.send(ask.clone())));
    let confirming = async {
        // Not before it is placed; there is nothing to confirm.
        let mut head = server.executor.store().head();
        head.wait_for(|head| head.position > 0).await.unwrap();
        server.confirm(id, 6).await;
    };
    let (told, ()) = tokio::join!(asks, confirming);
    let first = told[0].essence();
    for other in &told {
        assert_eq!(other.essence(), first);
        assert_eq!(other.header("preference-applied"), Some("wait=30"));
    }
    assert_eq!(told[0].status, StatusCode::CREATED);
    assert_eq!(told[0].json()["status"], "confirmed");
    assert_eq!(told[0].header("etag"), Some("\"v3\""));

    // It moves on beyond the verdict; the answer stays at the verdict, before and after a restart.
    let hold = format!("/v1/orders/{id}/holds");
    server.send(post(&hold, json!({"reason": "fraud_check"}))).await;
    assert_eq!(server.send(ask.clone()).await.essence(), first);
    let server = server.restarted().await;
    assert_eq!(server.send(ask.clone()).await.essence(), first);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejected_order_is_a_problem_for_who_asked_for_one() {
    let server = Server::new();
    let id = OrderId(uuid(2));
    let mut body = order_of(None);
    body["order_id"] = id.to_string().into();
    body["on_refusal"] = "problem".into();
    let ask = post("/v1/orders", body).key("k");
    // Without waiting there is nothing to be a problem yet.
    assert_eq!(server.send(ask.clone()).await.status, StatusCode::CREATED);
    let waiting = server.send(ask.clone().prefer("wait=30"));
    let (told, ()) = tokio::join!(waiting, server.reject(id));
    assert_eq!(told.code(), "out-of-stock");
    let problem = told.json();
    assert_eq!(problem["order_id"], id.to_string());
    assert_eq!(problem["shortfalls"], json!([{"sku": "85123A", "location": "main", "wanted": 6, "available": 2}]));
    assert_eq!(server.send(ask.prefer("wait=1")).await.essence(), told.essence());
}

#[tokio::test]
async fn a_wait_ends() {
    let server = Server::new();
    let ask = post("/v1/orders", order_of(None)).prefer("wait=1");
    let told = server.send(ask).await;
    assert_eq!(told.status, StatusCode::CREATED);
    assert_eq!(told.json()["status"], "pending");
    assert_eq!(told.header("etag"), Some("\"v1\""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shipment_is_waited_for_until_it_left() {
    let server = Server::new();
    let id = order_id(&server.send(post("/v1/orders", order_of(None))).await);
    server.confirm(id, 6).await;
    let path = format!("/v1/orders/{id}/shipments");
    let shipment_id = ShipmentId(uuid(5));
    let ask = post(&path, json!({"shipment_id": shipment_id.0})).key("s");
    assert_eq!(server.send(ask.clone()).await.status, StatusCode::ACCEPTED);
    let waiting = server.send(ask.prefer("wait=30"));
    let (told, ()) = tokio::join!(waiting, server.dispatch(id, shipment_id));
    assert_eq!(told.status, StatusCode::OK);
    assert_eq!(told.json()["shipments"][0]["status"], "dispatched");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_wait_at_once() {
    let server = Server::new();
    let ids: Vec<_> = (1..=1_000).map(|n| OrderId(uuid(n))).collect();
    let asks = join_all(ids.iter().map(|id| {
        let mut body = order_of(None);
        body["order_id"] = id.to_string().into();
        server.send(post("/v1/orders", body).prefer("wait=60"))
    }));
    let deciding = async {
        let mut head = server.executor.store().head();
        head.wait_for(|head| head.position >= 1_000).await.unwrap();
        join_all(ids.iter().map(|id| server.confirm(*id, 6))).await;
    };
    let (told, ()) = tokio::join!(asks, deciding);
    for told in told {
        assert_eq!(told.json()["status"], "confirmed");
    }
}

/// What the payment worker and the sagas do with a payment, in the order of the calls.
struct Paying<'a> {
    server: &'a Server,
    order_id: OrderId,
    payment_id: PaymentId,
}

impl Paying<'_> {
    async fn payment(&self, command: payment::Command) {
        let id = derived(self.payment_id.0, &format!("{command:?}"));
        let metadata = Metadata::new(actor(), self.order_id.0);
        let command = Command::Payment { payment_id: self.payment_id, command };
        let executor = &self.server.executor;
        let tenant = tenant();
        let done = executor.execute_command(&tenant, id, command, metadata);
        assert_eq!(done.await.unwrap().refused(), None);
    }

    async fn done(&self, verb: Verb, amount: i64) {
        self.payment(payment::Command::RecordOutcome(RecordOutcome {
            verb,
            attempt: 1,
            outcome: Outcome::Done {
                provider_ref: format!("{verb:?}"),
                amount,
                capture_before: None,
                fee: None,
                abilities: None,
            },
            evidence: None,
        }))
        .await;
    }

    async fn told(&self, version: u64, status: PaymentStatus, captured: i64, refunded: i64) {
        let recorded = PaymentRecorded {
            payment_id: self.payment_id,
            payment_version: version,
            status,
            authorised: 1_530,
            captured,
            refunded,
            refund_pending: 0,
            voided: 0,
            keeps: None,
            capture_before: None,
            abilities: None,
            fact: (refunded > 0)
                .then_some(PaymentFact { version, what: Happened::Refunded { refund_id: RefundId(uuid(8)) } }),
        };
        let command = order::Command::RecordPayment(recorded);
        self.server.saga(self.order_id, command).await;
    }

    async fn authorised_and_captured(&self) {
        let currency = "GBP".parse().unwrap();
        self.payment(payment::Command::RequestAuthorisation {
            payment_id: self.payment_id,
            order_id: self.order_id,
            amount: Money { amount: 1_530, currency },
            instrument: "tok".into(),
            attempt: 1,
        })
        .await;
        self.done(Verb::Authorise, 1_530).await;
        let capture_id = domain::ids::CaptureId(uuid(3));
        self.payment(payment::Command::Capture { capture_id, amount: 1_530 }).await;
        self.done(Verb::Capture { capture_id }, 1_530).await;
        self.told(4, PaymentStatus::Captured, 1_530, 0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_is_waited_for_until_the_order_is_told_that_it_is_settled() {
    let server = Server::new();
    let mut body = order_of(None);
    body["payment"] = json!({"capture": "at_confirmation", "instrument": "tok"});
    let id = order_id(&server.send(post("/v1/orders", body)).await);
    let paying = Paying { server: &server, order_id: id, payment_id: PaymentId(derived(id.0, "payment")) };
    paying.authorised_and_captured().await;
    let path = format!("/v1/orders/{id}/refunds");
    let refund_id = RefundId(uuid(8));
    let amount = json!({"amount": 500, "currency": "GBP"});
    let body = json!({"refund_id": refund_id.0, "amount": amount, "reason": "goodwill"});
    let ask = post(&path, body).key("r");
    let told = server.send(ask.clone()).await;
    assert_eq!(told.status, StatusCode::ACCEPTED);
    assert_eq!(told.json()["refunds"][0]["amount"]["amount"], 500);

    let giving = async {
        let reason = "goodwill".to_owned();
        paying.payment(payment::Command::Refund { refund_id, amount: 500, reason }).await;
        paying.done(Verb::Refund { refund_id }, 500).await;
        paying.told(6, PaymentStatus::PartRefunded, 1_530, 500).await;
    };
    let waiting = ask.prefer("wait=30");
    let (told, ()) = tokio::join!(server.send(waiting.clone()), giving);
    assert_eq!(told.status, StatusCode::OK);
    assert_eq!(told.json()["payment"]["refunded"]["amount"], 500);
    let notes = format!("/v1/orders/{id}/notes");
    server.send(post(&notes, json!({"text": "done"}))).await;
    assert_eq!(server.send(waiting).await.essence(), told.essence());
}
