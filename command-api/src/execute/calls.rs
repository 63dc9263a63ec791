//! Commands in progress: an equal command that arrives meanwhile waits for the answer of the first. Durable commands
//! are not known here; the store checks those.

use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use tokio::sync::watch;
use uuid::Uuid;

use super::done::Done;
use super::error::Error;

/// The answer of the first command, once there is one.
pub(super) type Answer = Option<Result<Done, Error>>;

#[derive(Clone)]
struct Call {
    fingerprint: [u8; 32],
    answer: watch::Receiver<Answer>,
}

/// All commands under way whose id another request could bear as well.
#[derive(Clone, Default)]
pub(super) struct Calls(Arc<DashMap<Uuid, Call>>);

/// Who came first.
pub(super) enum Entered {
    /// This one.
    First(Turn),
    /// Another one.
    Later {
        /// Whether it is equal.
        equal: bool,
        /// The answer.
        answer: watch::Receiver<Answer>,
    },
}

impl Calls {
    pub(super) fn enter(&self, command_id: Uuid, fingerprint: [u8; 32]) -> Entered {
        match self.0.entry(command_id) {
            Entry::Occupied(there) => {
                Entered::Later { equal: there.get().fingerprint == fingerprint, answer: there.get().answer.clone() }
            }
            Entry::Vacant(vacant) => {
                let (tell, answer) = watch::channel(None);
                vacant.insert(Call { fingerprint, answer });
                Entered::First(Turn { calls: self.clone(), command_id, tell })
            }
        }
    }
}

/// The first command's turn. It ends when it is dropped, with or without an answer.
pub(super) struct Turn {
    calls: Calls,
    command_id: Uuid,
    tell: watch::Sender<Answer>,
}

impl Turn {
    /// Gives the answer to the waiting commands.
    pub(super) fn end(self, answer: Result<Done, Error>) {
        self.tell.send_replace(Some(answer));
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.calls.0.remove(&self.command_id);
    }
}
