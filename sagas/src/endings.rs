//! The watch over the ends of authorisations: by the store's clock, it has each put on record once it is near, and once it is there. It finds
//! them in a read model, so that nothing is written or asked for a payment that is taken in time. What it finds may be out of date: the
//! payment itself decides, and a command that was sent before has the outcome that it had.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::ids::{OrderId, PaymentId, Tenant, derived};
use domain::payment::command::Command;
use domain::payment::event::OnExpiry;
use domain::time::Timestamp;
use event_store::EventStore;
use event_store::consumer::ConsumerKey;
use event_store::leadership::{Leadership, Term, next_term};
use event_store::record::{Micros, Position};
use event_store::supervision::Pulse;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt};
use schemas::{Actor, Metadata};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::Stopped;
use crate::dispatch::{Dispatch, DispatchError};

/// The name of the watchers' consumer row.
pub const NAME: &str = "endings";

/// How often the clock is looked at: that of a test may be advanced at any moment.
const TICK: Duration = Duration::from_secs(1);
/// For so long after a command was sent it is looked each time whether something follows from it: what ended long ago is put on record as
/// near first.
const FOLLOWS: Duration = Duration::from_secs(5);

/// Which ends are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those of which nobody has put on record that they are near.
    Near,
    /// The others, of payments that nothing is asked of at the provider which would move what they hold.
    There,
}

/// The end of what a payment holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Whose payment it is.
    pub tenant: Tenant,
    /// The payment.
    pub payment_id: PaymentId,
    /// The order that it is for.
    pub order_id: OrderId,
    /// When it is.
    pub capture_before: Timestamp,
    /// The version of the payment's stream that says so.
    pub version: u64,
}

/// What is asked of those who know the payments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Which ends.
    pub which: Which,
    /// Up to this instant.
    pub until: Timestamp,
    /// From which one on; the first one if `None`.
    pub after: Option<End>,
    /// How many.
    pub limit: u32,
    /// What was recorded up to here should be known, if it can be.
    pub position: Position,
}

/// Finds ends of authorisations, the earliest first; or says why it cannot now.
pub type Find = Arc<dyn Fn(Ask) -> BoxFuture<'static, Result<Vec<End>, String>> + Send + Sync>;

/// How the watch goes. Every bound has its reason beside it.
#[derive(Clone, Debug)]
pub struct Options {
    /// Who it is; two with the same name are taken for one, so it has to be unique among the processes that share a store.
    pub owner: String,
    /// How long it may be silent before another takes over.
    pub lease: Duration,
    /// How long before an end it is near.
    pub lead_s: u32,
    /// What shall follow then.
    pub then: OnExpiry,
    /// How often it is looked, by the store's clock: an end is known days before.
    pub look_every: Duration,
    /// Ends that are found at once.
    pub page: u32,
    /// Commands on their way at once: those of a day on which nobody looked come together.
    pub dispatching: usize,
    /// When a command is sent again whose outcome does not show.
    pub resend_after: Duration,
}

impl Options {
    /// The usual bounds.
    #[must_use]
    pub fn new(owner: impl Into<String>) -> Self {
        Self {
            owner: owner.into(),
            lease: Duration::from_secs(15),
            lead_s: 86_400,
            then: OnExpiry::Reauthorise,
            look_every: Duration::from_secs(10),
            page: 500,
            dispatching: 32,
            resend_after: Duration::from_secs(30),
        }
    }
}

/// Watches over the ends of authorisations: the active one of any number, while the others stand by.
pub struct Watch {
    store: Arc<dyn EventStore>,
    find: Find,
    dispatch: Arc<dyn Dispatch>,
    options: Options,
    pulse: Pulse,
}

impl Watch {
    /// A watch that goes by the clock of `store`, and sends its commands through `dispatch`.
    pub fn new(store: Arc<dyn EventStore>, find: Find, dispatch: Arc<dyn Dispatch>, options: Options) -> Self {
        Self { store, find, dispatch, options, pulse: Pulse::default() }
    }

    /// Says on `pulse` what it waits for.
    #[must_use]
    pub fn told_on(mut self, pulse: Pulse) -> Self {
        self.pulse = pulse;
        self
    }

