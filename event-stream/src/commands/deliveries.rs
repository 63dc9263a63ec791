//! Receiving commands.

use std::time::Duration;

use async_nats::jetstream::AckKind;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::message::Message;
use bytes::Bytes;
use futures_util::StreamExt;
use uuid::Uuid;

use super::queue::{Queue, ReceiveOptions, SendError};
use crate::names::{self, header};

/// A request for messages is renewed this often.
const EXPIRES: Duration = Duration::from_secs(20);
/// The server's heartbeat interval; after twice as long without one, the subscription is renewed.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// Between attempts to subscribe.
const PAUSE: Duration = Duration::from_millis(250);

/// A service's commands, as they come.
pub struct Deliveries {
    queue: Queue,
    service: String,
    options: ReceiveOptions,
    messages: Option<pull::Stream>,
}

impl Deliveries {
    pub(super) fn new(queue: Queue, service: String, options: ReceiveOptions) -> Self {
        Self { queue, service, options, messages: None }
    }

    /// The next command. Waits without limit: while NATS is unreachable, and until a lost stream or consumer is created
    /// again. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Delivery {
        loop {
            let Some(messages) = &mut self.messages else {
                match self.subscribe().await {
                    Ok(messages) => self.messages = Some(messages),
                    Err(reason) => {
                        tracing::debug!(service = %self.service, reason, "commands cannot be received now");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
                continue;
            };
            match messages.next().await {
                Some(Ok(message)) => {
                    metrics::counter!("daybook_commands_delivered_total").increment(1);
                    return Delivery::new(self.queue.clone(), self.service.clone(), message);
                }
                ended => {
                    if let Some(Err(error)) = ended {
                        tracing::debug!(service = %self.service, error = %error, "the subscription to commands ends");
                    }
                    self.messages = None;
                    self.queue.missed().await;
                }
            }
        }
    }

    async fn subscribe(&self) -> Result<pull::Stream, String> {
        if !self.queue.connection.is_connected() {
            return Err("NATS cannot be reached".into());
        }
        self.queue.ready().await?;
        let stream = self
            .queue
            .connection
            .jetstream()
            .get_stream_no_info(names::COMMANDS)
            .await
            .map_err(|error| error.to_string())?;
        let config = pull::Config {
            durable_name: Some(format!("service-{}", names::token(&self.service))),
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::Explicit,
            ack_wait: self.options.ack_wait,
            // A server that stopped delivering a command after some attempts would lose it silently; unreadable
            // commands become dead letters instead.
            max_deliver: -1,
            max_ack_pending: i64::from(self.options.max_pending),
            filter_subject: names::commands(&self.service),
            ..pull::Config::default()
        };
        let made = stream.create_consumer(config).await;
        let consumer = match made {
            Ok(consumer) => consumer,
            Err(error) => {
                self.queue.missed().await;
                return Err(error.to_string());
            }
        };
        consumer
            .stream()
            .max_messages_per_batch(usize::from(self.options.max_pending))
            .expires(EXPIRES)
            .heartbeat(HEARTBEAT)
            .messages()
            .await
            .map_err(|error| error.to_string())
    }
}

/// A command to be executed and then acknowledged. A command that is dropped without an acknowledgement is delivered
/// again when its time is over.
#[derive(Debug)]
pub struct Delivery {
    /// The command's id, nil if the message lacks it (such a command should become a dead letter).
    pub id: Uuid,
    /// The body as it was sent.
    pub body: Bytes,
    queue: Queue,
    service: String,
    message: Message,
}

impl Delivery {
    fn new(queue: Queue, service: String, message: Message) -> Self {
        let headers = message.headers.as_ref();
        let id = headers.and_then(|headers| headers.get(header::COMMAND_ID));
        Self {
            id: id.and_then(|id| Uuid::try_parse(id.as_str()).ok()).unwrap_or_default(),
            body: message.payload.clone(),
            queue,
            service,
            message,
        }
    }

    /// How often it has been delivered, this time included; 1 if the server does not say.
    #[must_use]
    pub fn attempt(&self) -> u64 {
        let info = self.message.info();
        info.map_or(1, |info| u64::try_from(info.delivered).unwrap_or(1))
    }

    /// Acknowledges the command, which was executed durably: it leaves the queue. After an error it may be delivered
    /// again.
    pub async fn ack(self) -> Result<(), SendError> {
        let acked = self.message.double_ack().await;
        acked.map_err(|error| SendError::Unavailable(error.to_string()))
    }

    /// It comes again after this long. If the word is lost, after its time is over.
    pub async fn retry_later(self, delay: Duration) -> Result<(), SendError> {
        metrics::counter!("daybook_commands_retried_total").increment(1);
        self.tell(AckKind::Nak(Some(delay))).await
    }

    /// Extends the time for the command, which is still running.
    pub async fn in_progress(&self) -> Result<(), SendError> {
        self.tell(AckKind::Progress).await
    }

    /// Moves a command that cannot be run to the dead letters, with the reason for operators and for the sender, and
    /// removes it from the queue.
    pub async fn park(self, reason: &str) -> Result<(), SendError> {
        let id = (!self.id.is_nil()).then_some(self.id);
        let body = self.body.clone();
        self.queue.bury(&self.service, id, body, reason).await?;
        metrics::counter!("daybook_commands_parked_total").increment(1);
        tracing::error!(
            service = %self.service,
            command.id = %self.id,
            reason,
            "a command cannot be run and became a dead letter; see docs/operations.md, 'A command became a dead letter'"
        );
        self.ack().await
    }

    async fn tell(&self, what: AckKind) -> Result<(), SendError> {
        let told = self.message.ack_with(what).await;
        told.map_err(|error| SendError::Unavailable(error.to_string()))
    }
}
