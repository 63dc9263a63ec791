//! Several stores on one database, as several processes have them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use event_store::append::{Expectation, Outcome};
use event_store::postgres::Store;
use event_store::record::StreamId;
use event_store::{EventStore, Filter};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use servers::Postgres;
use sqlx::{Connection, PgConnection, Row};
use uuid::Uuid;

use super::{check, options};
use crate::contract::{appended, batch, keyed, put, stream, write};

/// Appends to private streams and to a few contended ones, with the expected version that it finds there; returns how
/// many appends went in and how many lost.
async fn load(store: Arc<Store>, seed: u64, count: usize) -> (u64, u64) {
    let mut random = SmallRng::seed_from_u64(seed);
    let (mut events, mut conflicts) = (0, 0);
    for n in 0..count {
        let hot = stream(&format!("hot-{}", random.random_range(0..3)));
        let expected = match store.stream_head(&hot).await.unwrap() {
            Some((version, event_id)) => Expectation::At { version, event_id },
            None => Expectation::NoStream,
        };
        let own = stream(&format!("own-{seed}-{}", n % 7));
        let mut writes = vec![write(&own, Expectation::Any, &["a", "b"][..random.random_range(1..3)])];
        if random.random_bool(0.6) {
            writes.push(write(&hot, expected, &["x"]));
        }
        let written = writes.iter().map(|write| write.events.len() as u64).sum::<u64>();
        match store.append(batch(writes)).await.unwrap() {
            Outcome::Appended(_) => events += written,
            Outcome::Conflict { stream, .. } => {
                assert_eq!(stream, hot);
                conflicts += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    (events, conflicts)
}

/// Takes the head's lock again and again, moves it and writes rows after it, and takes all of that back.
async fn roll_back(url: String, done: Arc<AtomicBool>) -> u64 {
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let mut random = SmallRng::seed_from_u64(7);
    let mut times = 0;
    while !done.load(Ordering::SeqCst) {
        sqlx::raw_sql(
            "BEGIN; SELECT position FROM daybook.head FOR UPDATE; \
             INSERT INTO daybook.events SELECT position + 1, 0, 1, 1, gen_random_uuid(), gen_random_uuid(), 't', 'c', \
               gen_random_uuid()::text::bytea, 'k', '', '', '', '' FROM daybook.head; \
             UPDATE daybook.head SET position = position + 1",
        )
        .execute(&mut connection)
        .await
        .unwrap();
        tokio::time::sleep(Duration::from_millis(random.random_range(0..4))).await;
        sqlx::raw_sql("ROLLBACK").execute(&mut connection).await.unwrap();
        times += 1;
        tokio::time::sleep(Duration::from_millis(random.random_range(0..20))).await;
    }
    times
}

/// Looks at the table itself, over and over: at every moment it holds the positions up to the head, each once.
async fn look(url: String, done: Arc<AtomicBool>) -> u64 {
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let (mut looks, mut last) = (0, 0);
    while !done.load(Ordering::SeqCst) {
        let row = sqlx::query(
            "SELECT count(*), coalesce(max(position), 0), (SELECT position FROM daybook.head) FROM daybook.events",
        )
        .fetch_one(&mut connection)
        .await
        .unwrap();
        let seen: (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
        assert_eq!((seen.0, seen.0), (seen.1, seen.2), "count, last position, head");
        assert!(seen.0 >= last);
        (last, looks) = (seen.0, looks + 1);
    }
    looks
}

/// Follows a store's log and its head: every position once, in order, and the head never back.
async fn follow(store: Arc<Store>, done: Arc<AtomicBool>) -> u64 {
    let (mut after, mut head) = (0, 0);
    loop {
        let ended = done.load(Ordering::SeqCst);
        let seen = store.head().borrow().position;
        assert!(seen >= head, "the head went back");
        head = seen;
        let page = store.read_log(after, &Filter::default(), 20).await.unwrap();
        for record in &page.records {
            assert_eq!(record.position, after + 1);
            after = record.position;
        }
        assert!(after <= page.head);
        let mut moved = store.head();
        let more = moved.wait_for(|head| head.position > after);
        tokio::time::timeout(Duration::from_millis(50), more).await.ok();
        if ended && after == page.head {
            return after;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stores_at_once_leave_no_hole_and_nobody_sees_one() {
    let url = Postgres::shared().database();
    let mut stores = Vec::new();
    for _ in 0..4 {
        stores.push(Store::open(options(&url)).await.unwrap());
    }
    let done = Arc::new(AtomicBool::new(false));
    let foreign = tokio::spawn(roll_back(url.clone(), Arc::clone(&done)));
    let looking = tokio::spawn(look(url.clone(), Arc::clone(&done)));
    let following: Vec<_> =
        stores.iter().map(|store| tokio::spawn(follow(Arc::clone(store), Arc::clone(&done)))).collect();
    let loads: Vec<_> = (0..12).map(|n| tokio::spawn(load(Arc::clone(&stores[n % 4]), n as u64, 40))).collect();
    let (mut events, mut conflicts) = (0, 0);
    for load in loads {
        let (went_in, lost) = load.await.unwrap();
        (events, conflicts) = (events + went_in, conflicts + lost);
    }
    // What one has committed the others see soon, without reading.
    for store in &stores {
        let mut head = store.head();
        let seen = head.wait_for(|head| head.position == events);
        tokio::time::timeout(Duration::from_secs(60), seen).await.unwrap().unwrap();
    }
    done.store(true, Ordering::SeqCst);
    assert!(foreign.await.unwrap() > 10, "transactions were rolled back beside the load");
    assert!(looking.await.unwrap() > 10);
    for following in following {
        assert_eq!(following.await.unwrap(), events);
    }
    assert!(conflicts > 0, "writers met at the hot streams");
    assert_eq!(check(&*stores[0]).await, events);
    for store in stores {
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_command_sent_through_many_stores_is_one() {
    let url = Postgres::shared().database();
    let mut stores = Vec::new();
    for _ in 0..4 {
        stores.push(Store::open(options(&url)).await.unwrap());
    }
    // Also an id of version 7, which the other stores take for new until the index says otherwise.
    for id in [Uuid::now_v7(), Uuid::new_v5(&Uuid::NAMESPACE_OID, b"a key"), Uuid::now_v7()] {
        let mut one = batch(vec![write(&stream(&id.to_string()), Expectation::NoStream, &["x", "y"])]);
        one.command_id = id;
        let pending: Vec<_> = (0..20).map(|n| stores[n % 4].append(one.clone())).collect();
        let (mut first, mut receipts) = (0, Vec::new());
        for pending in pending {
            match pending.await.unwrap() {
                Outcome::Appended(receipt) => {
                    first += 1;
                    receipts.push(receipt);
                }
                Outcome::AlreadyAppended(receipt) => receipts.push(receipt),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(first, 1);
        assert!(receipts.iter().all(|receipt| *receipt == receipts[0]));
    }
    assert_eq!(check(&*stores[3]).await, 6);
    for store in stores {
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_store_wrote_is_expected_and_refused_at_once() {
    let url = Postgres::shared().database();
    let (one, other) = (Store::open(options(&url)).await.unwrap(), Store::open(options(&url)).await.unwrap());
    let hot: StreamId = stream("hot");
    for n in 1..=30 {
        let (writer, reader) = if n % 2 == 0 { (&one, &other) } else { (&other, &one) };
        let receipt = put(&**writer, &hot, &["x"]).await;
        assert_eq!(receipt.streams[0].last_version, n);
        // Its head in memory is one behind now.
        let (version, event_id) = reader.stream_head(&hot).await.unwrap().unwrap();
        assert_eq!(version, n);
        let stale = reader.append(batch(vec![write(&hot, Expectation::NoStream, &["x"])])).await.unwrap();
        assert!(matches!(stale, Outcome::Conflict { actual, .. } if actual == Some((version, event_id))));
        assert_eq!(
            reader.command(receipt.command_id).await.unwrap(),
            Some(receipt.clone()),
            "what is acknowledged by one can be asked of the other"
        );
    }
    for store in [one, other] {
        store.close().await.unwrap();
    }
}

/// The position of the last event in the log.
async fn head(connection: &mut PgConnection) -> i64 {
    sqlx::query("SELECT position FROM daybook.head").fetch_one(connection).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_are_ended_lose_and_repeat_nothing() {
    let url = Postgres::shared().database();
    let stores = [
        Store::open(options(&url).role("storm")).await.unwrap(),
        Store::open(options(&url).role("storm")).await.unwrap(),
    ];
    let (done, ended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let storm = {
        let (url, done, ended) = (url.clone(), Arc::clone(&done), Arc::clone(&ended));
        tokio::spawn(async move {
            let mut connection = PgConnection::connect(&url).await.unwrap();
            let mut random = SmallRng::seed_from_u64(11);
            while !done.load(Ordering::SeqCst) {
                let cut = sqlx::query(
                    "SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity WHERE datname = current_database() \
                     AND application_name = 'daybook storm' AND state <> 'idle' OR xact_start IS NOT NULL AND \
                     application_name = 'daybook storm' AND datname = current_database() ORDER BY random() LIMIT 2) \
                     AS picked",
                )
                .fetch_all(&mut connection)
                .await
                .unwrap();
                ended.fetch_add(cut.len() as u64, Ordering::SeqCst);
                if !cut.is_empty() {
                    // On a slow machine a commit takes longer than any fixed pause, and a store that gets none through within
                    // its patience answers that it cannot write now, which is right, and not the subject here.
                    let before = head(&mut connection).await;
                    while !done.load(Ordering::SeqCst) && head(&mut connection).await == before {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                }
                tokio::time::sleep(Duration::from_millis(random.random_range(0..30))).await;
            }
        })
    };
    let tasks: Vec<_> = (0..6)
        .map(|task| {
            let store = Arc::clone(&stores[task % 2]);
            tokio::spawn(async move {
                for n in 0..60 {
                    let id = stream(&format!("s-{task}-{}", n % 5));
                    let one = keyed(&format!("{task}-{n}"), vec![write(&id, Expectation::Any, &["x", "y"])]);
                    let receipt = appended(store.append(one.clone()).await.unwrap());
                    assert_eq!(receipt.streams[0].last_version, (n / 5 + 1) * 2);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    done.store(true, Ordering::SeqCst);
    storm.await.unwrap();
    assert!(ended.load(Ordering::SeqCst) >= 5, "sessions were ended in the middle of their work");
    assert_eq!(check(&*stores[0]).await, 6 * 60 * 2);
    for store in stores {
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instant_that_one_store_has_answered_gets_nothing_more_from_another() {
    let url = Postgres::shared().database();
    let asking = Store::open(options(&url)).await.unwrap();
    let writing = [Store::open(options(&url)).await.unwrap(), Store::open(options(&url)).await.unwrap()];
    let loads: Vec<_> = (0..6)
        .map(|task| {
            let store = Arc::clone(&writing[task % 2]);
            tokio::spawn(async move {
                for n in 0..60 {
                    put(&*store, &stream(&format!("s-{task}-{}", n % 3)), &["x"]).await;
                }
            })
        })
        .collect();
    let mut answers = Vec::new();
    while !loads.iter().all(|load| load.is_finished()) {
        let now = asking.now();
        answers.push((now, asking.position_at(now).await.unwrap()));
    }
    for load in loads {
        load.await.unwrap();
    }
    let total = check(&*asking).await;
    assert!(answers.iter().any(|(_, position)| (1..total).contains(position)), "none was asked in the middle");
    for (instant, answer) in answers {
        assert_eq!(asking.position_at(instant).await.unwrap(), answer);
    }
    for store in writing.into_iter().chain([asking]) {
        store.close().await.unwrap();
    }
}
