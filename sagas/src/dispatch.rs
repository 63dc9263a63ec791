//! Sending a command to the service that it is for. `daybook` plugs in the executor, or a queue in front of it.

use std::time::Duration;

use async_trait::async_trait;
use domain::Command;
use domain::ids::Tenant;
use schemas::Metadata;
use uuid::Uuid;

/// Why a command was not accepted for delivery. What is refused by the service itself is no error: it is recorded.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DispatchError {
    /// Not now; try again in a moment. Whether it was delivered is not known.
    #[error("the service cannot be reached: {0}")]
    Unavailable(String),
    /// Never: nobody will carry it out, and nobody has.
    #[error("the command cannot be delivered: {0}")]
    Impossible(String),
}

/// Sends commands.
#[async_trait]
pub trait Dispatch: Send + Sync + 'static {
    /// Takes a command for delivery, at least once. `Ok` does not say what came of it: that is read in the log. The same id again is
    /// the same command.
    async fn dispatch(
        &self,
        tenant: &Tenant,
        command_id: Uuid,
        command: Command,
        meta: Metadata,
    ) -> Result<(), DispatchError>;

    /// Why a command that was taken will not be carried out, if its service has put it aside within so long. What is refused is in the
    /// log, and not told here. For those who carry out at once there is nothing to tell.
    ///
    /// # Errors
    /// If it cannot be found out now.
    async fn put_aside(
        &self,
        _command: &Command,
        _command_id: Uuid,
        _within: Duration,
    ) -> Result<Option<String>, DispatchError> {
        Ok(None)
    }
}
