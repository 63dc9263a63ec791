//! Manual operations on payments: a partial void, a final resolution. The tests act as the payment worker.

use domain::ids::PaymentId;
use domain::money::Money;
use domain::payment::abilities::Abilities;
use domain::payment::command::{Command as Wish, Outcome, RecordOutcome};
use domain::payment::event::Verb;

use super::*;

const PAYMENT: PaymentId = PaymentId(uuid::Uuid::from_u128(5));

fn pounds(amount: i64) -> Value {
    json!({"amount": amount, "currency": "GBP"})
}

fn path(what: &str) -> String {
    format!("/v1/payments/{PAYMENT}/{what}")
}

async fn wish(server: &Server, command: Wish) {
    let id = derived(PAYMENT.0, &format!("{command:?}"));
    let command = Command::Payment { payment_id: PAYMENT, command };
    let metadata = Metadata::new(actor(), uuid(1));
    let done = server.executor.execute_command(&tenant(), id, command, metadata).await;
    assert_eq!(done.unwrap().refused(), None);
}

async fn told(server: &Server, verb: Verb, outcome: Outcome) {
    wish(server, Wish::RecordOutcome(RecordOutcome { verb, attempt: 1, outcome, evidence: None })).await;
}

async fn authorising(server: &Server) {
    let amount = Money { amount: 1_000, currency: "GBP".parse().unwrap() };
    let (payment_id, order_id) = (PAYMENT, OrderId(uuid(1)));
    let mut body = order_of(None);
    body["order_id"] = json!(order_id);
    assert_eq!(server.send(post("/v1/orders", body)).await.status, StatusCode::CREATED);
    server.confirm(order_id, 6).await;
    let instrument = "tok".into();
    wish(server, Wish::RequestAuthorisation { payment_id, order_id, amount, instrument, attempt: 1 }).await;
}

async fn authorised(server: &Server, abilities: Abilities) {
    authorising(server).await;
    let (provider_ref, abilities) = ("auth-1".into(), Some(abilities));
    let done = Outcome::Done { provider_ref, amount: 1_000, capture_before: None, fee: None, abilities };
    told(server, Verb::Authorise, done).await;
}

#[tokio::test]
async fn a_void_keeps_what_its_body_says() {
    let server = Server::new();
    authorised(&server, Abilities::ALL).await;
    let foreign = json!({"keep": {"amount": 5, "currency": "EUR"}});
    let refused = server.send(post(&path("voids"), foreign)).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    let kept = server.send(post(&path("voids"), json!({"keep": pounds(1_000)}))).await;
    assert_eq!((kept.status, kept.json()["live"].as_array().map(Vec::len)), (StatusCode::ACCEPTED, Some(0)));
    let part = server.send(post(&path("voids"), json!({"keep": pounds(400)}))).await.json();
    assert_eq!((&part["live"][0]["verb"], &part["live"][0]["amount"]), (&json!("void"), &pounds(600)));
    assert_eq!(part["abilities"]["partial_void"], true);
    let second = Server::new();
    authorised(&second, Abilities::ALL).await;
    let all = second.send(ask(Method::POST, &path("voids"))).await.json();
    assert_eq!(all["live"][0]["amount"], pounds(1_000), "without a body all of it goes");
}

#[tokio::test]
async fn a_second_capture_is_refused_where_the_gateway_takes_one() {
    let server = Server::new();
    authorised(&server, Abilities::NONE).await;
    let captures = path("captures");
    let take = |amount| post(&captures, json!({"amount": pounds(amount)}));
    assert_eq!(server.send(take(600)).await.status, StatusCode::ACCEPTED);
    let refused = server.send(take(400)).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::CONFLICT, "gateway-cannot".into()));
    assert_eq!(refused.json()["ability"], "several_captures");
}

#[tokio::test]
async fn what_was_not_done_can_be_resolved_for_good() {
    let server = Server::new();
    authorising(&server).await;
    told(&server, Verb::Authorise, Outcome::Unknown { detail: "timeout".into() }).await;
    let resolutions = path("resolutions");
    let resolve = |verdict, try_again| {
        let known = json!({
            "verb": "authorise", "verdict": verdict, "evidence": "e", "provider_ref": "p", "try_again": try_again,
        });
        post(&resolutions, known)
    };
    let refused = server.send(resolve("done", false)).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert_eq!(refused.json()["errors"][0]["pointer"], "/try_again");
    let told = server.send(resolve("not_done", false)).await;
    assert_eq!((told.status, told.json()["status"].clone()), (StatusCode::OK, json!("declined")));
    let page = server.executor.store().read_log(0, &event_store::Filter::default(), 10).await.unwrap();
    let declined = page.records.iter().find(|record| &*record.kind == "PaymentDeclined").unwrap();
    let event: Value = serde_json::from_slice(&declined.data).unwrap();
    assert_eq!(event, json!({"attempt": 1, "code": "resolved-not-done", "last": true}));
}
