//! Signals: the first one asks the process to stop, the second one ends it at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What a shell expects of a process that a second signal ended.
const KILLED: i32 = 130;

/// A token that the first SIGTERM or SIGINT cancels.
#[must_use]
pub fn watch() -> CancellationToken {
    let token = CancellationToken::new();
    let stop = token.clone();
    tokio::spawn(async move {
        let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
        else {
            tracing::error!(
                "signals cannot be received; to stop the process, run `kill -9`, which loses nothing that was \
                 acknowledged"
            );
            return;
        };
        for nth in 1.. {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if nth > 1 {
                std::process::exit(KILLED);
            }
            tracing::info!("stopping; a second signal ends the process at once");
            stop.cancel();
        }
    });
    token
}
