//! The write side's HTTP: one list of all routes, and their shared parts. It decides nothing: a request becomes a
//! command, and its outcome an answer.

mod answer;
mod arrival;
mod body;
mod commands;
mod describe;
mod extract;
mod headers;
mod imports;
mod orders;
mod payments;
pub mod problem;
mod records;
mod refunds;
mod reservations;
mod returns;
mod shipments;
mod stock;
mod tenders;
mod test_clock;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::http::StatusCode;
use domain::Class;
use domain::ids::OrderId;
use domain::order::{self, Order};
use domain::stream::{self, StreamName};
use domain::time::Timestamp;
use event_store::clock::TestClock;
use schemas::http::Defaults;
use schemas::http::order::OrderBody;
use serde::Serialize;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

pub use answer::{POSITION, PREFERENCE_APPLIED, REPLAYED};
pub use arrival::Bodies;
pub use body::{LARGEST, LARGEST_ORDER};
pub use extract::Caller;
pub use headers::{IDEMPOTENCY_KEY, LONGEST_WAIT_S};
pub use imports::LARGEST_IMPORT;
pub use problem::Failure;

use answer::{Answer, Place, events_since};
use arrival::Uploads;
use extract::{How, TooManyWait};

use crate::claims::{self, Known};
use crate::execute::{Done, Error, Executor, Plan, Request};
use crate::import::service::Service;
use crate::verdict::{self, Awaited, Verdicts};

/// The configuration of the routes.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What bodies leave out.
    pub defaults: Defaults,
    /// How long the upload of bodies may take.
    pub bodies: Bodies,
}

/// What the routes share. Clones share everything.
#[derive(Clone)]
pub struct Api(Arc<Inner>);

struct Inner {
    executor: Executor,
    verdicts: Verdicts,
    settings: Settings,
    imports: Option<Service>,
    test_clock: Option<Arc<dyn TestClock>>,
    uploads: Uploads,
}

impl Inner {
    /// Another set of the same parts; uploads are counted separately.
    fn copied(&self) -> Self {
        let Self { executor, verdicts, settings, imports, test_clock, uploads: _ } = self;
        Self {
            executor: executor.clone(),
            verdicts: verdicts.clone(),
            settings: settings.clone(),
            imports: imports.clone(),
            test_clock: test_clock.clone(),
            uploads: Uploads::default(),
        }
    }
}

/// All routes of the write side, with their description. A layer in front puts a [`Caller`] into each request, and where requests are
/// counted, an `Arc` of its [`Place`](schemas::http::place::Place): a request that waits gives it back meanwhile.
pub fn router(api: Api) -> OpenApiRouter {
    OpenApiRouter::with_openapi(describe::Bodies::openapi())
        .routes(routes!(orders::place))
        .routes(routes!(orders::edit_lines))
        .routes(routes!(orders::cancel))
        .routes(routes!(orders::place_hold))
        .routes(routes!(orders::release_hold))
        .routes(routes!(orders::change_address))
        .routes(routes!(orders::add_note))
        .routes(routes!(orders::set_tags))
        .routes(routes!(refunds::grant))
        .routes(routes!(refunds::retry))
        .routes(routes!(refunds::confirm_paid))
        .routes(routes!(refunds::withdraw))
        .routes(routes!(tenders::add))
        .routes(routes!(shipments::request))
        .routes(routes!(shipments::update_tracking))
        .routes(routes!(shipments::confirm_delivery))
        .routes(routes!(shipments::report_loss))
        .routes(routes!(shipments::decide_loss))
        .routes(routes!(shipments::report_found))
        .routes(routes!(shipments::withdraw))
        .routes(routes!(returns::request))
        .routes(routes!(returns::receive))
        .routes(routes!(returns::decline))
        .routes(routes!(payments::capture))
        .routes(routes!(payments::void))
        .routes(routes!(payments::resolve))
        .routes(routes!(stock::register))
        .routes(routes!(stock::receive))
        .routes(routes!(stock::adjust))
        .routes(routes!(stock::count))
        .routes(routes!(stock::defer))
        .routes(routes!(reservations::open))
        .routes(routes!(reservations::extend, reservations::release))
        .routes(routes!(records::set_aside))
        .routes(routes!(imports::start))
        .routes(routes!(imports::show))
        .routes(routes!(imports::errors))
        .routes(routes!(commands::outcome))
        .routes(routes!(test_clock::time, test_clock::advance))
        .with_state(api)
        .layer(CatchPanicLayer::custom(problem::panicked))
}

