//! The sagas of a log: the running ones with their subjects, and the results of the others. Memory grows with the
//! running sagas.

use std::collections::HashMap;

use domain::saga::event::Ended;
use domain::saga::{self, Decision};
use event_store::record::{Record, StreamId};
use uuid::Uuid;

use super::Counts;

/// Sagas: those on their way by name, those that ended as counts.
#[derive(Default)]
pub(super) struct Sagas {
    open: HashMap<StreamId, Open>,
    /// How many sagas that move goods or money are running, by correlation.
    pub(super) about: HashMap<Uuid, u64>,
    ended: Counts,
}

struct Open {
    /// What it moves goods or money for, if it does.
    about: Option<Uuid>,
    parked: bool,
}

impl Sagas {
    pub(super) fn see(&mut self, record: &Record, decision: &Decision) {
        if let Some(started) = decision.started() {
            let about = saga::moves(&started.kind).then_some(started.correlation);
            let open = Open { about, parked: false };
            if self.open.insert(record.stream.clone(), open).is_none()
                && let Some(about) = about
            {
                *self.about.entry(about).or_default() += 1;
            }
        }
        if let (Some(parked), Some(open)) = (decision.parks(), self.open.get_mut(&record.stream)) {
            open.parked = parked;
        }
        if let Some(ended) = decision.ended() {
            self.end(record, ended);
        }
    }

    fn end(&mut self, record: &Record, ended: &Ended) {
        if let Some(about) = self.open.remove(&record.stream).and_then(|open| open.about)
            && let Some(count) = self.about.get_mut(&about)
        {
            *count -= 1;
            if *count == 0 {
                self.about.remove(&about);
            }
        }
        let kind = record.stream.id.split('-').next().unwrap_or_default();
        let how = if ended.undone { format!("undone ({})", ended.outcome) } else { "done".to_owned() };
        *self.ended.entry(format!("{kind} {how}")).or_default() += 1;
    }

    pub(super) fn counts(self) -> Counts {
        let mut counts = self.ended;
        for open in self.open.values() {
            let how = if open.parked { "parked" } else { "running" };
            *counts.entry(how.to_owned()).or_default() += 1;
        }
        counts
    }
}
