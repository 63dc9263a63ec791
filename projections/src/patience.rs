//! Retries of read models when the log or their database cannot do something now: they report that they wait, and retry
//! with growing pauses. They never report waiting while they project.

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
    /// Pauses that `pulse` reports.
    pub(crate) fn new(pulse: Pulse) -> Self {
        Self { pulse, backoff: Backoff::of_a_store(), waits: false }
    }

    /// Waits until a failed operation may be retried, or the part is cancelled.
    pub(crate) async fn wait(&mut self, why: &str, token: &CancellationToken) {
        let wait = self.backoff.next_wait();
        tracing::warn!(
            error = why,
            ?wait,
            "the read models cannot be updated now; it is retried after a wait, see docs/operations.md, 'A read model \
             is behind'"
        );
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
