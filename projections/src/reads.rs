//! Queries of the read models: each answer has the position that it shows. A model that is still being built does not
//! answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use event_store::partition;
use event_store::record::{Position, StreamId};
use uuid::Uuid;

use crate::board::{Board, Stop};
use crate::held::{self, Held};
use crate::member::held_of;
use crate::models;
use crate::positions::{Positions, Sum};
use crate::store::{Checkpoint, Error, ReadStore, Slot, Statement};
use crate::value::{Row, Spec};

/// An answer of a read model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<T> {
    /// The last position that it shows.
    pub position: Position,
    /// Whether the answer is getting old or may be incomplete: the model has stopped, or holds streams.
    pub stale: bool,
    /// Whether the model has stopped.
    pub stopped: bool,
    /// How many streams the model holds, since a record of theirs cannot be read or applied.
    pub held: u64,
    /// The result of the read.
    pub value: T,
}

impl<T> Answer<T> {
    /// The same answer with a value derived from this one.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Answer<U> {
        let Self { position, stale, stopped, held, value } = self;
        Answer { position, stale, stopped, held, value: make(value) }
    }

    /// The same, where making it may fail.
    ///
    /// # Errors
    /// If it does.
    pub fn try_map<U, E>(self, make: impl FnOnce(T) -> Result<U, E>) -> Result<Answer<U>, E> {
        let Self { position, stale, stopped, held, value } = self;
        Ok(Answer { position, stale, stopped, held, value: make(value)? })
    }
}

/// Asks the read models.
#[derive(Clone)]
pub struct Reads {
    rows: Arc<dyn ReadStore>,
    standing: Standing,
}

/// The source of the read models' positions.
#[derive(Clone)]
enum Standing {
    /// This process projects them.
    Board(Board),
    /// Their database does; rows of other versions and of another store are not read.
    Rows { positions: Arc<Positions>, versions: Arc<BTreeMap<&'static str, u32>>, incarnation: Option<Uuid> },
}

impl std::fmt::Debug for Reads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reads")
    }
}

const CHECKPOINTS: &str = "
SELECT partition, position, version, building_to, stopped_at, incarnation FROM checkpoint WHERE name = $1 AND slot = 'live'
ORDER BY partition";

impl Reads {
    pub(crate) fn new(rows: Arc<dyn ReadStore>, board: Board) -> Self {
        Self { rows, standing: Standing::Board(board) }
    }

    /// Asks read models that other processes post to this database, from any store.
    #[must_use]
    pub fn over(rows: Arc<dyn ReadStore>) -> Self {
        let (positions, specs) = (Positions::new(Arc::clone(&rows)), models::all());
        let specs: Vec<_> = specs.iter().map(|model| model.spec()).collect();
        Self::of(rows, positions, &specs, None)
    }