/// How an order command is answered.
struct Told {
    /// The status at once, or while what it started is under way.
    status: StatusCode,
    /// The status once what it started is over.
    over: StatusCode,
    /// Whether to say where the order is.
    located: bool,
    /// What it starts.
    awaited: Option<Awaited>,
    /// When it happened in the business's own time.
    occurred_at: Option<Timestamp>,
    /// Whether a rejected order is answered with a problem, once that is known.
    rejection_is_problem: bool,
}

impl Told {
    /// At once.
    fn at_once(status: StatusCode) -> Self {
        Self {
            status,
            over: status,
            located: status == StatusCode::CREATED,
            awaited: None,
            occurred_at: None,
            rejection_is_problem: false,
        }
    }

    /// With what it starts.
    fn starting(awaited: Awaited) -> Self {
        Self {
            status: StatusCode::ACCEPTED,
            over: StatusCode::OK,
            located: true,
            awaited: Some(awaited),
            ..Self::at_once(StatusCode::ACCEPTED)
        }
    }
}

impl Api {
    /// Puts the parts together. It takes no imports in.
    #[must_use]
    pub fn new(executor: Executor, verdicts: Verdicts, settings: Settings) -> Self {
        Self(Arc::new(Inner {
            executor,
            verdicts,
            settings,
            imports: None,
            test_clock: None,
            uploads: Uploads::default(),
        }))
    }

    /// The same, and imports are taken in by `service`.
    #[must_use]
    pub fn with_imports(&self, service: Service) -> Self {
        Self(Arc::new(Inner { imports: Some(service), ..self.0.copied() }))
    }

    /// The same, and the clock of the store can be advanced, if that was made for a test.
    #[must_use]
    pub fn with_test_clock(&self, clock: Arc<dyn TestClock>) -> Self {
        Self(Arc::new(Inner { test_clock: Some(clock), ..self.0.copied() }))
    }

    fn imports(&self) -> Option<&Service> {
        self.0.imports.as_ref()
    }

    fn uploads(&self) -> &Uploads {
        &self.0.uploads
    }

    fn settings(&self) -> &Settings {
        &self.0.settings
    }

    fn executor(&self) -> &Executor {
        &self.0.executor
    }

