//! What a part of the read models does about what the log or its database cannot do now: it says that it waits, and tries again after
//! longer and longer waits. It never says that it waits while it posts.

use event_store::patience::Backoff;
use event_store::supervision::Pulse;
use tokio_util::sync::CancellationToken;

/// The waits of one part.
pub(crate) struct Patience {
    pulse: Pulse,
    backoff: Backoff,
    waits: bool,
}

impl Patience {
    /// Waits that `pulse` hears of.
    pub(crate) fn new(pulse: Pulse) -> Self {
        Self { pulse, backoff: Backoff::of_a_store(), waits: false }
    }

    /// Waits, once more, until something that failed may be tried again, or the part is told to stop.
    pub(crate) async fn wait(&mut self, why: &str, token: &CancellationToken) {
        let wait = self.backoff.next_wait();
        tracing::warn!(error = why, ?wait, "read models cannot be posted now; it is tried again after a wait");
        metrics::counter!("daybook_projection_errors_total").increment(1);
        self.waits = true;
        self.pulse.waits(why);
        tokio::select! {
            () = token.cancelled() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }

    /// It works again.
    pub(crate) fn goes_on(&mut self) {
        if std::mem::take(&mut self.waits) {
            self.backoff.reset();
            self.pulse.goes_on();
        }
    }
}