    pub(crate) fn of(
        rows: Arc<dyn ReadStore>,
        positions: Arc<Positions>,
        specs: &[&'static Spec],
        incarnation: Option<Uuid>,
    ) -> Self {
        let versions = specs.iter().map(|spec| (spec.name, spec.version));
        Self { rows, standing: Standing::Rows { positions, versions: Arc::new(versions.collect()), incarnation } }
    }

    /// Waits until a read model shows a position.
    ///
    /// # Errors
    /// If it does not within the time, or has stopped before it.
    pub async fn wait_for(&self, name: &str, position: Position, timeout: Duration) -> Result<Position, Error> {
        self.wait(name, None, position, timeout).await
    }

    /// Waits until a read model shows a stream's events up to a position; in a partitioned model it waits only for the
    /// stream's own partition.
    ///
    /// # Errors
    /// If it does not within the time, or has stopped before it.
    pub async fn wait_for_stream(
        &self,
        name: &str,
        stream: &StreamId,
        position: Position,
        timeout: Duration,
    ) -> Result<Position, Error> {
        self.wait(name, Some(stream), position, timeout).await
    }

    async fn wait(
        &self,
        name: &str,
        stream: Option<&StreamId>,
        position: Position,
        timeout: Duration,
    ) -> Result<Position, Error> {
        match &self.standing {
            Standing::Board(board) => board.wait_for(&[name], position, timeout).await,
            Standing::Rows { positions, .. } => positions.wait_for(&[name], stream, position, timeout).await,
        }
    }

    /// Answers several queries of one read model, all from the same state of its rows.
    pub(crate) async fn ask(
        &self,
        name: &'static str,
        statements: Vec<Statement>,
    ) -> Result<Answer<Vec<Vec<Row>>>, Error> {
        self.answer(name, None, statements).await
    }

    async fn answer(
        &self,
        name: &'static str,
        stream: Option<&StreamId>,
        statements: Vec<Statement>,
    ) -> Result<Answer<Vec<Vec<Row>>>, Error> {
        let unknown = || Error::Unknown(name.to_owned());
        if let Standing::Board(board) = &self.standing {
            let status = board.status(name).ok_or_else(unknown)?;
            // A model that stopped while it was being built serves its rows, and reports them as stale.
            if status.position < status.building_to && status.stopped.is_none() {
                return Err(Error::Building(name.to_owned()));
            }
        }
        let mut all =
            vec![Statement::new(CHECKPOINTS, vec![name.into()]), Statement::new(held::COUNT, vec![name.into()])];
        all.extend(statements);
        let answers = self.rows.read(all).await;
        let mut answers = match (&self.standing, answers) {
            // Tables that were never made, or by another version, are no fault of the query.
            (Standing::Rows { positions, .. }, Err(error)) => {
                let seen = positions.look().await?;
                let fits = seen.get(name).is_some_and(|found| self.fit(name, found));
                return Err(if fits { error } else { Error::Building(name.to_owned()) });
            }
            (_, answers) => answers?,
        };
        let found = checkpoints(name, &answers.remove(0))?;
        let held = answers.remove(0).first().map_or(Ok(0), |row| row.count(0))?;
        let (position, stopped) = match &self.standing {
            Standing::Board(board) => {
                let status = board.status(name).ok_or_else(unknown)?;
                let first = found.first().ok_or_else(unknown)?;
                (first.position, status.stopped.is_some())
            }
            Standing::Rows { .. } => {
                let sum = Sum::of(&found);
                if sum.building || !self.fit(name, &found) {
                    return Err(Error::Building(name.to_owned()));
                }
                let own = stream
                    .filter(|_| found.len() > 1)
                    .map(partition::of_stream)
                    .and_then(|own| found.iter().find(|one| one.partition == own));
                match own {
                    Some(own) => (own.position, own.stopped.is_some()),
                    None => (sum.position, sum.stopped.is_some()),
                }
            }
        };
        // A read of one stream reports the hold itself.
        let stale = stopped || (held > 0 && stream.is_none());
        Ok(Answer { position, stale, stopped, held, value: answers })
    }

    /// Whether a model's rows are of this version, and of this store.
    fn fit(&self, name: &str, found: &[Checkpoint]) -> bool {
        match &self.standing {
            Standing::Board(_) => true,
            Standing::Rows { versions, incarnation, .. } => {
                let version = versions.get(name).copied();
                !found.is_empty()
                    && found.iter().all(|one| {
                        version.is_none_or(|version| one.version == version)
                            && incarnation.is_none_or(|store| one.incarnation == store)
                    })
            }
        }
    }

    /// Answers one query of one read model.
    pub(crate) async fn rows(&self, name: &'static str, statement: Statement) -> Result<Answer<Vec<Row>>, Error> {
        Ok(self.ask(name, vec![statement]).await?.map(|mut answers| answers.pop().unwrap_or_default()))
    }

    /// Answers one query about a stream's rows in a read model: the position is that of the stream's own partition.
    /// Fails with [`Error::Held`] if the model holds the stream.
    pub(crate) async fn rows_of(
        &self,
        name: &'static str,
        stream: &StreamId,
        statement: Statement,
    ) -> Result<Answer<Vec<Row>>, Error> {
        let (answer, held) = self.rows_and_hold(name, stream, statement).await?;
        match held {
            None => Ok(answer),
            Some(held) => Err(Error::Held { name, held: Box::new(held) }),
        }
    }

    /// The same for the list of a stream's events: if the model holds the stream, the answer ends there and is stale.
    pub(crate) async fn rows_up_to(
        &self,
        name: &'static str,
        stream: &StreamId,
        statement: Statement,
    ) -> Result<Answer<Vec<Row>>, Error> {
        let (answer, held) = self.rows_and_hold(name, stream, statement).await?;
        Ok(Answer { stale: answer.stale || held.is_some(), ..answer })
    }

    async fn rows_and_hold(
        &self,
        name: &'static str,
        stream: &StreamId,
        statement: Statement,
    ) -> Result<(Answer<Vec<Row>>, Option<Held>), Error> {
        let StreamId { tenant, category, id } = stream;
        let own = vec![name.into(), (&**tenant).into(), (&**category).into(), (&**id).into()];
        let statements = vec![statement, Statement::new(held::ONE, own)];
        let mut answer = self.answer(name, Some(stream), statements).await?;
        let held = answer.value.pop().and_then(|rows| rows.first().map(Held::of_row)).transpose()?;
        Ok((answer.map(|mut answers| answers.pop().unwrap_or_default()), held))
    }

    /// The streams that a read model holds.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn held(&self, name: &str) -> Result<Vec<Held>, Error> {
        held_of(&*self.rows, name, Slot::Live).await
    }
}

fn checkpoints(name: &str, rows: &[Row]) -> Result<Vec<Checkpoint>, Error> {
    let read = |row: &Row| {
        let stopped =
            row.maybe_int(4)?.map(|at| Stop { position: u64::try_from(at).unwrap_or(0), reason: String::new() });
        Ok(Checkpoint {
            name: name.to_owned(),
            partition: row.units(0)?,
            version: row.units(2)?,
            position: row.count(1)?,
            hash: [0; 32],
            epoch: 0,
            owner: Uuid::nil(),
            incarnation: row.parsed(5)?,
            building_to: row.count(3)?,
            stopped,
        })
    };
    rows.iter().map(read).collect()
}