    /// Now, by the store's clock.
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.executor().store().now())
    }

    /// Whether the command was answered before.
    async fn answered(&self, how: &How) -> Result<bool, Failure> {
        let found = self.executor().outcome(&how.caller.tenant, how.command_id).await;
        Ok(found.map_err(|error| Failure::unanswered(&error, how.request_id.as_deref()))?.is_some())
    }

    /// Runs a command that is mainly about one stream. A refusal is a failure here.
    async fn run(&self, how: &How, about: &StreamName, correlation: Uuid, plan: Plan) -> Result<Done, Failure> {
        self.execute(how, about, how.envelope(about, correlation), plan).await
    }

    async fn execute(&self, how: &How, about: &StreamName, envelope: Request, plan: Plan) -> Result<Done, Failure> {
        let answer = self.executor().execute(envelope, plan).await;
        self.done(how, about, answer).await
    }

    /// The result of a command. A refusal is a failure here.
    async fn done(&self, how: &How, about: &StreamName, answer: Result<Done, Error>) -> Result<Done, Failure> {
        let done = answer.map_err(|error| Failure::unanswered(&error, how.request_id.as_deref()))?;
        match done.refused() {
            None => Ok(done),
            Some(refused) if refused.class == Class::Stale => Err(self.stale(how, about, &done).await?),
            Some(refused) => Err(Failure::refused(refused, &done)),
        }
    }

    /// The answer to a stale `If-Match`: with the newer events, so that the caller can merge without another read.
    async fn stale(&self, how: &How, about: &StreamName, done: &Done) -> Result<Failure, Failure> {
        let Some(refused) = done.refused() else {
            return Err(Failure::internal(how.request_id.as_deref(), &"not refused"));
        };
        let number = |name: &str| refused.details.get(name).and_then(serde_json::Value::as_u64);
        let (expected, actual) = (number("expected").unwrap_or(0), number("actual").unwrap_or(0));
        let store = &**self.executor().store();
        let (events, more) = events_since(store, &how.caller.tenant, about, expected, actual)
            .await
            .map_err(|error| Failure::unanswered(&error, how.request_id.as_deref()))?;
        Ok(Failure::refused(refused, done).with("events_since", events).with("more_events", more))
    }

    /// An answer with a body, or the internal failure of a body that has no JSON form.
    fn answer(&self, how: &How, status: StatusCode, body: &impl Serialize, place: Place) -> Result<Answer, Failure> {
        Answer::new(status, body, place).map_err(|error| Failure::internal(how.request_id.as_deref(), &error))
    }

    fn dry_run(&self, how: &How, done: &Done) -> Result<Answer, Failure> {
        Answer::dry_run(done).map_err(|error| Failure::internal(how.request_id.as_deref(), &error))
    }

    /// Runs a command to an order and answers with the order, after waiting for its outcome if the caller prefers that.
    async fn order(
        &self,
        how: &How,
        order_id: OrderId,
        command: order::Command,
        told: Told,
    ) -> Result<Answer, Failure> {
        let about = stream::order(order_id);
        let mut envelope = how.envelope(&about, order_id.0);
        envelope.metadata.occurred_at = told.occurred_at;
        let (executor, tenant) = (self.executor(), &how.caller.tenant);
        let plan = |again| claims::order(Known { executor, tenant, again }, order_id, &command);
        let answer = executor.execute_planned(envelope, plan).await;
        let done = self.done(how, &about, answer).await?;
        if how.dry_run {
            return self.dry_run(how, &done);
        }
        self.order_answer(how, &about, &done, told).await
    }

    async fn order_answer(&self, how: &How, about: &StreamName, done: &Done, told: Told) -> Result<Answer, Failure> {
        let request_id = how.request_id.as_deref();
        let Some((name, version, order)) = done.about::<Order>(about) else {
            return Err(Failure::internal(request_id, &"the answer lacks its order"));
        };
        let mut place = Place::of(done, name);
        let mut shown = verdict::Verdict { order, version, position: done.position };
        let mut over = told.awaited.is_none_or(|awaited| awaited.is_over(&shown.order));
        let mut waited = how.wait;
        if let (false, Some(awaited), Some(patience)) = (over, told.awaited, how.wait()) {
            match how.rest() {
                Ok(_waiting) => {
                    let waiting = self.0.verdicts.wait(&how.caller.tenant, name, shown.clone(), awaited, patience);
                    let fallen = waiting.await.map_err(|error| Failure::unanswered(&error, request_id))?;
                    over = fallen.is_some();
                    shown = fallen.unwrap_or(shown);
                }
                // The answer is immediate, as if the client had not preferred to wait.
                Err(TooManyWait) => waited = None,
            }
        }
        if told.awaited.is_some() {
            place.waited = waited;
        }
        place.version = Some(shown.version);
        place.position = Some(shown.position);
        let Order::Placed(order) = &*shown.order else {
            return Err(Failure::internal(request_id, &"the answer lacks its order"));
        };
        if told.located {
            place.location = Some(format!("/v1/orders/{}", order.order_id));
        }
        if told.rejection_is_problem
            && how.wait.is_some()
            && let Some(rejection) = &order.rejection
        {
            return Err(orders::rejected(order, rejection).at_place(place));
        }
        let status = if over { told.over } else { told.status };
        self.answer(how, status, &OrderBody::new(order, shown.version), place)
    }
}
