//! The clock of a store that was made for a test: reading and advancing it. Other stores answer 404.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body as Content;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use domain::time::Timestamp;
use event_store::clock::TestClock;
use schemas::http::place::Place as Turn;
use schemas::http::test_clock::{AdvanceClock, TestClockBody};
use utoipa::IntoResponses;
use utoipa::openapi::{RefOr, Response};

use super::Api;
use super::answer::{Answer, Place};
use super::body::{self, Body};
use super::extract::request_id;
use super::problem::Failure;
use super::{arrival, describe};
use crate::execute::Error;

struct ClockAnswers;

impl IntoResponses for ClockAnswers {
    fn responses() -> std::collections::BTreeMap<String, RefOr<Response>> {
        describe::question("TestClockBody")
    }
}

struct AdvanceAnswers;

impl IntoResponses for AdvanceAnswers {
    fn responses() -> std::collections::BTreeMap<String, RefOr<Response>> {
        describe::change("TestClockBody")
    }
}

/// The store's time. 404: the store was not made with a test clock.
#[utoipa::path(get, path = "/v1/test-clock", tag = "test", responses(ClockAnswers))]
pub(super) async fn time(State(api): State<Api>, headers: HeaderMap) -> Result<Answer, Failure> {
    let clock = api.test_clock()?;
    api.told(clock.ahead(), request_id(&headers))
}

/// Advance the store's clock. Work that is then due happens within about a second. 404: the store was not made with a
/// test clock.
#[utoipa::path(post, path = "/v1/test-clock", tag = "test", request_body = AdvanceClock, responses(AdvanceAnswers))]
pub(super) async fn advance(
    State(api): State<Api>,
    headers: HeaderMap,
    turn: Option<Extension<Arc<Turn>>>,
    content: Content,
) -> Result<Answer, Failure> {
    let clock = api.test_clock()?;
    let request_id = request_id(&headers);
    let arriving = arrival::whole(content, AdvanceClock::LARGEST, api.settings().bodies.patience);
    let raw = arrival::without_place(turn.as_deref(), arriving).await?;
    let by = body::parse::<AdvanceClock>(&headers, &raw)?.try_into_micros()?;
    let ahead = match clock.advance(by).await {
        Ok(ahead) => ahead,
        Err(event_store::Error::Never(why)) => return Err(Failure::at("malformed-body", "/advance_s", why)),
        Err(error) => return Err(Failure::unanswered(&Error::from(error), request_id)),
    };
    api.told(Some(ahead), request_id)
}

impl Api {
    /// The clock, where the store has one.
    fn test_clock(&self) -> Result<&dyn TestClock, Failure> {
        let clock = self.0.test_clock.as_deref().filter(|clock| clock.ahead().is_some());
        clock.ok_or_else(|| Failure::new("not-found", "the store was not made with a test clock: see store.test_clock"))
    }

    fn told(&self, ahead: Option<i64>, request_id: Option<&str>) -> Result<Answer, Failure> {
        let ahead_s = u64::try_from(ahead.unwrap_or(0) / 1_000_000).unwrap_or(0);
        let body = TestClockBody { now: Timestamp::from_micros(self.executor().store().now()), ahead_s };
        Answer::new(StatusCode::OK, &body, Place::default()).map_err(|error| Failure::internal(request_id, &error))
    }
}
