//! The sandbox keeps its word: one effect for each key, for ever, whatever the process does.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use domain::ids::{CaptureId, OrderId, PaymentId, RaiseId, RefundId, derived};
use domain::money::{Currency, Money};
use domain::payment::abilities::Abilities;
use domain::payment::event::Verb;
use domain::time::Timestamp;
use futures_util::future::join_all;
use sagas::PaymentGateway;
use sagas::gateway::{Answer, Authorisation, Call, Done, Found, Sandbox, sandbox::Options};
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

/// A request of its own about the payment of [`call`] number 1.
fn of(verb: Verb, amount: i64, instrument: &str) -> Call {
    let call = call(1, verb, amount);
    Call { key: derived(call.key, &amount.to_string()), instrument: instrument.into(), ..call }
}

fn capture(number: u128) -> Verb {
    Verb::Capture { capture_id: CaptureId(Uuid::from_u128(number)) }
}

fn raise(number: u128) -> Verb {
    Verb::Raise { raise_id: RaiseId(Uuid::from_u128(number)) }
}

fn declined(code: &str) -> Answer {
    Answer::NotDone { code: code.into() }
}

#[track_caller]
fn done(answer: Answer) -> Done {
    match answer {
        Answer::Done(done) => done,
        other => panic!("{other:?}"),
    }
}

/// Of the only account: what was held, taken, given back and let go.
async fn sums(sandbox: &Sandbox) -> [i64; 4] {
    let book = sandbox.book().await.unwrap();
    [book[0].authorised, book[0].captured, book[0].refunded, book[0].voided]
}

#[tokio::test]
async fn a_part_is_let_go_and_more_is_held() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = open(&dir);
    let good = "sandbox:approve";
    let held = done(sandbox.authorise(&of(Verb::Authorise, 1_000, good)).await);
    assert_eq!(held.abilities, Some(Abilities::ALL));
    done(sandbox.void(&of(Verb::Void, 300, good)).await);
    assert_eq!(sums(&sandbox).await, [1_000, 0, 0, 300]);
    let raised = done(sandbox.raise(&of(raise(1), 500, good)).await);
    assert_eq!((raised.amount, raised.capture_before, raised.abilities), (500, None, None));
    assert_eq!(sandbox.raise(&of(raise(2), 5, "sandbox:raise-declines")).await, declined("raise-declined"));
    done(sandbox.capture(&of(capture(1), 700, good)).await);
    done(sandbox.capture(&of(capture(2), 500, good)).await);
    assert_eq!(sums(&sandbox).await, [1_500, 1_200, 0, 300]);
    assert_eq!(sandbox.raise(&of(raise(3), 5, good)).await, declined("nothing-held"));
}

#[tokio::test]
async fn a_plain_instrument_takes_what_it_holds_once_or_lets_all_of_it_go() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = open(&dir);
    let plain = "sandbox:plain";
    let held = done(sandbox.authorise(&of(Verb::Authorise, 1_000, plain)).await);
    assert_eq!(held.abilities, Some(Abilities::NONE));
    assert_eq!(sandbox.void(&of(Verb::Void, 300, plain)).await, declined("partial-void-unsupported"));
    assert_eq!(sandbox.raise(&of(raise(1), 5, plain)).await, declined("raise-unsupported"));
    assert_eq!(sums(&sandbox).await, [1_000, 0, 0, 0]);
    done(sandbox.capture(&of(capture(1), 400, plain)).await);
    assert_eq!(sums(&sandbox).await, [1_000, 400, 0, 600]);
    assert_eq!(sandbox.capture(&of(capture(2), 1, plain)).await, declined("exceeds-authorised"));
}

