//! The services that run the commands of sagas: ordering, inventory, payments. Of the processes with such a role one is
//! active and the others stand by. Two may be active for a moment; that is safe, because a command has one outcome by
//! its id, and the state that it was decided on is checked when it is written.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use command_api::execute::Executor;
use domain::Command;
use domain::command::Service;
use domain::ids::Tenant;
use event_store::EventStore;
use event_store::consumer::ConsumerKey;
use event_store::leadership::{Leadership, Term, next_term};
use event_store::supervision::{Ended, Supervisor};
use event_stream::commands::{Delivery, Queue, ReceiveOptions, SendError};
use sagas::{Dispatch, DispatchError};
use schemas::Metadata;
use schemas::command::Envelope;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::Stage;
use super::process::never;
use crate::config::Config;
use crate::config::roles::Role;
use crate::service::health::{Health, Part, State};

/// When a command is tried again that could not be run now.
const AGAIN: Duration = Duration::from_millis(500);

/// Sends commands to the queue of their service.
pub(super) struct Queued(pub(super) Queue);

#[async_trait]
impl Dispatch for Queued {
    async fn dispatch(
        &self,
        tenant: &Tenant,
        command_id: Uuid,
        command: Command,
        meta: Metadata,
    ) -> Result<(), DispatchError> {
        let service = name(command.service());
        let impossible = |error: &dyn std::error::Error| DispatchError::Impossible(error.to_string());
        let body =
            Envelope::new(tenant.clone(), command_id, command, meta).encode().map_err(|error| impossible(&error))?;
        match self.0.send(service, command_id, body).await {
            Ok(()) => Ok(()),
            Err(error @ SendError::TooLarge(_)) => Err(impossible(&error)),
            Err(error) => Err(DispatchError::Unavailable(error.to_string())),
        }
    }

    async fn put_aside(
        &self,
        command: &Command,
        command_id: Uuid,
        within: Duration,
    ) -> Result<Option<String>, DispatchError> {
        let found = self.0.put_aside(name(command.service()), command_id).await;
        let found = found.map_err(|error| DispatchError::Unavailable(error.to_string()))?;
        let since = found.filter(|found| found.ago <= within);
        Ok(since.map(|found| found.reason))
    }
}

/// The role of the processes that run a service.
pub(super) fn role(service: Service) -> Role {
    match service {
        Service::Ordering => Role::Ordering,
        Service::Inventory => Role::Inventory,
        Service::Payments => Role::Payments,
    }
}

fn name(service: Service) -> &'static str {
    role(service).name()
}

/// One service of this process. Clones share everything.
#[derive(Clone)]
pub(super) struct Host {
    service: Service,
    queue: Queue,
    executor: Executor,
    at_once: usize,
    lease: Duration,
    /// The current term as the active one, if any.
    term: Arc<Mutex<Option<Term>>>,
}

impl Host {
    pub(super) fn new(service: Service, queue: Queue, executor: Executor, config: &Config) -> Self {
        Self {
            service,
            queue,
            executor,
            at_once: config.sagas.in_flight.max(1),
            lease: config.roles.lease(),
            term: Arc::default(),
        }
    }

    /// Takes a place among the processes that run the service.
    pub(super) fn start(
        self,
        owner: &str,
        log: &Arc<dyn EventStore>,
        stage: &Stage,
        supervisor: &Supervisor,
        health: &Health,
    ) {
        let role = role(self.service);
        let shown = Arc::clone(&self.term);
        let (owner, log, token) = (owner.to_owned(), Arc::clone(log), stage.token.clone());
        stage.keep(supervisor, role.name(), move |pulse| {
            let (host, token) = (self.clone(), token.clone());
            let key = ConsumerKey { name: format!("service/{}", role.name()), partition: 0 };
            let leadership = Leadership::new(Arc::clone(&log), key, &owner, self.lease).told_on(pulse);
            async move {
                let active = leadership.active();
                leadership.during(host.run(active, token)).await.map_err(Ended::from)
            }
        });
        health.add(move || {
            let detail = match &*shown.lock().unwrap_or_else(PoisonError::into_inner) {
                Some(term) if term.holds() => format!("active, epoch {}", term.epoch()),
                _ => "stands by".to_owned(),
            };
            vec![Part::new(role.name(), State::Ready, detail)]
        });
    }

