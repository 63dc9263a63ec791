//! A model as a worker projects it: its rows, the worker's checkpoint, and its end position.

use std::sync::Arc;

use event_store::partition;
use event_store::record::{Position, Record};

use crate::board::Stop;
use crate::held::{self, Held};
use crate::projection::Projection;
use crate::store::{Checkpoint, Error, ReadStore, Slot, Statement};
use crate::value::Spread;

/// Where the partitions of a model end, or the whole of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cut(Arc<[Position]>);

impl Cut {
    /// One position for each partition, or one for all.
    pub(crate) fn new(ends: impl IntoIterator<Item = Position>) -> Self {
        Self(ends.into_iter().collect())
    }

    /// Whether one worker can project to both ends: it stops at whole positions, or at one cut for all.
    pub(crate) fn go_together(one: Option<&Self>, other: Option<&Self>) -> bool {
        let straight = |cut: Option<&Self>| cut.is_none_or(Self::is_straight);
        one == other || (straight(one) && straight(other))
    }

    /// Where the last of them ends.
    fn last(&self) -> Position {
        self.0.iter().copied().max().unwrap_or(0)
    }

    /// Whether they all end there.
    pub(crate) fn is_straight(&self) -> bool {
        self.0.iter().all(|end| Some(end) == self.0.first())
    }

    /// Whether a record comes before its partition's end.
    pub(crate) fn admits(&self, record: &Record) -> bool {
        let end = self.0.get(partition::of_stream(&record.stream) as usize);
        end.is_none_or(|end| record.position <= *end)
    }
}

/// A model that the worker projects.
pub(crate) struct Member {
    pub(crate) model: Arc<dyn Projection>,
    pub(crate) position: Position,
    pub(crate) epoch: u64,
    pub(crate) partition: u32,
    /// Its end, if it ends before the log.
    pub(crate) until: Option<Cut>,
    pub(crate) stopped: Option<Stop>,
    /// The streams that its rows hold.
    pub(crate) held: held::All,
    /// Whether its metrics name the partition.
    labelled: bool,
}

impl Member {
    pub(crate) fn new(model: Arc<dyn Projection>, checkpoint: &Checkpoint, until: Option<Cut>) -> Self {
        Self {
            model,
            position: checkpoint.position,
            epoch: checkpoint.epoch,
            partition: checkpoint.partition,
            until,
            stopped: None,
            held: held::All::new(),
            labelled: false,
        }
    }

    /// The same, one partition of several.
    pub(crate) fn of_several(mut self) -> Self {
        self.labelled = true;
        self
    }

    /// The same, with the held streams of its partition from the database.
    pub(crate) async fn holding(mut self, rows: &dyn ReadStore, slot: Slot) -> Result<Self, Error> {
        self.recall(rows, slot).await?;
        Ok(self)
    }

    /// Looks again what its rows hold.
    pub(crate) async fn recall(&mut self, rows: &dyn ReadStore, slot: Slot) -> Result<(), Error> {
        let all = held_of(rows, self.model.spec().name, slot).await?;
        let own =
            |held: &Held| !self.labelled || self.is_single() || partition::of_stream(&held.stream) == self.partition;
        self.held = all.into_iter().filter(own).map(|held| (held.stream.clone(), held)).collect();
        self.tell_held();
        Ok(())
    }

    /// Whether one worker projects all of it.
    fn is_single(&self) -> bool {
        self.model.spec().spread == Spread::Single
    }

    /// Measures how many streams it holds.
    pub(crate) fn tell_held(&self) {
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        metrics::gauge!("daybook_projection_held_streams", self.labels()).set(self.held.len() as f64);
    }

    pub(crate) fn labels(&self) -> Vec<metrics::Label> {
        let name = metrics::Label::new("projection", self.model.spec().name);
        let partition = || metrics::Label::new("partition", self.partition.to_string());
        std::iter::once(name).chain(self.labelled.then(partition)).collect()
    }

    pub(crate) fn end(&self) -> Position {
        self.until.as_ref().map_or(Position::MAX, Cut::last)
    }

    pub(crate) fn wants_more(&self) -> bool {
        self.stopped.is_none() && self.position < self.end()
    }
}

/// The streams that a model's rows hold.
pub(crate) async fn held_of(rows: &dyn ReadStore, name: &str, slot: Slot) -> Result<Vec<Held>, Error> {
    let statement = Statement::new(held::OF_MODEL, vec![name.into(), slot.name().into()]);
    let found = rows.read(vec![statement]).await?;
    found.into_iter().flatten().map(|row| Held::of_row(&row)).collect()
}