#[tokio::test]
async fn what_is_held_beyond_its_end_is_neither_taken_nor_raised_but_let_go() {
    let dir = tempfile::tempdir().unwrap();
    let now = Arc::new(AtomicI64::new(0));
    let told = now.clone();
    let clock = Arc::new(move || Timestamp::from_micros(told.load(Ordering::SeqCst)));
    let mut options = Options::new(dir.path().join("book.sqlite"), clock);
    options.capture_within = Duration::from_secs(60);
    let sandbox = Sandbox::open(options.clone()).unwrap();
    let good = "sandbox:approve";
    let hold = of(Verb::Authorise, 1_000, good);
    let end = Timestamp::from_micros(60_000_000);
    assert_eq!(done(sandbox.authorise(&hold).await).capture_before, Some(end));
    now.store(end.micros() - 1, Ordering::SeqCst);
    done(sandbox.capture(&of(capture(1), 400, good)).await);
    drop(sandbox);
    // An end that was told stays, whatever the next life is configured to.
    options.capture_within = Duration::from_secs(600);
    let sandbox = Sandbox::open(options).unwrap();
    now.store(end.micros(), Ordering::SeqCst);
    assert_eq!(done(sandbox.authorise(&hold).await).capture_before, Some(end));
    assert_eq!(sandbox.capture(&of(capture(2), 1, good)).await, declined("authorisation-expired"));
    assert_eq!(sums(&sandbox).await, [1_000, 400, 0, 600]);
    assert_eq!(sandbox.raise(&of(raise(1), 1, good)).await, declined("authorisation-expired"));
    done(sandbox.refund(&of(Verb::Refund { refund_id: RefundId::default() }, 400, good)).await);
    assert_eq!(sums(&sandbox).await, [1_000, 400, 400, 600]);
}

#[tokio::test]
async fn only_an_authorisation_that_never_answered_is_believed() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = open(&dir);
    let authorisation = Some(Authorisation { provider_ref: "portal-1".into(), amount: 1_000 });
    let claimed =
        |verb, amount, instrument| Call { authorisation: authorisation.clone(), ..of(verb, amount, instrument) };
    assert_eq!(sandbox.capture(&claimed(capture(1), 1, "sandbox:approve")).await, declined("no-such-payment"));
    assert_eq!(sandbox.capture(&of(capture(2), 2, "sandbox:never")).await, declined("no-such-payment"));
    assert_eq!(sandbox.capture(&claimed(capture(3), 1_001, "sandbox:never")).await, declined("exceeds-authorised"));
    done(sandbox.capture(&claimed(capture(4), 600, "sandbox:never")).await);
    done(sandbox.void(&claimed(Verb::Void, 400, "sandbox:never")).await);
    assert_eq!(sums(&sandbox).await, [1_000, 600, 0, 400]);
}

#[tokio::test]
async fn a_call_that_was_decided_is_not_lost_again_and_a_dark_one_is_answered_once_it_was_asked_about_enough() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = open(&dir);
    let flaky = of(Verb::Authorise, 1_000, "sandbox:flaky-2");
    for _ in 0..2 {
        assert!(matches!(sandbox.authorise(&flaky).await, Answer::Unknown { .. }));
        assert_eq!(sandbox.query(&flaky).await, Found::Nothing);
    }
    for _ in 0..4 {
        done(sandbox.authorise(&flaky).await);
    }
    let dark = of(Verb::Void, 1_000, "sandbox:void-dark-2");
    let unanswered = tokio::time::timeout(Duration::from_millis(200), sandbox.void(&dark)).await;
    assert!(unanswered.is_err());
    assert!(matches!(sandbox.query(&dark).await, Found::Dark { .. }));
    drop(sandbox);
    // How often it was asked about is in the book.
    let sandbox = open(&dir);
    assert!(matches!(sandbox.query(&dark).await, Found::Dark { .. }));
    for _ in 0..4 {
        assert!(matches!(sandbox.query(&dark).await, Found::Done(_)));
    }
}

#[tokio::test]
async fn a_book_of_the_first_form_is_read_on() {
    let dir = tempfile::tempdir().unwrap();
    let db = rusqlite::Connection::open(dir.path().join("book.sqlite")).unwrap();
    let payment_id = call(1, Verb::Authorise, 1_000).payment_id;
    db.execute_batch(&format!(
        "CREATE TABLE account (
            tenant TEXT NOT NULL, payment TEXT NOT NULL, currency TEXT NOT NULL,
            authorised INTEGER NOT NULL, captured INTEGER NOT NULL, refunded INTEGER NOT NULL, voided INTEGER NOT NULL,
            PRIMARY KEY (tenant, payment)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE entry (
            number INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, verb TEXT NOT NULL, tenant TEXT NOT NULL, payment TEXT NOT NULL,
            amount INTEGER NOT NULL, currency TEXT NOT NULL, code TEXT, at INTEGER NOT NULL
        ) STRICT;
        INSERT INTO account VALUES ('main', '{payment_id}', 'GBP', 1000, 0, 0, 0);"
    ))
    .unwrap();
    drop(db);
    let sandbox = open(&dir);
    done(sandbox.capture(&of(capture(1), 400, "sandbox:approve")).await);
    assert_eq!(sums(&sandbox).await, [1_000, 400, 0, 0]);
}