    async fn run(
        self,
        mut active: watch::Receiver<Option<Term>>,
        cancel: CancellationToken,
    ) -> Result<(), event_store::Error> {
        let tasks = TaskTracker::new();
        while let Some(term) = next_term(&mut active, &cancel).await? {
            *self.term.lock().unwrap_or_else(PoisonError::into_inner) = Some(term.clone());
            self.serve(&term, &cancel, &tasks).await;
        }
        tasks.close();
        tasks.wait().await;
        Ok(())
    }

    /// When an unacknowledged command is delivered again: a dead process is noticed when its lease ends.
    fn ack_wait(&self) -> Duration {
        self.lease * 3 / 2
    }

    /// Takes commands while the term lasts. Commands that are running at its end are finished, which is safe.
    async fn serve(&self, term: &Term, cancel: &CancellationToken, tasks: &TaskTracker) {
        let options = ReceiveOptions { ack_wait: self.ack_wait(), ..ReceiveOptions::default() };
        let mut deliveries = self.queue.receive(name(self.service), options);
        let free = Arc::new(Semaphore::new(self.at_once));
        while term.holds() {
            let permit = tokio::select! {
                () = cancel.cancelled() => return,
                () = term.ended() => return,
                permit = Arc::clone(&free).acquire_owned() => permit,
            };
            let delivery = tokio::select! {
                () = cancel.cancelled() => return,
                () = term.ended() => return,
                delivery = deliveries.next() => delivery,
            };
            let (executor, beat) = (self.executor.clone(), self.ack_wait() / 3);
            tasks.spawn(async move {
                carry_out(&executor, delivery, beat).await;
                drop(permit);
            });
        }
    }
}

/// Runs a command and extends its delivery every `beat` while it runs. If the queue does not learn the result, it
/// delivers the command again, with the same outcome.
async fn carry_out(executor: &Executor, delivery: Delivery, beat: Duration) {
    let told = match Envelope::decode(&delivery.body) {
        Err(error) => delivery.park(&error.to_string()).await,
        Ok(envelope) => {
            let Envelope { tenant, command_id, command, metadata, .. } = envelope;
            let run = executor.execute_command(&tenant, command_id, command, metadata);
            match beating(run, &delivery, beat).await {
                Ok(_) => delivery.ack().await,
                Err(error) if never(&error) => {
                    tracing::error!(
                        command_id = %command_id,
                        error = %error,
                        "a command cannot be run and becomes a dead letter; see docs/operations.md, 'A command became \
                         a dead letter'"
                    );
                    delivery.park(&error.to_string()).await
                }
                Err(error) => {
                    tracing::warn!(command_id = %command_id, error = %error, "a command failed for now; it is retried");
                    delivery.retry_later(AGAIN).await
                }
            }
        }
    };
    if let Err(error) = told {
        tracing::debug!(error = %error, "the queue did not receive the acknowledgement; it delivers the command again");
    }
}

/// Waits for the end of a command's run, and extends its delivery meanwhile.
async fn beating<T>(run: impl Future<Output = T>, delivery: &Delivery, beat: Duration) -> T {
    let mut beats = tokio::time::interval(beat);
    // The first one is at once.
    beats.tick().await;
    tokio::pin!(run);
    loop {
        tokio::select! {
            done = &mut run => return done,
            _ = beats.tick() => {
                // At worst it is delivered again.
                drop(delivery.in_progress().await);
            }
        }
    }
}
