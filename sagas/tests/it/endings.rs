//! The watch over the ends of authorisations: by the store's clock, by one of several, and what it found before is not asked for again at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use domain::Command;
use domain::ids::{OrderId, PaymentId, Tenant};
use domain::payment::Command as Wish;
use domain::payment::event::OnExpiry;
use domain::time::Timestamp;
use event_store::EventStore;
use event_store::clock::TestClock as _;
use event_store::sqlite::{self, Store};
use sagas::endings::{Ask, End, Find, Options, Watch, Which};
use sagas::{Dispatch, DispatchError};
use schemas::Metadata;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const DAY: u32 = 86_400;

/// Notes what it is to send, or cannot be reached.
#[derive(Default)]
struct Service {
    away: AtomicBool,
    sent: Mutex<Vec<(Uuid, Wish)>>,
}

#[async_trait]
impl Dispatch for Service {
    async fn dispatch(&self, _: &Tenant, id: Uuid, command: Command, _: Metadata) -> Result<(), DispatchError> {
        if self.away.load(Ordering::SeqCst) {
            return Err(DispatchError::Unavailable("away".into()));
        }
        if let Command::Payment { command, .. } = command {
            self.sent.lock().unwrap().push((id, command));
        }
        Ok(())
    }
}

impl Service {
    async fn has_sent(&self, count: usize) -> Vec<(Uuid, Wish)> {
        let since = Instant::now();
        loop {
            let sent = self.sent.lock().unwrap().clone();
            if sent.len() >= count {
                return sent;
            }
            assert!(since.elapsed() < Duration::from_secs(30), "{sent:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// What a read model would find.
type Known = Arc<Mutex<Vec<(Which, End)>>>;

fn find(known: &Known) -> Find {
    let known = Arc::clone(known);
    Arc::new(move |ask: Ask| {
        let known = known.lock().unwrap();
        let fits = |(which, end): &&(Which, End)| *which == ask.which && end.capture_before <= ask.until;
        let found: Vec<End> = known.iter().filter(fits).map(|(_, end)| end.clone()).collect();
        let from =
            ask.after.as_ref().and_then(|after| found.iter().position(|end| end == after)).map_or(0, |at| at + 1);
        let page: Vec<End> = found.into_iter().skip(from).take(ask.limit as usize).collect();
        Box::pin(async move { Ok(page) })
    })
}

fn end(number: u128, capture_before: Timestamp) -> End {
    End {
        tenant: "t".parse().unwrap(),
        payment_id: PaymentId(Uuid::from_u128(number)),
        order_id: OrderId(Uuid::from_u128(1_000 + number)),
        capture_before,
        version: 2,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_end_is_put_on_record_when_it_is_near_and_when_it_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(sqlite::Options::new(dir.path()).test_clock(true)).unwrap();
    let (service, known, cancel) = (Arc::new(Service::default()), Known::default(), CancellationToken::new());
    let over = Timestamp::from_micros(store.now()).plus_seconds(7 * DAY);
    // More than are found at once.
    known.lock().unwrap().extend((1..=5).map(|number| (Which::Near, end(number, over))));
    let watches: Vec<_> = ["one", "other"]
        .map(|owner| {
            let options =
                Options { page: 2, then: OnExpiry::Hold, resend_after: Duration::from_secs(3), ..Options::new(owner) };
            let log: Arc<dyn EventStore> = store.clone();
            let watch = Watch::new(log, find(&known), service.clone(), options);
            tokio::spawn(watch.run(cancel.clone()))
        })
        .into();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(service.sent.lock().unwrap().is_empty(), "it is not near");
    service.away.store(true, Ordering::SeqCst);
    store.advance(i64::from(6 * DAY) * 1_000_000).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    service.away.store(false, Ordering::SeqCst);
    // Advanced once more, since what could not be sent is looked for again after a while.
    store.advance(60_000_000).await.unwrap();
    let sent = service.has_sent(5).await;
    let is_near = |wish: &Wish| matches!(wish, Wish::NoteEnding { lead_s: DAY, then: OnExpiry::Hold, .. });
    assert!(sent.iter().all(|(_, wish)| is_near(wish)), "{sent:?}");
    // The read model is behind: only after a while they are sent again, as the same commands.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(service.sent.lock().unwrap().len(), 5);
    let again = service.has_sent(10).await;
    let mut ids: Vec<Uuid> = again.iter().map(|(id, _)| *id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 5);
    // What was refused at one version of the payment is sent again for the next one.
    let one = end(1, over);
    *known.lock().unwrap() = vec![(Which::There, one.clone())];
    store.advance(i64::from(DAY) * 1_000_000).await.unwrap();
    let is_there = |(_, wish): &&(Uuid, Wish)| matches!(wish, Wish::ExpireAuthorisation { then: OnExpiry::Hold, .. });
    let there = |sent: &[(Uuid, Wish)]| sent.iter().filter(is_there).map(|(id, _)| *id).collect::<Vec<_>>();
    let so_far = service.sent.lock().unwrap().len();
    let first = there(&service.has_sent(so_far + 1).await);
    *known.lock().unwrap() = vec![(Which::There, End { version: 3, ..one })];
    let since = Instant::now();
    loop {
        let second = there(&service.sent.lock().unwrap());
        if second.iter().any(|id| !first.contains(id)) {
            break;
        }
        assert!(since.elapsed() < Duration::from_secs(30));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    cancel.cancel();
    for watch in watches {
        watch.await.unwrap().unwrap();
    }
}
