//! The sandbox keeps its word: one effect for each key, for ever, whatever the process does.

use std::sync::Arc;
use std::time::Instant;

use domain::ids::{CaptureId, OrderId, PaymentId, derived};
use domain::money::{Currency, Money};
use domain::payment::event::Verb;
use domain::time::Timestamp;
use futures_util::future::join_all;
use sagas::PaymentGateway;
use sagas::gateway::{Answer, Call, Found, Sandbox, sandbox::Options};
use uuid::Uuid;

use super::shop::tenant;

fn open(dir: &tempfile::TempDir) -> Sandbox {
    let clock = Arc::new(|| Timestamp::from_micros(1));
    Sandbox::open(Options::new(dir.path().join("book.sqlite"), clock)).unwrap()
}

fn call(number: u32, verb: Verb, amount: i64) -> Call {
    let payment_id = PaymentId(derived(Uuid::nil(), &format!("payment/{number}")));
    Call {
        key: derived(payment_id.0, &format!("{verb:?}")),
        tenant: tenant(),
        payment_id,
        order_id: OrderId::default(),
        verb,
        amount: Money { amount, currency: Currency::GBP },
        instrument: "sandbox:approve".into(),
        authorisation: None,
    }
}

#[tokio::test]
async fn a_key_has_one_effect_and_another_request_under_it_has_none() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = open(&dir);
    let hold = call(1, Verb::Authorise, 1_000);
    assert_eq!(sandbox.query(&hold).await, Found::Nothing);
    let first = sandbox.authorise(&hold).await;
    assert!(matches!(&first, Answer::Done(done) if done.amount == 1_000));
    assert_eq!(sandbox.authorise(&hold).await, first);
    let other = Call { amount: Money { amount: 2_000, currency: Currency::GBP }, ..hold.clone() };
    let refused = sandbox.authorise(&other).await;
    assert!(matches!(refused, Answer::Unknown { detail } if detail.starts_with("refused")));
    drop(sandbox);
    let sandbox = open(&dir);
    assert_eq!(sandbox.authorise(&hold).await, first, "it remembers");
    let capture = Verb::Capture { capture_id: CaptureId::default() };
    let code = "exceeds-authorised".into();
    let too_much = sandbox.capture(&call(1, capture, 1_001)).await;
    assert_eq!(too_much, Answer::NotDone { code });
    let book = sandbox.book().await.unwrap();
    assert_eq!((book[0].authorised, book[0].captured), (1_000, 0));
    assert_eq!(sandbox.entries().await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_calls_share_their_syncs() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = open(&dir);
    let began = Instant::now();
    let calls: Vec<_> = (0..4_000).map(|n| call(n, Verb::Authorise, 100)).collect();
    let answers = join_all(calls.iter().map(|call| sandbox.authorise(call))).await;
    assert!(answers.iter().all(|answer| matches!(answer, Answer::Done(_))));
    assert_eq!(sandbox.book().await.unwrap().len(), 4_000);
    // Far less than it does: a sync for each call would take a second for every few hundred.
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_have_one_book_open_and_a_key_has_one_effect_in_it() {
    let dir = tempfile::tempdir().unwrap();
    // Opened at once, while there is none.
    let openings: Vec<_> = (0..4)
        .map(|_| {
            let path = dir.path().join("book.sqlite");
            let clock = Arc::new(|| Timestamp::from_micros(1));
            std::thread::spawn(move || Sandbox::open(Options::new(path, clock)).unwrap())
        })
        .collect();
    let open: Vec<_> = openings.into_iter().map(|opening| opening.join().unwrap()).collect();
    let calls: Vec<_> = (0..500).map(|n| call(n, Verb::Authorise, 100)).collect();
    let all = open.iter().flat_map(|sandbox| {
        let calls = calls.iter();
        calls.map(move |call| sandbox.authorise(call))
    });
    let answers = join_all(all).await;
    for number in 0..calls.len() {
        let told: Vec<_> = answers.iter().skip(number).step_by(calls.len()).collect();
        assert!(matches!(told[0], Answer::Done(_)), "{told:?}");
        assert!(told.iter().all(|answer| *answer == told[0]), "{told:?}");
    }
    for sandbox in &open {
        let entries = sandbox.entries().await.unwrap();
        assert_eq!(entries.len(), calls.len());
        let held: i64 = sandbox.book().await.unwrap().iter().map(|it| it.authorised).sum();
        assert_eq!(held, 100 * 500);
    }
}
