//! A model as a worker posts to it: where its rows are, which checkpoint it holds, and where it shall end.

use std::sync::Arc;

use event_store::partition;
use event_store::record::{Position, Record};

use crate::board::Stop;
use crate::projection::Projection;
use crate::store::Checkpoint;

/// Where the partitions of a model end, or the whole of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cut(Arc<[Position]>);

impl Cut {
    /// One position for each partition, or one for all.
    pub(crate) fn new(ends: impl IntoIterator<Item = Position>) -> Self {
        Self(ends.into_iter().collect())
    }

    /// Whether two ends can be posted by one worker: it stops at whole positions, or at one cut for all.
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

/// A model that the worker posts to.
pub(crate) struct Member {
    pub(crate) model: Arc<dyn Projection>,
    pub(crate) position: Position,
    pub(crate) epoch: u64,
    pub(crate) partition: u32,
    /// Where it shall end, if not with the log.
    pub(crate) until: Option<Cut>,
    pub(crate) stopped: Option<Stop>,
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
            labelled: false,
        }
    }

    /// The same, one partition of several.
    pub(crate) fn of_several(mut self) -> Self {
        self.labelled = true;
        self
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
