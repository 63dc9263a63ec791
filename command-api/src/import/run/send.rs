//! Sending the commands of a run: each under the id that its place in the content gives it, again as long as its outcome is not known.

use std::time::{Duration, Instant};

use domain::ids::{ImportId, OrderId, Tenant};
use domain::import::{self, Import};
use domain::time::Timestamp;
use domain::{order, stream};
use event_store::Class;
use schemas::{Actor, Metadata};
use uuid::Uuid;

use super::{Error, Importer, Named, Observed, Observer};
use crate::claims::{self, Known};
use crate::execute::{self, Done, Executor, Plan, Request};
use crate::import::keys::Origin;
use crate::import::plan::Options;

/// How often a command is sent that the executor is too busy for, or whose outcome is unknown.
const TRIES: u32 = 60;
/// How long the first wait between two tries is; each is twice the one before.
const PAUSE: Duration = Duration::from_millis(20);
/// The longest one: a disk that is full or a database that is away is waited for.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Whether the same command may have an outcome later.
fn may_help(error: &execute::Error) -> bool {
    error.class() != Class::Never && !matches!(error, execute::Error::Closed | execute::Error::Unreadable { .. })
}

/// Sends the commands of one run.
pub(super) struct Sender {
    pub(super) executor: Executor,
    pub(super) origin: Origin,
    pub(super) import_id: ImportId,
    pub(super) patience: Duration,
    actor: String,
    observer: Observer,
}

/// One command.
pub(super) struct Command {
    /// Its idempotency key.
    pub(super) key: String,
    /// What equal commands have in common.
    pub(super) print: Vec<u8>,
    /// What the work belongs to.
    pub(super) correlation: Uuid,
    /// When it happened, in business time.
    pub(super) at: Option<Timestamp>,
}

impl Sender {
    pub(super) fn new(importer: &Importer, import_id: ImportId, options: &Options) -> Self {
        Self {
            executor: importer.executor.clone(),
            origin: options.origin.clone(),
            import_id,
            patience: importer.patience,
            actor: importer.actor.clone(),
            observer: importer.observer.clone(),
        }
    }

    pub(super) fn tenant(&self) -> &Tenant {
        &self.origin.tenant
    }

    pub(super) fn command_id(&self, key: &str) -> Uuid {
        self.origin.command_id(key)
    }

    /// Sends a command; `None` if its key stands for another one, which an import of other content sent.
    pub(super) async fn send(&self, command: &Command, plan: impl Fn() -> Plan) -> Result<Option<Done>, Error> {
        self.sent(|| self.executor.execute(self.request(command), plan())).await
    }

    /// The same, to an order.
    pub(super) async fn send_order(
        &self,
        command: &Command,
        order_id: OrderId,
        ask: &order::Command,
    ) -> Result<Option<Done>, Error> {
        let (executor, tenant) = (&self.executor, self.tenant());
        let plan = |again| claims::order_unseen(Known { executor, tenant, again }, order_id, ask);
        self.sent(|| executor.execute_planned(self.request(command), plan)).await
    }

    async fn sent<F>(&self, send: impl Fn() -> F) -> Result<Option<Done>, Error>
    where
        F: Future<Output = Result<Done, execute::Error>>,
    {
        let mut pause = PAUSE;
        for attempt in 1.. {
            let begun = Instant::now();
            match send().await {
                Ok(done) => {
                    (self.observer)(Observed::Command(begun.elapsed()));
                    return Ok(Some(done));
                }
                Err(execute::Error::KeyReused) => return Ok(None),
                Err(error) if attempt < TRIES && may_help(&error) => {
                    tracing::warn!(
                        %error,
                        ?pause,
                        "a command of an import failed for now; it is retried after a pause"
                    );
                }
                Err(error) => return Err(error.into()),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        Err(Error::Stopped)
    }

    /// Records that the run begins; under the caller's own name for that, if it has one.
    pub(super) async fn start(&self, started: import::Started, named: Option<Named>) -> Result<(), Error> {
        let sent = self.of_run("start");
        let mut request = self.request(&sent);
        if let Some(named) = &named {
            request.command_id = named.command_id;
            request.fingerprint = named.fingerprint;
        }
        let name = stream::import(self.import_id);
        let plan = || Plan::new().and_unseen::<Import>(name.clone(), import::Command::Start(started.clone()));
        let done = self.sent(|| self.executor.execute(request.clone(), plan())).await?;
        match done.as_ref().map(Done::refused) {
            None if named.is_some() => Err(Error::KeyReused),
            None => Err(Error::Refused("its key stands for another command".into())),
            Some(Some(refused)) => Err(Error::Refused(refused.message.clone())),
            Some(None) => Ok(()),
        }
    }

    /// A command about the run itself.
    fn of_run(&self, name: &str) -> Command {
        let key = format!("import/{}/{name}", self.import_id);
        Command { key, print: vec![], correlation: self.import_id.0, at: None }
    }

    /// Records something on the run's own stream.
    pub(super) async fn import(&self, name: &str, command: import::Command) -> Result<Done, Error> {
        let sent = self.of_run(name);
        let name = stream::import(self.import_id);
        let done = self.send(&sent, || Plan::new().and_unseen::<Import>(name.clone(), command.clone())).await?;
        let done = done.ok_or_else(|| Error::Refused("its key stands for another command".into()))?;
        match done.refused() {
            Some(refused) => Err(Error::Refused(refused.message.clone())),
            None => Ok(done),
        }
    }

    fn request(&self, command: &Command) -> Request {
        let actor = Actor { id: self.actor.clone(), via: "import".into(), on_behalf_of: None };
        let mut metadata = Metadata::new(actor, command.correlation);
        metadata.causation = Some(self.import_id.0);
        metadata.occurred_at = command.at;
        Request {
            tenant: self.origin.tenant.clone(),
            command_id: self.command_id(&command.key),
            fingerprint: execute::fingerprint(&[b"import", command.key.as_bytes(), &command.print]),
            metadata,
            if_match: None,
            dry_run: false,
            while_asked: false,
        }
    }
}
