//! Sending a command to the service that it is for. `daybook` plugs in the executor, or a queue in front of it.

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
}
