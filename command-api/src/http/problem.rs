//! Failures as HTTP problems. The details of an inner failure are logged under the request's id and never sent.

use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use domain::Class;
use schemas::http::check::{Fault, Invalid};
use schemas::http::code;
use schemas::http::problem::{self, Problem};
use serde_json::{Map, Value};
use streams::Unreadable;

use super::answer::{Place, headers};
use crate::execute::{Done, Error, Refused};

/// `Retry-After` for problems that an operator has to fix first.
const UNREADABLE_AGAIN: Duration = Duration::from_secs(30);

/// An answer that is a problem.
#[derive(Clone, Debug)]
pub struct Failure {
    problem: Box<Problem>,
    retry_after: Option<Duration>,
    place: Place,
}

impl Failure {
    /// A problem of the list.
    #[must_use]
    pub fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self { problem: Box::new(Problem::of(code, detail)), retry_after: None, place: Place::default() }
    }

    /// A problem with one place of the request.
    #[must_use]
    pub fn at(code: &'static str, pointer: &str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let fault = Fault { pointer: pointer.to_owned(), detail: detail.clone() };
        Self::new(code, detail).with_errors(vec![fault])
    }

    /// A bug, or a broken store: the log has the error, the caller has the id that finds it there.
    #[must_use]
    pub fn internal(request_id: Option<&str>, error: &dyn std::fmt::Display) -> Self {
        tracing::error!(
            request.id = request_id,
            %error,
            "a request failed inside Daybook and was answered 500; see docs/operations.md, 'A request is answered 500'"
        );
        let mut failure = Self::new("internal", "the log has more under the request's id");
        failure.problem.request_id = request_id.map(str::to_owned);
        failure
    }

    /// A recorded refusal: the answer never changes.
    #[must_use]
    pub fn refused(refused: &Refused, done: &Done) -> Self {
        let status = match refused.class {
            Class::Absent => 404,
            Class::Conflict => 409,
            Class::Invalid => 422,
            Class::Stale => 412,
        };
        let known = code::find(&refused.code);
        let title = known.map_or("The command was refused", |code| code.title);
        let status = known.map_or(status, |code| code.status);
        Self {
            problem: Box::new(
                Problem::new(status, &refused.code, title, refused.message.clone())
                    .with_details(refused.details.clone()),
            ),
            retry_after: None,
            place: Place {
                position: (done.position > 0).then_some(done.position),
                replayed: done.replayed,
                ..Place::default()
            },
        }
    }

    /// Adds the faults, place by place.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<Fault>) -> Self {
        self.problem.errors = errors;
        self
    }

    /// With a number more.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        let details = Map::from_iter([(name.to_owned(), value.into())]);
        *self.problem = self.problem.with_details(details);
        self
    }

    /// With when to come back.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// Adds the position of the answer.
    #[must_use]
    pub(super) fn at_place(mut self, place: Place) -> Self {
        self.place = place;
        self
    }

    /// A record that the answer would rest on cannot be read; an operator can set it aside.
    #[must_use]
    pub fn unreadable(unreadable: &Unreadable) -> Self {
        let Unreadable { stream, position, version, kind, reason } = unreadable;
        tracing::warn!(
            %stream,
            position,
            version,
            %kind,
            reason,
            "a request met a record that cannot be read; see docs/operations.md, 'A record cannot be read'"
        );
        let problem = Problem::unreadable(&unreadable.to_string(), *position, &stream.to_string(), *version);
        Self { problem: Box::new(problem), retry_after: Some(UNREADABLE_AGAIN), place: Place::default() }
    }

    /// The problem of an executor error.
    #[must_use]
    pub fn unanswered(error: &Error, request_id: Option<&str>) -> Self {
        const SOON: Duration = Duration::from_secs(1);
        match error {
            Error::KeyReused => Self::new(
                "idempotency-key-reused",
                "the key was sent with another method, path, If-Match or body: make a new key",
            ),
            Error::InProgress => {
                Self::new("request-in-progress", "send the same request again in a moment: it will get the same answer")
                    .retry_after(SOON)
            }
            Error::Busy { retry_after } => {
                Self::new("overloaded", "nothing was written: send the same request again").retry_after(*retry_after)
            }
            Error::Outdated => {
                Self::new("overloaded", "nothing was written: send the same request again").retry_after(SOON)
            }
            Error::Unknown(_) | Error::Lost => {
                tracing::error!(
                    request.id = request_id,
                    %error,
                    "a request was answered without its outcome; see docs/operations.md, 'The outcome of a request is \
                     unknown'"
                );
                Self::new("outcome-unknown", "the same request with the same Idempotency-Key tells").retry_after(SOON)
            }
            Error::Closed => {
                Self::new("unavailable", "nothing was written: send the same request again").retry_after(SOON)
            }
            Error::LogDamaged(_) => {
                tracing::error!(
                    request.id = request_id,
                    %error,
                    "a command met a damaged record; restore a backup, see docs/operations.md, 'The log is damaged'"
                );
                Self::new("log-damaged", "nothing was written: an operator has to restore the log")
                    .retry_after(UNREADABLE_AGAIN)
            }
            Error::NotWritten(_) | Error::Store(_) => {
                tracing::error!(
                    request.id = request_id,
                    %error,
                    "the store cannot do now what a command needs, which is answered 503; check the disk or the \
                     database"
                );
                Self::new("unavailable", "nothing was written: send the same request again")
                    .retry_after(Duration::from_secs(10))
            }
            Error::TooLarge(why) => {
                tracing::warn!(
                    request.id = request_id,
                    why,
                    "a command leads to more than the store ever takes and was answered 413; nothing to do, its client \
                     has to ask for less"
                );
                Self::new("command-too-large", format!("{why}: ask for less at once"))
            }
            Error::Unreadable(unreadable) => Self::unreadable(unreadable),
            Error::OutcomeSetAside { position } => {
                Self::new("outcome-set-aside", error.to_string()).with("position", *position)
            }
            Error::Plan(_) | Error::NotAsked => Self::internal(request_id, error),
        }
    }
}

