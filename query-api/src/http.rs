//! The read side's HTTP: one list of all routes, and their shared parts. Every answer has the position that it shows;
//! no answer contains the text of an inner error.

mod answer;
mod caller;
mod events;
mod orders;
mod params;
mod payments;
pub mod problem;
mod projections;
mod records;
mod reservations;
mod stock;
#[cfg(test)]
mod tests;
mod timeline;
mod wanted;

use std::sync::Arc;
use std::time::Duration;

use ::projections::{Held, Projections, Reads};
use domain::stream::StreamName;
use event_store::EventStore;
use event_store::record::StreamId;
use schemas::http::check::Fault;
use schemas::http::event::EventBody;
use schemas::http::order::OrderBody;
use schemas::http::payment::PaymentBody;
use schemas::http::problem::Problem;
use schemas::http::record::RecordBody;
use schemas::http::reservation::ReservationBody;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use answer::{CountBody, Listing, POSITION, STALE};
pub use caller::Caller;
pub use events::EventsBody;
pub use orders::{DiffBody, MomentBody, OrderSummaryBody};
pub use problem::Failure;
pub use projections::{ProjectionBody, ProjectionsBody, RebuildBody};
pub use stock::body::{MovementBody, ShortBody, SkuBody, StockLevelBody};
pub use timeline::TimelineEntryBody;

use wanted::Wanted;

/// How long to wait for a model that does not show the requested subject (yet).
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What the routes share. Clones share everything.
#[derive(Clone)]
pub struct Api {
    log: Arc<dyn EventStore>,
    projections: Arc<Projections>,
    longest_wait: Duration,
}

impl Api {
    /// Queries on these read models and this log; a query that asks for a position waits at most so long for it.
    pub fn new(log: Arc<dyn EventStore>, projections: Arc<Projections>, longest_wait: Duration) -> Self {
        Self { log, projections, longest_wait }
    }

    fn reads(&self) -> Reads {
        self.projections.reads()
    }

    /// Waits until a read model shows the position that was asked for, if one was.
    async fn reach(&self, model: &str, wanted: Option<Wanted>) -> Result<(), Failure> {
        let Some(wanted) = wanted else {
            return Ok(());
        };
        let reads = self.reads();
        wanted.wait(self, reads.wait_for(model, wanted.position, self.longest_wait)).await
    }

    /// Waits until a read model shows a tenant's stream at the requested position, if there is one.
    async fn reach_stream(
        &self,
        model: &str,
        tenant: &str,
        name: StreamName,
        wanted: Option<Wanted>,
    ) -> Result<(), Failure> {
        let Some(wanted) = wanted else {
            return Ok(());
        };
        let (reads, stream) = (self.reads(), StreamId::new(tenant, name.category, name.id));
        wanted.wait(self, reads.wait_for_stream(model, &stream, wanted.position, self.longest_wait)).await
    }

    /// A subject that a read model does not show may be in the log already. Returns once another read makes sense: the
    /// model shows everything that the log had at the call. For a stream without records there is nothing to wait for.
    async fn surely(&self, model: &str, tenant: &str, name: Option<StreamName>, what: &str) -> Result<(), Failure> {
        let head = self.log.head().borrow().position;
        let patience = self.longest_wait.min(LOOK_AGAIN);
        let Some(name) = name else {
            self.reads().wait_for(model, head, patience).await?;
            return Ok(());
        };
        let stream = StreamId::new(tenant, name.category, name.id);
        match self.log.stream_head(&stream).await? {
            None => Err(Failure::absent(what)),
            Some(_) => {
                self.reads().wait_for_stream(model, &stream, head, patience).await?;
                Ok(())
            }
        }
    }

    /// A stream that the read model holds and that may be part of the answer.
    async fn held_among(
        &self,
        model: &'static str,
        tenant: &str,
        concerned: impl Fn(&Held) -> bool,
    ) -> Result<Option<Failure>, Failure> {
        let held = self.reads().held(model).await?;
        let found = held.into_iter().find(|held| *held.stream.tenant == *tenant && concerned(held));
        Ok(found.map(|held| ::projections::Error::Held { name: model, held: Box::new(held) }.into()))
    }

    /// Waits until the log has the position that was asked for, if one was.
    async fn reach_log(&self, wanted: Option<Wanted>) -> Result<(), Failure> {
        let Some(wanted) = wanted else {
            return Ok(());
        };
        let position = wanted.position;
        let mut head = self.log.head();
        let reached = async {
            let reached = head.wait_for(|head| head.position >= position);
            match tokio::time::timeout(self.longest_wait, reached).await {
                Ok(Ok(head)) => Ok(head.position),
                _ => Err(::projections::Error::Stale { wanted: position, at: self.log.head().borrow().position }),
            }
        };
        wanted.wait(self, reached).await
    }
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").field("projections", &self.projections).finish_non_exhaustive()
    }
}

/// Bodies that the answers refer to.
#[derive(OpenApi)]
#[openapi(components(schemas(OrderBody, PaymentBody, ReservationBody, EventBody, RecordBody, Problem, Fault)))]
struct Bodies;

/// All routes of the read side, with their description. A layer in front puts a [`Caller`] into each request, and where requests are
/// counted, an `Arc` of its [`Place`](schemas::http::place::Place): a request that waits gives it back meanwhile.
pub fn router(api: Api) -> OpenApiRouter {
    let mut router = OpenApiRouter::with_openapi(Bodies::openapi())
        .routes(routes!(orders::list))
        .routes(routes!(orders::one))
        .routes(routes!(orders::diff))
        .routes(routes!(timeline::stream))
        .routes(routes!(timeline::timeline))
        .routes(routes!(payments::one))
        .routes(routes!(stock::list))
        .routes(routes!(stock::one))
        .routes(routes!(stock::ledger))
        .routes(routes!(reservations::one))
        .routes(routes!(records::list))
        .routes(routes!(projections::list))
        .routes(routes!(projections::rebuild))
        .routes(routes!(events::page))
        .with_state(api);
    // One table of offers checks requests and describes the route.
    let list = router.get_openapi_mut().paths.paths.get_mut("/v1/orders").and_then(|path| path.get.as_mut());
    if let Some(list) = list {
        let offered = ::projections::order_list::offered();
        list.description = Some(format!(
            "What an index serves; anything else is `bad-filter`, which names what is allowed. One filter at a \
             time:\n\n{offered}"
        ));
    }
    router
}