    /// Runs until it is cancelled. Waits while another one holds the lease, and begins again if it loses it.
    ///
    /// # Errors
    /// If the store is closed; nothing is kept that is not in the log, so it may be run again.
    pub async fn run(self, cancel: CancellationToken) -> Result<(), Stopped> {
        let key = ConsumerKey { name: NAME.into(), partition: 0 };
        let leadership = Leadership::new(self.store.clone(), key, &self.options.owner, self.options.lease);
        let leadership = leadership.told_on(self.pulse.clone());
        let mut active = leadership.active();
        let work = async {
            while let Some(term) = next_term(&mut active, &cancel).await? {
                self.pulse.goes_on();
                self.watch(&term, &cancel).await;
            }
            Ok::<(), Stopped>(())
        };
        leadership.during(work).await
    }

    async fn watch(&self, term: &Term, cancel: &CancellationToken) {
        let mut sent = HashMap::new();
        let mut next = Micros::MIN;
        while term.holds() {
            if self.store.now() >= next {
                let looked = tokio::select! {
                    () = cancel.cancelled() => return,
                    () = term.ended() => return,
                    looked = self.look(term, &mut sent) => looked,
                };
                match &looked {
                    Ok(()) => self.pulse.goes_on(),
                    Err(why) => self.pulse.waits(&format!("the ends of authorisations cannot be found: {why}")),
                }
                let follows = sent.values().any(|at: &Instant| at.elapsed() < FOLLOWS);
                let pause = if follows { Duration::ZERO } else { self.options.look_every };
                next = self.store.now().saturating_add(Micros::try_from(pause.as_micros()).unwrap_or(Micros::MAX));
            }
            tokio::select! {
                () = cancel.cancelled() => return,
                () = term.ended() => return,
                () = tokio::time::sleep(TICK) => {}
            }
        }
    }

    /// Has every end put on record that is near or there.
    async fn look(&self, term: &Term, sent: &mut HashMap<Uuid, Instant>) -> Result<(), String> {
        sent.retain(|_, at| at.elapsed() < self.options.resend_after);
        let position = self.store.head().borrow().position;
        for which in [Which::Near, Which::There] {
            let mut after = None;
            loop {
                let now = Timestamp::from_micros(self.store.now());
                let until = match which {
                    Which::Near => now.plus_seconds(self.options.lead_s),
                    Which::There => now,
                };
                let ask = Ask { which, until, after, limit: self.options.page, position };
                let found = (self.find)(ask).await?;
                let new = found.iter().map(|end| (self.command_id(which, end), end.clone()));
                let new: Vec<_> = new.filter(|(id, _)| !sent.contains_key(id)).collect();
                if !term.holds() {
                    return Ok(());
                }
                let told = stream::iter(new)
                    .map(|(id, end)| async move { self.send(which, id, &end, now).await.then_some(id) })
                    .buffer_unordered(self.options.dispatching.max(1))
                    .collect::<Vec<_>>()
                    .await;
                sent.extend(told.into_iter().flatten().map(|id| (id, Instant::now())));
                if found.len() < self.options.page as usize {
                    break;
                }
                after = found.into_iter().next_back();
            }
        }
        Ok(())
    }

    /// The same for the same end of the same version: what was refused there is tried again once something has happened to the payment.
    fn command_id(&self, which: Which, end: &End) -> Uuid {
        let Options { lead_s, then, .. } = self.options;
        let End { tenant, payment_id, capture_before, version, .. } = end;
        let what = match which {
            Which::Near => format!("near/{version}/{lead_s}/{then:?}"),
            Which::There => format!("there/{version}"),
        };
        derived(payment_id.0, &format!("{tenant}/ending/{capture_before}/{what}"))
    }

    /// Whether it need not be sent again soon.
    async fn send(&self, which: Which, id: Uuid, end: &End, now: Timestamp) -> bool {
        let Options { lead_s, then, .. } = self.options;
        let command = match which {
            Which::Near => Command::NoteEnding { now, lead_s, then },
            Which::There => Command::ExpireAuthorisation { now, lead_s, then },
        };
        let command = domain::Command::Payment { payment_id: end.payment_id, command };
        let actor = Actor { id: "payments".into(), via: "clock".into(), on_behalf_of: None };
        match self.dispatch.dispatch(&end.tenant, id, command, Metadata::new(actor, end.order_id.0)).await {
            Ok(()) => true,
            Err(DispatchError::Unavailable(detail)) => {
                tracing::warn!(
                    command.id = %id,
                    detail,
                    "the end of an authorisation cannot be recorded now; it is retried"
                );
                false
            }
            Err(DispatchError::Impossible(why)) => {
                tracing::error!(
                    payment = %end.payment_id,
                    why,
                    "the end of an authorisation cannot be recorded; see docs/operations.md, 'An authorisation ends'"
                );
                true
            }
        }
    }
}
