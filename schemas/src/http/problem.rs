//! What a request that did not succeed is answered with: problem details as RFC 9457 has them. Never a text of an inner failure.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::check::Fault;
use super::code;

/// The content type of a problem.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// A problem. It also has the numbers of a refusal, for example the requested and the available quantity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Where the problem is described.
    #[serde(rename = "type")]
    #[schema(example = "/docs/problems#version-mismatch")]
    pub kind: String,
    /// What kind of problem, in a few words.
    #[schema(example = "The resource has changed")]
    pub title: String,
    /// The HTTP status.
    #[schema(example = 412)]
    pub status: u16,
    /// The stable kebab-case code.
    #[schema(example = "version-mismatch")]
    pub code: String,
    /// What happened here, for a person.
    pub detail: String,
    /// The request that it happened to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The faults of the request, place by place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Fault>,
    /// The numbers of the refusal.
    #[serde(flatten)]
    pub details: Map<String, Value>,
}

impl Problem {
    /// A problem from the list of codes; an unknown code becomes an internal error.
    #[must_use]
    pub fn of(code: &str, detail: impl Into<String>) -> Self {
        let (status, title) =
            code::find(code).map_or((500, "An internal error occurred"), |known| (known.status, known.title));
        Self::new(status, code, title, detail)
    }

    /// A problem of a kind that the documents describe under its code.
    #[must_use]
    pub fn new(status: u16, code: &str, title: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("/docs/problems#{code}"),
            title: title.to_owned(),
            status,
            code: code.to_owned(),
            detail: detail.into(),
            request_id: None,
            errors: Vec::new(),
            details: Map::new(),
        }
    }

    /// A record that an answer depends on cannot be read; `said` names the record and the reason.
    #[must_use]
    pub fn unreadable(said: &str, position: u64, stream: &str, version: u64) -> Self {
        let detail = format!(
            "{said}. Run a version of the program that can read it, or set it aside as an operator: \
             POST /v1/records/{position}/set-aside"
        );
        let details = [("position", position.into()), ("stream", stream.into()), ("version", version.into())];
        let details = details.into_iter().map(|(name, value): (_, Value)| (name.to_owned(), value));
        Self::of("unreadable-record", detail).with_details(details.collect())
    }

    /// A read model holds the requested stream; `said` names the stream and the reason.
    #[must_use]
    pub fn held(said: &str, position: u64, stream: &str, version: u64) -> Self {
        let detail = format!(
            "{said}. Run a version of the program that can, or set an unreadable record aside as an operator: \
             POST /v1/records/{position}/set-aside"
        );
        let details = [("position", position.into()), ("stream", stream.into()), ("version", version.into())];
        let details = details.into_iter().map(|(name, value): (_, Value)| (name.to_owned(), value));
        Self::of("stream-held", detail).with_details(details.collect())
    }

    /// Adds the faults, place by place.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<Fault>) -> Self {
        self.errors = errors;
        self
    }

    /// With numbers. The fields of the problem itself are never overwritten.
    #[must_use]
    pub fn with_details(mut self, details: Map<String, Value>) -> Self {
        const OWN: [&str; 7] = ["type", "title", "status", "code", "detail", "request_id", "errors"];
        for (name, value) in details {
            let name = if name == "status" {
                // An order's refusal reports the order's own status, which is not that of the answer.
                "current_status".to_owned()
            } else {
                name
            };
            if !OWN.contains(&name.as_str()) {
                self.details.insert(name, value);
            }
        }
        self
    }
}
