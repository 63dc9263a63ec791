//! Asking the read models: each answer says which position it shows. Nothing is answered from a model that is still being built.

use std::sync::Arc;
use std::time::Duration;

use event_store::record::Position;

use crate::board::Board;
use crate::store::{Error, ReadStore, Statement};
use crate::value::Row;

/// An answer of a read model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<T> {
    /// The last position that it shows.
    pub position: Position,
    /// Whether the model has stopped, so that what it shows grows old.
    pub stale: bool,
    /// What was asked for.
    pub value: T,
}

impl<T> Answer<T> {
    /// The same answer about something made of the value.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Answer<U> {
        Answer {
            position: self.position,
            stale: self.stale,
            value: make(self.value),
        }
    }

    /// The same, where making it may fail.
    ///
    /// # Errors
    /// If it does.
    pub fn try_map<U, E>(self, make: impl FnOnce(T) -> Result<U, E>) -> Result<Answer<U>, E> {
        Ok(Answer {
            position: self.position,
            stale: self.stale,
            value: make(self.value)?,
        })
    }
}

/// Asks the read models.
#[derive(Clone)]
pub struct Reads {
    rows: Arc<dyn ReadStore>,
    board: Board,
}

impl std::fmt::Debug for Reads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reads")
            .field("board", &self.board)
            .finish_non_exhaustive()
    }
}

const POSITION: &str =
    "SELECT position FROM checkpoint WHERE name = $1 AND slot = 'live' AND partition = 0";

impl Reads {
    pub(crate) fn new(rows: Arc<dyn ReadStore>, board: Board) -> Self {
        Self { rows, board }
    }

    /// Waits until a read model shows a position.
    ///
    /// # Errors
    /// If it does not within the time, or has stopped before it.
    pub async fn wait_for(
        &self,
        name: &str,
        position: Position,
        timeout: Duration,
    ) -> Result<Position, Error> {
        self.board.wait_for(&[name], position, timeout).await
    }

    /// Answers queries about one read model, all on the same state of its rows.
    pub(crate) async fn ask(
        &self,
        name: &'static str,
        statements: Vec<Statement>,
    ) -> Result<Answer<Vec<Vec<Row>>>, Error> {
        let status = self
            .board
            .status(name)
            .ok_or_else(|| Error::Unknown(name.to_owned()))?;
        // One that has stopped on the way serves what it has, and says that it grows old.
        if status.position < status.building_to && status.stopped.is_none() {
            return Err(Error::Building(name.to_owned()));
        }
        let mut all = vec![Statement::new(POSITION, vec![name.into()])];
        all.extend(statements);
        let mut answers = self.rows.read(all).await?;
        let position = match answers.remove(0).first() {
            Some(row) => row.count(0)?,
            None => return Err(Error::Unknown(name.to_owned())),
        };
        Ok(Answer {
            position,
            stale: status.stopped.is_some(),
            value: answers,
        })
    }

    /// Answers one query about one read model.
    pub(crate) async fn rows(
        &self,
        name: &'static str,
        statement: Statement,
    ) -> Result<Answer<Vec<Row>>, Error> {
        Ok(self
            .ask(name, vec![statement])
            .await?
            .map(|mut answers| answers.pop().unwrap_or_default()))
    }
}
