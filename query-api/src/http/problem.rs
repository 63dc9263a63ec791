//! Failures as HTTP problems. The details of an inner failure are logged and never sent.

use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use projections::order_list::{BadCursor, BadFilter, PageError};
use schemas::http::check::Fault;
use schemas::http::problem::{self, Problem};
use streams::Unreadable;

use crate::history;

/// `Retry-After` for problems that an operator has to fix first, in seconds.
const UNREADABLE_AGAIN_S: u64 = 30;

/// An answer that is a problem.
#[derive(Clone, Debug)]
pub struct Failure {
    problem: Box<Problem>,
    retry_after_s: Option<u64>,
}

impl Failure {
    /// A problem of the list.
    #[must_use]
    pub fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self { problem: Box::new(Problem::of(code, detail)), retry_after_s: None }
    }

    /// A problem with one parameter.
    #[must_use]
    pub fn at(code: &'static str, parameter: &str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let fault = Fault { pointer: parameter.chars().take(80).collect(), detail: detail.clone() };
        let mut failure = Self::new(code, detail);
        failure.problem.errors = vec![fault];
        failure
    }

    /// The resource does not exist, or belongs to another tenant: the answer does not reveal which.
    #[must_use]
    pub fn absent(what: &str) -> Self {
        Self::new("not-found", format!("there is no such {what}"))
    }

    /// A bug, or a broken store.
    #[must_use]
    pub fn internal(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(
            %error,
            "a query failed inside Daybook and was answered 500; see docs/operations.md, 'A request is answered 500'"
        );
        Self::new("internal", "the server's log has the details")
    }

    /// A store that cannot be read now, and may be later.
    #[must_use]
    pub fn unavailable(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(
            %error,
            "the store or the read models cannot be read now, and a query was answered 503; check the disk or the \
             database"
        );
        Self { retry_after_s: Some(10), ..Self::new("unavailable", "ask again; the server's log has the details") }
    }

    /// A record that the answer depends on is damaged.
    fn log_damaged(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(
            %error,
            "a query met a damaged record; restore a backup, see docs/operations.md, 'The log is damaged'"
        );
        let detail = "a record that the answer depends on is damaged: an operator has to restore the log";
        Self { retry_after_s: Some(UNREADABLE_AGAIN_S), ..Self::new("log-damaged", detail) }
    }

    /// Too many requests wait already.
    #[must_use]
    pub fn crowded() -> Self {
        Self::new("overloaded", "too many requests wait for a position: ask again, or without min_position").soon()
    }

    /// A record that the answer would rest on cannot be read; an operator can set it aside.
    #[must_use]
    pub fn unreadable(unreadable: &Unreadable) -> Self {
        let Unreadable { stream, position, version, .. } = unreadable;
        let problem = Problem::unreadable(&unreadable.to_string(), *position, &stream.to_string(), *version);
        Self { problem: Box::new(problem), retry_after_s: Some(UNREADABLE_AGAIN_S) }
    }

    fn soon(mut self) -> Self {
        self.retry_after_s = Some(1);
        self
    }
}

impl From<projections::Error> for Failure {
    fn from(error: projections::Error) -> Self {
        use projections::Error as E;
        match &error {
            E::Stale { .. } => Self::new("not-caught-up", error.to_string()).soon(),
            E::Held { held, .. } => {
                let said = error.to_string();
                let problem = Problem::held(&said, held.position, &held.stream.to_string(), held.version);
                Self { problem: Box::new(problem), retry_after_s: Some(UNREADABLE_AGAIN_S) }
            }
            E::Building(_) => Self::new("projection-building", error.to_string()).soon(),
            E::Unknown(_) => Self::new("not-found", error.to_string()),
            E::AlreadyRebuilding(_) => Self::new("rebuild-in-progress", error.to_string()),
            E::Closed => Self::new("unavailable", "the server is shutting down").soon(),
            E::Log(event_store::Error::Damaged { .. }) => Self::log_damaged(&error),
            E::Read(_) | E::Write(_) | E::Damaged(_) | E::Lost(_) | E::Log(_) => Self::unavailable(&error),
        }
    }
}

impl From<event_store::Error> for Failure {
    fn from(error: event_store::Error) -> Self {
        projections::Error::from(error).into()
    }
}

impl From<BadFilter> for Failure {
    fn from(bad: BadFilter) -> Self {
        Self::at("bad-filter", &bad.parameter, bad.to_string())
    }
}

impl From<PageError> for Failure {
    fn from(error: PageError) -> Self {
        match error {
            PageError::Filter(bad) => bad.into(),
            PageError::Cursor(bad @ BadCursor::Foreign) => Self::at("bad-filter", "cursor", bad.to_string()),
            PageError::Cursor(bad @ BadCursor::Expired) => Self::at("cursor-expired", "cursor", bad.to_string()),
            PageError::Store(error) => error.into(),
        }
    }
}

impl From<history::Error> for Failure {
    fn from(error: history::Error) -> Self {
        match error {
            history::Error::Future { .. } => Self::new("future-instant", error.to_string()),
            history::Error::NoSuchVersion { .. } => Self::new("not-found", error.to_string()),
            history::Error::Store(error) => error.into(),
            history::Error::Unreadable(unreadable) => Self::unreadable(&unreadable),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&*self.problem).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(problem::CONTENT_TYPE));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// The problems that most reads may answer, for the OpenAPI document.
macro_rules! documented {
    ($($name:ident: $status:literal, $codes:literal;)+) => {$(
        #[derive(utoipa::IntoResponses)]
        #[response(status = $status, description = $codes, content_type = "application/problem+json")]
        #[expect(dead_code, reason = "describes what handlers answer")]
        pub(super) struct $name(Problem);
    )+};
}

documented! {
    Malformed: 400, "`malformed-query`, `malformed-path`, `future-position`";
    Absent: 404, "`not-found`";
    Late: 503, "`not-caught-up`, `projection-building`, `stream-held`, `unreadable-record`, `overloaded`, `log-damaged`, `unavailable`";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_of_the_log_has_a_code_of_its_own() {
        let damaged = event_store::Error::Damaged { position: 7, what: "there is no record".into() };
        let failure = Failure::from(damaged.clone());
        assert_eq!((failure.problem.status, &*failure.problem.code), (503, "log-damaged"));
        assert!(!failure.problem.detail.contains("position"), "what went wrong inside is logged and not told");
        let unreadable = Failure::from(history::Error::Store(damaged));
        assert_eq!(&*unreadable.problem.code, "log-damaged");
    }
}
