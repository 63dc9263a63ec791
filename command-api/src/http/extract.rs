//! The inputs of a handler: the caller, the options and the request, all of it in domain types. An invalid request
//! never reaches a handler.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use domain::ids::Tenant;
use domain::stream::StreamName;
use schemas::http::Names;
use schemas::http::check::Check;
use schemas::http::place::{Place, Waiting};
use schemas::{Actor, Metadata};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::Api;
use super::arrival;
use super::body::{self, Body};
use super::headers::{self, IfMatch};
use super::problem::Failure;
use crate::execute::{Expected, Request as Envelope, command_id, fingerprint, fresh_command_id};

/// The caller, and the tenant of the data. A layer in front of the routes adds it to each request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Whose data.
    pub tenant: Tenant,
    /// The actor.
    pub actor: Actor,
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        parts
            .extensions
            .get()
            .cloned()
            .ok_or_else(|| Failure::internal(request_id(&parts.headers), &"no layer in front says who asks"))
    }
}

/// Too many requests wait already.
pub(super) struct TooManyWait;

/// The request's place among those that are worked on, where they are counted.
pub(super) fn place(parts: &Parts) -> Option<Arc<Place>> {
    parts.extensions.get().cloned()
}

/// How a command is asked for.
#[derive(Clone, Debug)]
pub(super) struct How {
    pub(super) caller: Caller,
    pub(super) command_id: Uuid,
    pub(super) fingerprint: [u8; 32],
    pub(super) if_match: Option<IfMatch>,
    pub(super) dry_run: bool,
    pub(super) wait: Option<u64>,
    pub(super) request_id: Option<String>,
    traceparent: Option<String>,
    place: Option<Arc<Place>>,
}

impl How {
    /// What the command names things by that the body leaves unnamed.
    pub(super) fn names(&self) -> Names {
        Names(self.command_id)
    }

    /// Refused if the caller does not say which version it knows.
    pub(super) fn require_if_match(&self) -> Result<(), Failure> {
        match self.if_match {
            Some(_) => Ok(()),
            None => Err(Failure::new(
                "if-match-required",
                "say which version this is about: If-Match with the ETag that was read",
            )),
        }
    }

    /// The executor's envelope of a command that is mainly about one stream.
    pub(super) fn envelope(&self, about: &StreamName, correlation: Uuid) -> Envelope {
        let mut metadata = Metadata::new(self.caller.actor.clone(), correlation);
        metadata.request_id.clone_from(&self.request_id);
        metadata.traceparent.clone_from(&self.traceparent);
        Envelope {
            tenant: self.caller.tenant.clone(),
            command_id: self.command_id,
            fingerprint: self.fingerprint,
            metadata,
            if_match: match self.if_match {
                Some(IfMatch::Version(version)) => Some((about.clone(), Expected::Version(version))),
                Some(IfMatch::Any) => Some((about.clone(), Expected::Exists)),
                None => None,
            },
            dry_run: self.dry_run,
            while_asked: false,
        }
    }

    /// Gives the request's place back while it waits for a verdict; `Err` where too many wait already.
    pub(super) fn rest(&self) -> Result<Option<Waiting>, TooManyWait> {
        match &self.place {
            Some(place) => place.wait().map(Some).ok_or(TooManyWait),
            None => Ok(None),
        }
    }

    /// How long to wait for a verdict.
    pub(super) fn wait(&self) -> Option<Duration> {
        self.wait.map(Duration::from_secs)
    }
}

/// Query parameters that a route takes beside `dry_run`.
pub(super) trait Parameters: Default + Send {
    /// Takes a parameter, if it is one of its own.
    fn take(&mut self, name: &str, value: &str) -> bool;
}

impl Parameters for () {
    fn take(&mut self, _: &str, _: &str) -> bool {
        false
    }
}

impl Parameters for schemas::http::hold::ReleaseHold {
    fn take(&mut self, name: &str, value: &str) -> bool {
        if name == "resolution" {
            self.resolution = Some(value.to_owned());
        }
        name == "resolution"
    }
}

/// A requested command.
pub(super) struct Ask<T, Q = ()> {
    pub(super) how: How,
    pub(super) query: Q,
    pub(super) body: T,
}

impl<T: Body, Q: Parameters> FromRequest<Api> for Ask<T, Q> {
    type Rejection = Failure;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Failure> {
        let (mut parts, body) = request.into_parts();
        let caller = Caller::from_request_parts(&mut parts, api).await?;
        let key = headers::idempotency_key(&parts.headers)?;
        let if_match = headers::if_match(&parts.headers)?;
        let (dry_run, query, told) = query::<Q>(&parts)?;
        let place = place(&parts);
        let arriving = arrival::whole(body, T::LARGEST, api.settings().bodies.patience);
        let raw = arrival::without_place(place.as_ref(), arriving).await?;
        let body: T = body::parse(&parts.headers, &raw)?;
        let if_match_raw = header(&parts.headers, "if-match").unwrap_or("");
        let how = How {
            command_id: match &key {
                Some(key) => command_id(&caller.tenant, key),
                None => fresh_command_id(),
            },
            fingerprint: fingerprint(&[
                parts.method.as_str().as_bytes(),
                parts.uri.path().as_bytes(),
                told.as_bytes(),
                if_match_raw.as_bytes(),
                &raw,
            ]),
            if_match,
            dry_run,
            wait: headers::wait(&parts.headers),
            request_id: request_id(&parts.headers).map(str::to_owned),
            traceparent: header(&parts.headers, "traceparent").map(str::to_owned),
            place,
            caller,
        };
        let mut check = Check::new();
        body.in_time(api.now(), &mut check);
        // A repetition gets its first answer, however late it comes.
        if let Err(invalid) = check.finish(())
            && (key.is_none() || !api.answered(&how).await?)
        {
            return Err(invalid.into());
        }
        Ok(Self { how, query, body })
    }
}

/// `dry_run`, the route's own parameters, and the latter as a text that is equal for equal requests.
fn query<Q: Parameters>(parts: &Parts) -> Result<(bool, Q, String), Failure> {
    let malformed = |name: &str, detail: &str| Failure::at("malformed-query", name, detail);
    let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
        .map_err(|_| malformed("", "the query is not well-formed"))?;
    let (mut dry_run, mut query, mut told) = (None, Q::default(), Vec::new());
    for (name, value) in &pairs.0 {
        let new = if name == "dry_run" {
            let given = match value.as_str() {
                "true" => true,
                "false" => false,
                _ => return Err(malformed(name, "must be true or false")),
            };
            dry_run.replace(given).is_none()
        } else if query.take(name, value) {
            let new = told.iter().all(|(other, _)| other != name);
            told.push((name.clone(), value.clone()));
            new
        } else {
            let name: String = name.chars().take(64).collect();
            return Err(malformed(&name, "is no parameter of this route"));
        };
        if !new {
            return Err(malformed(name, "may be given once only"));
        }
    }
    told.sort();
    let told = told.iter().map(|(name, value)| format!("{}={name}{}={value}", name.len(), value.len())).collect();
    Ok((dry_run.unwrap_or(false), query, told))
}

/// Ids out of the path.
pub(super) struct Id<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Id<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(id)) => Ok(Self(id)),
            Err(rejection) => {
                let detail: String = rejection.body_text().chars().take(300).collect();
                Err(Failure::at("malformed-path", "path", detail))
            }
        }
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok()).filter(|text| text.len() <= 200)
}

/// The request's id in the logs.
pub(super) fn request_id(headers: &HeaderMap) -> Option<&str> {
    header(headers, "x-request-id")
}
