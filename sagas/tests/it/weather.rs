//! The simulation's shop on the real runner, the real payment worker and a real store in bad weather: by seed the store refuses, fills up, stalls
//! and leaves open what it did, and the process is killed meanwhile. Once the weather is fine everything comes to rest, and all laws hold.

mod books;
#[path = "../../../domain/src/simulation/clerks.rs"]
mod clerks;
mod people;
#[path = "../../../domain/src/simulation/rest.rs"]
mod rest;
#[path = "../../../domain/src/simulation/shop.rs"]
mod shop;
mod sky;
#[path = "../../../domain/src/simulation/tally.rs"]
mod tally;
#[path = "../../../domain/src/simulation/wishes.rs"]
mod wishes;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::ids::PaymentId;
use domain::payment::state::Progress;
use event_store::EventStore;
use event_store::consumer::ConsumerKey;
use event_store::record::Position;
use sagas::{payment, runner};
use tokio::task::JoinSet;

use self::books::Books;
use self::people::{LOOKED_UP, People};
use self::sky::{Fault, Happened, OF_APPENDS, OTHERS, Weather, Whose};
use self::tally::{KINDS, Tally};
use super::shop::Life;

/// How many things happen while the weather is bad.
const MOMENTS: u32 = 220;
/// Once the weather is fine, everything has to come to rest within this, on a machine that has much else to do.
const TO_REST: Duration = Duration::from_secs(120);
/// Nothing moves: the log has not grown for so long, which is longer than the runner waits before it looks at its timers.
const STILL: Duration = Duration::from_millis(60);
/// So many shops at once in a long run; the suite has other tests beside this one, and lets one after the other live.
const AT_ONCE: usize = 4;

/// What has to happen in all of the shops together: a storm in which nobody does it proves nothing about it. The other kinds are too seldom in so
/// few shops, or need what these have not: baskets, and authorisations that end.
const OFTEN: [&str; 17] = [
    "placed in yen",
    "placed in dinars",
    "placed with a discount",
    "confirmed",
    "confirmed after a decline",
    "authorisation declined",
    "capture declined",
    "captured by hand",
    "paid with another instrument",
    "edited up",
    "withdrawn",
    "refunded by itself",
    "refunded of shipping",
    "resolved",
    "void",
    "completed",
    "cancelled",
];

/// How many shops there are in the suite.
const FEW: u64 = 6;

/// How many shops there are: `DAYBOOK_RUNNER_SEEDS`, so that a long run has more.
#[expect(clippy::disallowed_methods, reason = "a number of shops is given to a test, not to the product")]
fn seeds() -> u64 {
    std::env::var("DAYBOOK_RUNNER_SEEDS").ok().map_or(FEW, |seeds| seeds.parse().unwrap())
}

/// Whether the runner and the payment worker have dealt with the log up to a position: what is not begun is not in the log.
async fn seen(people: &People, position: Position) -> bool {
    let worker = ConsumerKey { name: payment::NAME.into(), partition: 0 };
    for key in [runner::consumer(0), worker] {
        let row = people.shop.store.consumer(&key).await.unwrap();
        if row.is_none_or(|row| row.checkpoint.position < position) {
            return false;
        }
    }
    true
}

