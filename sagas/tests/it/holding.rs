//! What is held at the provider: raised, let go in part, and believed where a person says so. The payment and the provider's book agree.

use std::time::{Duration, Instant};

use domain::Command;
use domain::ids::{OrderId, PaymentId, RaiseId, derived};
use domain::order::event::Capture;
use domain::order::state::Status;
use domain::payment::abilities::Abilities;
use domain::payment::command::Command as Wish;
use domain::payment::event::{Verb, Verdict};
use domain::payment::state::{Requested, Stage};
use schemas::Metadata;
use uuid::Uuid;

use super::ledger::reconcile;
use super::shop::{Shop, WITHIN, meta, ship, tenant};

const MORE: RaiseId = RaiseId(Uuid::from_u128(7));

async fn wish(shop: &Shop, order_id: OrderId, command: Wish) {
    let payment_id = PaymentId(derived(order_id.0, "payment"));
    let id = derived(payment_id.0, &format!("{command:?}"));
    // The sagas of the order hear of what belongs to it.
    let meta = Metadata { correlation: order_id.0, ..meta() };
    let done = shop.services.carry_out(&tenant(), id, &Command::Payment { payment_id, command }, &meta).await;
    assert_eq!(done.unwrap(), None);
}

async fn until(shop: &Shop, order_id: OrderId, wanted: impl Fn(&Requested) -> bool) -> Requested {
    let began = Instant::now();
    loop {
        let payment = shop.payment(order_id).await.requested().cloned();
        match payment {
            Some(payment) if wanted(&payment) => return payment,
            payment => assert!(began.elapsed() < WITHIN, "{payment:?}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn at_rest(payment: &Requested) -> bool {
    payment.live.is_empty()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authorisation_is_raised_and_a_part_of_it_let_go() {
    let mut shop = Shop::open(0).await;
    let life = shop.live();
    let order_id = shop.place(1, Capture::AtShipment, "sandbox:raise-flaky-1,void-timeout").await;
    assert_eq!(shop.verdict(order_id).await, Status::Confirmed);
    let held = until(&shop, order_id, |payment| payment.stage == Stage::Authorised).await;
    assert_eq!((held.authorised, held.can()), (5_000, Abilities::ALL));
    wish(&shop, order_id, Wish::Raise { raise_id: MORE, amount: 700 }).await;
    let raised = until(&shop, order_id, |payment| payment.authorised == 5_700).await;
    assert_eq!(raised.capture_before, held.capture_before, "it ends when it did");
    // More than the order needs is let go by itself.
    let kept = until(&shop, order_id, |payment| payment.voided == 700 && at_rest(payment)).await;
    assert_eq!((kept.stage, kept.held()), (Stage::Authorised, 5_000));
    // The order hears of the void a moment later; until then it does not know what is held.
    let began = Instant::now();
    while let Some(refused) = shop.order(order_id, ship(order_id)).await {
        let unknown = matches!(&refused, domain::outcome::Verdict::Refused { code, .. } if code == "payment-unknown");
        assert!(unknown && began.elapsed() < WITHIN, "{refused:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    until(&shop, order_id, |payment| payment.captured == 5_000).await;
    reconcile(&shop).await;
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raise_that_is_declined_leaves_what_was_held() {
    let mut shop = Shop::open(0).await;
    let life = shop.live();
    let order_id = shop.place(1, Capture::AtShipment, "sandbox:raise-declines").await;
    assert_eq!(shop.verdict(order_id).await, Status::Confirmed);
    wish(&shop, order_id, Wish::Raise { raise_id: MORE, amount: 700 }).await;
    let after = until(&shop, order_id, |payment| at_rest(payment) && !payment.raises.is_empty()).await;
    assert_eq!(after.raises[&MORE].code.as_deref(), Some("raise-declined"));
    assert_eq!((after.stage, after.held()), (Stage::Authorised, 5_000));
    reconcile(&shop).await;
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_takes_one_capture_lets_the_rest_go_with_it() {
    let mut shop = Shop::open(0).await;
    let life = shop.live();
    let order_id = shop.place(1, Capture::AtShipment, "sandbox:plain").await;
    assert_eq!(shop.verdict(order_id).await, Status::Confirmed);
    let capture_id = domain::ids::CaptureId(Uuid::from_u128(8));
    wish(&shop, order_id, Wish::CaptureByHand { capture_id, amount: 1_000 }).await;
    let taken = until(&shop, order_id, |payment| payment.captured == 1_000).await;
    assert_eq!((taken.can(), taken.voided, taken.held()), (Abilities::NONE, 4_000, 0));
    reconcile(&shop).await;
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authorisation_that_never_answered_and_is_known_by_evidence_can_be_taken() {
    let mut shop = Shop::open(0).await;
    let life = shop.live();
    let order_id = shop.place(1, Capture::AtShipment, "sandbox:never").await;
    until(&shop, order_id, Requested::unknown).await;
    let resolve = Wish::ResolveOutcome {
        verb: Verb::Authorise,
        verdict: Verdict::Done,
        evidence: "seen in the portal".into(),
        provider_ref: Some("portal-1".into()),
        try_again: true,
    };
    wish(&shop, order_id, resolve).await;
    assert_eq!(shop.verdict(order_id).await, Status::Confirmed);
    assert_eq!(shop.order(order_id, ship(order_id)).await, None);
    shop.until(order_id, |order| order.status == Status::Completed).await;
    let book = shop.sandbox.book().await.unwrap();
    assert_eq!((book[0].authorised, book[0].captured), (5_000, 5_000));
    reconcile(&shop).await;
    life.stop().await;
}
