//! What goes wrong, as HTTP tells it: the one list of codes and their statuses, and the answer that is made of it. An inner failure is
//! logged under the request's id and never told.

use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use domain::Class;
use schemas::http::check::{Fault, Invalid};
use schemas::http::problem::{self, Problem};
use serde_json::{Map, Value};

use super::answer::{Place, headers};
use crate::execute::{Done, Error, Refused};

/// A code, the status that it comes with, and its title.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// The stable kebab-case code.
    pub code: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// What kind of problem, in a few words.
    pub title: &'static str,
}

const fn code(code: &'static str, status: u16, title: &'static str) -> Code {
    Code {
        code,
        status,
        title,
    }
}

/// Every code that the write side answers with.
pub const CODES: &[Code] = &[
    // The request itself
    code("malformed-body", 400, "The body is not as documented"),
    code("malformed-header", 400, "A header is not as documented"),
    code("malformed-path", 400, "The path names no possible resource"),
    code(
        "malformed-query",
        400,
        "A query parameter is not as documented",
    ),
    code(
        "idempotency-key-required",
        400,
        "An Idempotency-Key is compulsory here",
    ),
    code("not-found", 404, "There is no such resource"),
    code(
        "method-not-allowed",
        405,
        "The resource does not take that method",
    ),
    code(
        "request-in-progress",
        409,
        "An equal request is still being worked on",
    ),
    code("version-mismatch", 412, "The resource has changed"),
    code("body-too-large", 413, "The body is too large"),
    code(
        "unsupported-media-type",
        415,
        "The body is of a type that is not taken",
    ),
    code(
        "idempotency-key-reused",
        422,
        "The Idempotency-Key stands for another request",
    ),
    code("if-match-required", 428, "An If-Match is compulsory here"),
    code("internal", 500, "Something went wrong here"),
    code("overloaded", 503, "Too much is going on at once"),
    code(
        "outcome-unknown",
        503,
        "Whether it took effect is not known",
    ),
    code("unavailable", 503, "No commands are taken at the moment"),
    // Orders
    code("already-placed", 409, "The order is placed already"),
    code("already-shipped", 409, "Some of it has left already"),
    code(
        "another-payment",
        409,
        "The order is paid by another payment",
    ),
    code(
        "cancellation-not-found",
        404,
        "The order has no such cancellation",
    ),
    code(
        "duplicate-external-ref",
        409,
        "The external reference is taken",
    ),
    code("exceeds-refundable", 409, "More than can be refunded"),
    code("hold-not-found", 404, "The order has no such hold"),
    code("id-taken", 409, "The id is taken"),
    code("invalid-edit", 422, "The edit cannot be made"),
    code("invalid-line", 422, "A line cannot be right"),
    code(
        "invalid-payment",
        422,
        "The payment's numbers cannot be right",
    ),
    code("invalid-refund", 422, "The refund cannot be right"),
    code("not-paid", 409, "It is not paid for"),
    code("not-reserved", 409, "Not all of it is held in stock"),
    code("on-hold", 409, "The order is on hold"),
    code("order-rejected", 409, "The order was rejected"),
    code("order-state", 409, "The order's stage does not allow it"),
    code("payment-declined", 409, "The means of payment was declined"),
    code(
        "payment-unknown",
        409,
        "The payment's last outcome is unknown",
    ),
    code(
        "quantity-exceeds-announced",
        422,
        "More than was announced to come back",
    ),
    code("quantity-exceeds-open", 422, "More than is open"),
    code(
        "quantity-exceeds-shipment",
        422,
        "More than is in the shipment",
    ),
    code("quantity-exceeds-shipped", 422, "More than left"),
    code(
        "receipt-out-of-order",
        422,
        "Receipts of a return are counted without holes",
    ),
    code("return-not-found", 404, "The order has no such return"),
    code("return-state", 409, "The return's stage does not allow it"),
    code("shipment-not-found", 404, "The order has no such shipment"),
    code(
        "shipment-state",
        409,
        "The shipment's stage does not allow it",
    ),
    code("totals-mismatch", 422, "The total is another"),
    // Payments
    code("amount-mismatch", 409, "The amount is another"),
    code("attempt-skipped", 409, "The attempt is not the next one"),
    code(
        "authorisation-expired",
        409,
        "The hold on the money has ended",
    ),
    code(
        "evidence-missing",
        422,
        "An unknown outcome is resolved by evidence only",
    ),
    code("exceeds-authorised", 409, "More than is authorised"),
    code(
        "intent-changed",
        422,
        "The id was used to ask for something else",
    ),
    code("invalid-amount", 422, "The amount cannot be right"),
    code("never-asked", 409, "The provider was never asked for that"),
    code("outcome-settled", 409, "The outcome is settled already"),
    code(
        "payment-state",
        409,
        "The payment's stage does not allow it",
    ),
    code(
        "provider-ref-missing",
        422,
        "The provider's reference is missing",
    ),
    // Imports
    code("import-finished", 409, "The run is finished"),
    code("import-changed", 409, "The run is of other content"),
    code(
        "unknown-layout",
        422,
        "Nothing tells how the content is laid out",
    ),
    code(
        "unreadable-content",
        422,
        "The content cannot be read at all",
    ),
    // Stock and reservations
    code("below-zero", 409, "There would be fewer than none"),
    code("exceeds-on-hand", 409, "More than is here"),
    code("invalid-items", 422, "The items cannot be right"),
    code("invalid-quantity", 422, "The quantity cannot be right"),
    code("not-later", 422, "A reservation can only be prolonged"),
    code("out-of-stock", 409, "There is not enough stock"),
    code("reservation-ended", 409, "The reservation has ended"),
    code("reservation-exists", 409, "The id holds something else"),
    code("reservation-not-found", 404, "There is no such reservation"),
    code("stock-changed", 409, "The stock has changed"),
    code(
        "would-break-reservations",
        409,
        "Reservations would be left without stock",
    ),
];

