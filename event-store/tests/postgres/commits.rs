//! Commits without an answer: cut before the server sees them, cut after the server has done them, done later than
//! expected, or never answered. Every outcome is found out, and every batch is in the log once.

use std::time::Duration;

use event_store::append::{Expectation, Outcome};
use event_store::postgres::Store;
use event_store::{Error, EventStore};
use servers::Postgres;

use super::proxy::{Fault, Proxy};
use super::{check, options};
use crate::contract::{appended, batch, keyed, stream, write};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_is_not_answered_is_found_out() {
    let server = Postgres::shared();
    let url = server.database();
    let proxy = Proxy::start(server.port()).await;
    let mut through = options(&proxy.through(&url, server.port()));
    through.stall = Duration::from_secs(2);
    let store = Store::open(through).await.unwrap();
    let direct = Store::open(options(&url)).await.unwrap();
    let mut round = 0;
    for fault in [Fault::ALL, Fault::ALL, Fault::ALL].concat() {
        round += 1;
        let before = store.head().borrow().position;
        proxy.arm(fault);
        let mut own = Vec::new();
        for n in 0..10 {
            let id = stream(&format!("own-{round}-{n}"));
            let writes = vec![write(&id, Expectation::NoStream, &["a", "b"])];
            let batch = if n % 2 == 0 { batch(writes) } else { keyed(&format!("{round}-{n}"), writes) };
            own.push((batch.clone(), store.append(batch)));
        }
        // Beside them: a pair of which one must lose, and a command that is sent twice.
        let one = stream(&format!("pair-{round}"));
        let pair = [(); 2].map(|()| store.append(batch(vec![write(&one, Expectation::NoStream, &["x"])])));
        let twice =
            keyed(&format!("twice-{round}"), vec![write(&stream(&format!("twice-{round}")), Expectation::Any, &["x"])]);
        let twice = [(); 2].map(|()| store.append(twice.clone()));

        for (batch, pending) in own {
            let receipt = appended(pending.await.unwrap());
            assert_eq!(direct.command(batch.command_id).await.unwrap(), Some(receipt.clone()));
            let again = store.append(batch).await.unwrap();
            assert_eq!(again, Outcome::AlreadyAppended(receipt));
        }
        let [first, second] = pair;
        appended(first.await.unwrap());
        assert!(matches!(second.await.unwrap(), Outcome::Conflict { .. }));
        let [first, second] = twice;
        let receipt = appended(first.await.unwrap());
        assert_eq!(second.await.unwrap(), Outcome::AlreadyAppended(receipt));
        assert_eq!(proxy.struck(), round, "{fault:?} met a commit");
        assert_eq!(store.head().borrow().position, before + 22, "{fault:?}: once each");
    }
    assert_eq!(check(&*direct).await, 22 * round as u64);
    store.close().await.unwrap();
    direct.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_found_out_in_time_is_unknown_and_what_was_not_sent_is_not_now() {
    let mut server = Postgres::start();
    let url = server.database();
    let proxy = Proxy::start(server.port()).await;
    let mut through = options(&proxy.through(&url, server.port()));
    through.patience = Duration::from_millis(500);
    through.stall = Duration::from_secs(2);
    let store = Store::open(through).await.unwrap();
    appended(store.append(batch(vec![write(&stream("one"), Expectation::Any, &["x"])])).await.unwrap());

    proxy.arm(Fault::CutAfter);
    let doubtful = keyed("doubtful", vec![write(&stream("one"), Expectation::Any, &["y"])]);
    let pending = store.append(doubtful.clone());
    while proxy.struck() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::sleep(Duration::from_millis(5)).await;
    server.stop_immediately();
    let outcome = pending.await;
    // The writer may have been faster than the end of the server.
    let unknown = matches!(outcome, Err(Error::Unknown(_)));
    assert!(unknown || matches!(outcome, Ok(Outcome::Appended(_))), "{outcome:?}");
    let refused = keyed("refused", vec![write(&stream("one"), Expectation::Any, &["z"])]);
    assert!(matches!(store.append(refused.clone()).await, Err(Error::NotNow(_))));

    server.start_again();
    assert_eq!(store.command(refused.command_id).await.unwrap(), None, "a no is a no");
    assert!(matches!(store.append(doubtful).await.unwrap(), Outcome::AlreadyAppended(_)));
    appended(store.append(refused).await.unwrap());
    assert_eq!(check(&*store).await, 3);
    store.close().await.unwrap();
}
