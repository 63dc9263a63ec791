//! Sends commands to their services. `daybook` supplies the executor, or a queue in front of it.

use std::time::Duration;

use async_trait::async_trait;
use domain::Command;
use domain::ids::Tenant;
use schemas::Metadata;
use uuid::Uuid;

/// Why a command was not accepted for delivery. A refusal by the service itself is not an error: it is recorded in the
/// log.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DispatchError {
    /// Not now; try again in a moment. Whether it was delivered is not known.
    #[error("the service cannot be reached: {0}")]
    Unavailable(String),
    /// Never: the command was not carried out and never will be.
    #[error("the command cannot be delivered: {0}")]
    Impossible(String),
}

/// Sends commands.
#[async_trait]
pub trait Dispatch: Send + Sync + 'static {
    /// Accepts a command for delivery, at least once. `Ok` does not report the outcome: the log has it. The same id
    /// again is the same command.
    async fn dispatch(
        &self,
        tenant: &Tenant,
        command_id: Uuid,
        command: Command,
        meta: Metadata,
    ) -> Result<(), DispatchError>;

    /// Why an accepted command will not be carried out, if its service made it a dead letter within that time. A
    /// refusal is in the log, and not reported here. An executor that runs commands at once has nothing to report.
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