impl From<Invalid> for Failure {
    fn from(invalid: Invalid) -> Self {
        Self::new("malformed-body", invalid.to_string()).with_errors(invalid.faults)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&*self.problem).unwrap_or_default();
        let mut response = (status, body).into_response();
        let into = response.headers_mut();
        into.insert(CONTENT_TYPE, HeaderValue::from_static(problem::CONTENT_TYPE));
        if let Some(after) = self.retry_after {
            into.insert(RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
        }
        headers(into, &self.place);
        response
    }
}

/// The answer where no route fits.
pub async fn no_route(uri: Uri) -> Failure {
    Failure::new("not-found", format!("there is nothing at {}", uri.path()))
}

/// The answer where a route fits and its methods do not.
pub async fn no_method(uri: Uri) -> Failure {
    Failure::new("method-not-allowed", format!("{} is not used that way", uri.path()))
}

/// The answer to a request that panicked.
#[must_use]
pub(super) fn panicked(panic: Box<dyn std::any::Any + Send + 'static>) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a message");
    Failure::internal(None, &text).into_response()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

    use super::*;

    /// The codes that the domain refuses with, out of its sources: `Self::OutOfStock(_) => "out-of-stock",`.
    fn refused_with() -> Vec<String> {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../domain/src");
        let files = [
            "order/refusal.rs",
            "payment/refusal.rs",
            "stock/refusal.rs",
            "reservation.rs",
            "reference.rs",
            "import.rs",
        ];
        let mut codes = Vec::new();
        for file in files {
            let text = std::fs::read_to_string(format!("{root}/{file}")).unwrap();
            let (_, after) = text.split_once("fn code(&self)").unwrap();
            let (arms, _) = after.split_once("fn class(&self)").unwrap();
            let texts = arms.split("=> \"").skip(1);
            codes.extend(texts.map(|text| text.split('"').next().unwrap().to_owned()));
        }
        codes
    }

    #[test]
    fn every_code_that_the_domain_refuses_with_is_listed() {
        let codes = refused_with();
        assert!(codes.len() > 40, "{codes:?}");
        for code in codes {
            assert!(code::find(&code).is_some(), "{code} is not listed");
        }
    }

    #[test]
    fn damage_of_the_log_has_a_code_of_its_own() {
        let damaged = event_store::Error::Damaged { position: 7, what: "there is no record".into() };
        let failure = Failure::unanswered(&damaged.into(), None);
        assert_eq!((failure.problem.status, &*failure.problem.code), (503, "log-damaged"));
    }

    #[test]
    fn the_numbers_of_a_refusal_never_hide_the_problems_own_fields() {
        let failure = Failure::new("order-state", "no").with("status", "rejected").with("code", "other");
        assert_eq!(failure.problem.status, 409);
        assert_eq!(failure.problem.code, "order-state");
        assert_eq!(failure.problem.details["current_status"], "rejected");
    }
}