async fn come_to_rest(seed: u64, people: &mut People, books: &mut Books) {
    let began = Instant::now();
    let mut moved_at = Instant::now();
    loop {
        if books.read(&*people.shop.store).await {
            moved_at = Instant::now();
        }
        let late = began.elapsed() > TO_REST;
        assert!(!late, "seed {seed}: it does not come to rest: {:#?}", books.running());
        if moved_at.elapsed() >= STILL && !books.at_provider() && seen(people, books.position).await {
            if books.to_look_up() {
                people.look_up().await;
                people.all_answered().await;
            } else if let Some(due_at) = books.next_timer() {
                people.time_passes(due_at + 1_000_000).await;
            } else if books.running().is_empty() && !books.unanswered() {
                return;
            }
            moved_at = Instant::now();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The provider's book says what the payments say, and it did nothing twice.
async fn reconcile(seed: u64, people: &People, books: &Books) {
    let accounts = people.shop.sandbox.book().await.unwrap();
    let accounts: BTreeMap<PaymentId, _> = accounts.into_iter().map(|account| (account.payment_id, account)).collect();
    assert!(accounts.keys().all(|id| books.payment(*id).is_some()), "seed {seed}: the provider has more payments");
    // The sums say it already, unless it did something twice and something else not at all.
    let mut done: BTreeMap<(PaymentId, String), usize> = BTreeMap::new();
    for entry in people.shop.sandbox.entries().await.unwrap().into_iter().filter(|entry| entry.code.is_none()) {
        *done.entry((entry.payment_id, entry.verb)).or_default() += 1;
    }
    for payment in books.payments() {
        let id = payment.payment_id;
        let theirs = accounts.get(&id).map(|it| (it.authorised, it.captured, it.refunded, it.voided));
        let ours = (payment.authorised, payment.captured, payment.refunded, payment.voided);
        // The provider believes what people say of money that it shall hold, and has nothing of it until more is asked.
        let said = payment.provider_ref.as_deref() == Some(LOOKED_UP);
        let authorised_by_word = said && theirs.is_none() && ours == (payment.authorised, 0, 0, 0);
        assert!(
            authorised_by_word || ours == theirs.unwrap_or_default(),
            "seed {seed}: {theirs:?}, and here {payment:?}"
        );
        let often = [
            ("authorise", usize::from(payment.authorised > 0)),
            ("capture", payment.captures.values().filter(|it| it.progress == Progress::Done).count()),
            ("refund", payment.refunds.values().filter(|it| it.progress == Progress::Done).count()),
            ("raise", payment.raises.values().filter(|it| it.progress == Progress::Done).count()),
            ("void", payment.voids_done.len()),
        ];
        for (verb, ours) in often {
            let theirs = done.remove(&(id, verb.to_owned())).unwrap_or(0);
            let same = ours == theirs || (said && verb == "authorise" && theirs == 0);
            assert!(same, "seed {seed}: {verb} of {payment:?}: {ours} here, {theirs} there");
        }
    }
    assert!(done.is_empty(), "seed {seed}: the provider did what nobody asked for: {done:?}");
}

/// What everybody was answered is in the log.
fn answers_stand(seed: u64, people: &People, books: &Books) {
    for wish in people.asked.iter().filter(|wish| wish.answer.is_some()) {
        assert!(books.has(wish.id), "seed {seed}: {} was answered {:?}, and is not there", wish.id, wish.answer);
    }
}

async fn storm(seed: u64) -> (Happened, Tally, usize) {
    let mut weather = None;
    let mut people = People::open(seed, |store| {
        let bad = Weather::new(store, seed);
        weather = Some(bad.clone());
        bad
    })
    .await;
    let weather = weather.unwrap();
    let store: Arc<dyn EventStore> = weather.clone();
    let begin = |people: &People| -> Life { people.shop.live_on(store.clone()) };
    let mut life = begin(&people);
    for moment in 0..MOMENTS {
        people.moment().await;
        if people.wishes.roll(80) == 0 || moment == MOMENTS / 2 {
            life.kill().await;
            life = begin(&people);
        }
    }
    weather.clears();
    assert!(life.lives(), "seed {seed}: it stopped");
    people.all_answered().await;
    people.come_back();
    people.all_answered().await;
    people.go_home().await;
    let mut books = Books::default();
    come_to_rest(seed, &mut people, &mut books).await;
    assert!(life.lives(), "seed {seed}: it stopped");
    books.close();
    reconcile(seed, &people, &books).await;
    answers_stand(seed, &people, &books);
    assert!(people.asked.iter().all(|wish| wish.answer.is_some()), "seed {seed}: a good store answers");
    life.stop().await;
    (weather.happened(), std::mem::take(&mut books.tally), books.placed())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shop_comes_through_a_store_that_refuses_stalls_and_fills_up() {
    let seeds = seeds();
    let (mut happened, mut tally, mut placed) = (Happened::default(), Tally::default(), 0);
    let (mut storms, mut next) = (JoinSet::new(), 0);
    let at_once = if seeds > FEW { AT_ONCE } else { 1 };
    loop {
        while storms.len() < at_once && next < seeds {
            let seed = next;
            next += 1;
            storms.spawn(async move { (seed, tokio::spawn(storm(seed)).await) });
        }
        let Some(one) = storms.join_next().await else {
            break;
        };
        let (seed, one) = one.unwrap();
        let (faults, deeds, orders) = one.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        faults.into_iter().for_each(|(fault, times)| *happened.entry(fault).or_default() += times);
        tally.add(&deeds);
        placed += orders;
    }
    eprintln!("{seeds} shops, {placed} orders\n{happened:?}\n{tally:?}");
    let of = |whose, fault: Fault| happened.get(&(whose, fault)).copied().unwrap_or(0);
    let least = u32::try_from(seeds).unwrap();
    for fault in OF_APPENDS {
        for whose in [Whose::Saga, Whose::Service] {
            assert!(of(whose, fault) >= least, "{whose:?} {fault:?}: {happened:?}");
        }
    }
    for fault in OTHERS {
        assert!(of(Whose::Other, fault) >= least, "{fault:?}: {happened:?}");
    }
    assert!(OFTEN.iter().all(|kind| KINDS.contains(kind)));
    let missing: Vec<_> = OFTEN.iter().filter(|kind| tally.of(kind) == 0).collect();
    assert!(missing.is_empty(), "{missing:?} of {tally:?}");
}