/// What is known of a code.
#[must_use]
pub fn find(code: &str) -> Option<&'static Code> {
    CODES.iter().find(|known| known.code == code)
}

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
        let (status, title) =
            find(code).map_or((500, "Something went wrong here"), |c| (c.status, c.title));
        Self {
            problem: Box::new(Problem::new(status, code, title, detail)),
            retry_after: None,
            place: Place::default(),
        }
    }

    /// A problem with one place of the request.
    #[must_use]
    pub fn at(code: &'static str, pointer: &str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let fault = Fault {
            pointer: pointer.to_owned(),
            detail: detail.clone(),
        };
        Self::new(code, detail).with_errors(vec![fault])
    }

    /// A bug, or a broken store: the log has the error, the caller has the id that finds it there.
    #[must_use]
    pub fn internal(request_id: Option<&str>, error: &dyn std::fmt::Display) -> Self {
        tracing::error!(request.id = request_id, %error, "a request failed");
        let mut failure = Self::new("internal", "the log has more under the request's id");
        failure.problem.request_id = request_id.map(str::to_owned);
        failure
    }

    /// A refusal that is on record: the same answer for ever.
    #[must_use]
    pub fn refused(refused: &Refused, done: &Done) -> Self {
        let status = match refused.class {
            Class::Absent => 404,
            Class::Conflict => 409,
            Class::Invalid => 422,
            Class::Stale => 412,
        };
        let known = find(&refused.code);
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

    /// With what is wrong, place by place.
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

    /// With where in the log the answer stands.
    #[must_use]
    pub(super) fn at_place(mut self, place: Place) -> Self {
        self.place = place;
        self
    }

    /// What the executor could not answer.
    #[must_use]
    pub fn unanswered(error: &Error, request_id: Option<&str>) -> Self {
        const SOON: Duration = Duration::from_secs(1);
        match error {
            Error::KeyReused => Self::new(
                "idempotency-key-reused",
                "the key was sent with another method, path, If-Match or body: make a new key",
            ),
            Error::InProgress => Self::new(
                "request-in-progress",
                "send the same request again in a moment: it will get the same answer",
            )
            .retry_after(SOON),
            Error::Busy { retry_after } => Self::new(
                "overloaded",
                "nothing was written: send the same request again",
            )
            .retry_after(*retry_after),
            Error::Unknown(_) | Error::Lost => {
                tracing::error!(request.id = request_id, %error, "whether a command took effect is not known");
                Self::new(
                    "outcome-unknown",
                    "the same request with the same Idempotency-Key tells",
                )
                .retry_after(SOON)
            }
            Error::Closed => Self::new(
                "unavailable",
                "nothing was written: send the same request again",
            )
            .retry_after(SOON),
            Error::NotWritten(_) => {
                tracing::error!(request.id = request_id, %error, "the store did not take a command");
                Self::new("unavailable", "nothing was written: the log has more")
                    .retry_after(Duration::from_secs(10))
            }
            Error::Store(_) | Error::Unreadable { .. } | Error::Plan(_) => {
                Self::internal(request_id, error)
            }
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
        let status =
            StatusCode::from_u16(self.problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&*self.problem).unwrap_or_default();
        let mut response = (status, body).into_response();
        let into = response.headers_mut();
        into.insert(
            CONTENT_TYPE,
            HeaderValue::from_static(problem::CONTENT_TYPE),
        );
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
    Failure::new(
        "method-not-allowed",
        format!("{} is not used that way", uri.path()),
    )
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

    #[test]
    fn codes_are_kebab_case_and_listed_once() {
        for (i, code) in CODES.iter().enumerate() {
            let kebab = |c: char| c.is_ascii_lowercase() || c == '-';
            assert!(code.code.chars().all(kebab), "{}", code.code);
            assert!((400..600).contains(&code.status), "{}", code.code);
            assert!(
                CODES[..i].iter().all(|other| other.code != code.code),
                "{} is listed twice",
                code.code
            );
        }
    }

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
            assert!(find(&code).is_some(), "{code} is not listed");
        }
    }

    #[test]
    fn the_numbers_of_a_refusal_never_hide_the_problems_own_fields() {
        let failure = Failure::new("order-state", "no")
            .with("status", "rejected")
            .with("code", "other");
        assert_eq!(failure.problem.status, 409);
        assert_eq!(failure.problem.code, "order-state");
        assert_eq!(failure.problem.details["current_status"], "rejected");
    }
}
