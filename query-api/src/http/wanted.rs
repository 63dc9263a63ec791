//! A position that an answer must show. The request waits for it within bounds, and does not count as running
//! meanwhile; it never waits for a position far beyond the log's end.

use std::sync::Arc;

use event_store::Filter;
use event_store::record::Position;
use schemas::http::place::Place;

use super::Api;
use super::problem::Failure;

/// How far beyond the log's end a position may be: as much as other processes may write while one request is on its
/// way.
const AHEAD: Position = 1_000;

/// A position that an answer has to show.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) position: Position,
    pub(super) place: Option<Arc<Place>>,
}

impl Wanted {
    /// Waits until the position is reached; `reaching` completes then, and is bounded.
    pub(super) async fn wait(
        &self,
        api: &Api,
        reaching: impl Future<Output = Result<Position, projections::Error>>,
    ) -> Result<(), Failure> {
        let mut reaching = std::pin::pin!(reaching);
        // A position that is shown already is answered, however many requests wait.
        tokio::select! {
            biased;
            reached = &mut reaching => return reached.map(drop).map_err(Failure::from),
            () = std::future::ready(()) => {}
        }
        self.near(api).await?;
        let _waiting = match self.place.as_ref().map(Place::wait) {
            Some(None) => return Err(Failure::crowded()),
            waiting => waiting,
        };
        reaching.await?;
        Ok(())
    }

    /// Refuses a position that the log is nowhere near. Where others write, this process may know of an earlier end: the store is asked.
    async fn near(&self, api: &Api) -> Result<(), Failure> {
        let known = api.log.head().borrow().position;
        if self.position <= known.saturating_add(AHEAD) {
            return Ok(());
        }
        let head = api.log.read_log(known, &Filter::default(), 1).await?.head;
        if self.position <= head.saturating_add(AHEAD) {
            return Ok(());
        }
        Err(Failure::at(
            "future-position",
            "min_position",
            format!(
                "the log ends at position {head}, and {} is far beyond it: use a position from an earlier answer",
                self.position
            ),
        ))
    }
}
