//! What a request that did not succeed is answered with: problem details as RFC 9457 has them. Never a text of an inner failure.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::check::Fault;
use super::code;

/// The content type of a problem.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// A problem. Beside these fields it carries the numbers of a refusal: what was wanted and what there was, say.
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
    /// What is wrong with the request, place by place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Fault>,
    /// The numbers of the refusal.
    #[serde(flatten)]
    pub details: Map<String, Value>,
}

impl Problem {
    /// A problem of the list of codes; one that is not on it is told as something that went wrong inside.
    #[must_use]
    pub fn of(code: &str, detail: impl Into<String>) -> Self {
        let (status, title) =
            code::find(code).map_or((500, "Something went wrong here"), |known| (known.status, known.title));
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

    /// A record that an answer would rest on cannot be read; `said` tells which and why.
    #[must_use]
    pub fn unreadable(said: &str, position: u64, stream: &str, version: u64) -> Self {
        let detail = format!(
            "{said}. A version of the program that knows it reads it; else an operator can set it aside: \
             POST /v1/records/{position}/set-aside"
        );
        let details = [("position", position.into()), ("stream", stream.into()), ("version", version.into())];
        let details = details.into_iter().map(|(name, value): (_, Value)| (name.to_owned(), value));
        Self::of("unreadable-record", detail).with_details(details.collect())
    }

    /// A read model holds the stream that was asked for; `said` tells which, and why.
    #[must_use]
    pub fn held(said: &str, position: u64, stream: &str, version: u64) -> Self {
        let detail = format!(
            "{said}. A version of the program that can is needed, or, where the record cannot be read, an operator who sets it aside: \
             POST /v1/records/{position}/set-aside"
        );
        let details = [("position", position.into()), ("stream", stream.into()), ("version", version.into())];
        let details = details.into_iter().map(|(name, value): (_, Value)| (name.to_owned(), value));
        Self::of("stream-held", detail).with_details(details.collect())
    }

    /// With what is wrong, place by place.
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
                // An order's refusal tells the order's own status, which is not the answer's.
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
