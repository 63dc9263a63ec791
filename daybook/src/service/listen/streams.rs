//! The streams of a connection that carries several requests at once (HTTP/2). If a client does not read one answer,
//! only that stream is reset: the others continue.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::rt::Executor;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::pace::{Pace, Slowest};

tokio::task_local! {
    /// The answer that the running task sends.
    static ANSWER: Arc<Answer>;
}

/// How fast an answer goes out.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pace: Mutex<Option<Pace>>,
    begun: Notify,
}

impl Answer {
    /// The answer that this task sends; `None` where a connection has one request at a time.
    pub(super) fn of_task() -> Option<Arc<Self>> {
        ANSWER.try_with(Arc::clone).ok()
    }

    fn pace(&self) -> MutexGuard<'_, Option<Pace>> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its head is ready to go out.
    pub(super) fn begin(&self) {
        *self.pace() = Some(Pace::begin(Instant::now()));
        self.begun.notify_one();
    }

    /// More of its body goes out.
    pub(super) fn moved(&self, bytes: usize) {
        if let Some(pace) = &mut *self.pace() {
            pace.moved(bytes);
        }
    }

    /// Comes back once a period has ended in which too little went out.
    async fn stalled(&self, slowest: Slowest) {
        self.begun.notified().await;
        loop {
            let ends = self.pace().as_ref().map(|pace| pace.ends(slowest));
            tokio::time::sleep_until(ends.unwrap_or_else(Instant::now)).await;
            if self.pace().as_mut().is_none_or(|pace| pace.too_slow(Instant::now(), slowest)) {
                return;
            }
        }
    }
}

/// Runs the streams of connections.
#[derive(Clone, Copy, Debug)]
pub(super) struct Streams {
    slowest: Slowest,
}

impl Streams {
    pub(super) fn new(slowest: Slowest) -> Self {
        Self { slowest }
    }
}

impl<F> Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, stream: F) {
        let (answer, slowest) = (Arc::<Answer>::default(), self.slowest);
        let watched = Arc::clone(&answer);
        tokio::spawn(ANSWER.scope(answer, async move {
            let stalled = pin!(watched.stalled(slowest));
            tokio::select! {
                _ = stream => {}
                // The stream is reset by being dropped.
                () = stalled => {
                    metrics::counter!("daybook_http_connections_ended_total", "reason" => "stream").increment(1);
                    tracing::debug!("a client does not read an answer; its stream is reset");
                }
            }
        }));
    }
}
