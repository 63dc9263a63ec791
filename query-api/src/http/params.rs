//! Query parameters and path segments, parsed strictly: an unknown, repeated or invalid parameter is a problem, never
//! ignored.

use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use domain::time::Timestamp;
use event_store::record::Position;
use schemas::http::place::Place;

use super::problem::Failure;
use super::wanted::Wanted;
use crate::history::At;

/// The most entries that a page has.
pub(super) const MOST: usize = 200;
/// How many it has unless the caller says.
const USUAL: usize = 50;

/// The query parameters that were not taken yet, and the request's place.
#[derive(Debug)]
pub(super) struct Params(Vec<(String, String)>, Option<Arc<Place>>);

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let bad = || Failure::new("malformed-query", "the query is not well-formed");
        let pairs = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).map_err(|_| bad())?;
        // The decoding replaces invalid UTF-8 with this character.
        let damaged = |text: &String| text.contains(char::REPLACEMENT_CHARACTER);
        if pairs.0.iter().any(|(name, value)| damaged(name) || damaged(value)) {
            return Err(bad());
        }
        Ok(Self(pairs.0, parts.extensions.get().cloned()))
    }
}

impl Params {
    /// Takes a parameter that may be there once.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, Failure> {
        let mut found = None;
        let mut again = false;
        self.0.retain_mut(|(key, value)| {
            if key != name {
                return true;
            }
            again |= found.is_some();
            found = Some(std::mem::take(value));
            false
        });
        if again {
            return Err(Failure::at("malformed-query", name, format!("{name} is given twice")));
        }
        Ok(found)
    }

    /// Takes a parameter of a type.
    pub(super) fn parsed<T: FromStr>(&mut self, name: &str, what: &str) -> Result<Option<T>, Failure> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        let parsed = text.parse().map_err(|_| Failure::at("malformed-query", name, format!("{name} is not {what}")))?;
        Ok(Some(parsed))
    }

    /// Takes `limit`.
    pub(super) fn limit(&mut self, most: usize) -> Result<usize, Failure> {
        let limit = self.parsed("limit", "a whole number")?.unwrap_or_else(|| USUAL.min(most));
        if (1..=most).contains(&limit) {
            Ok(limit)
        } else {
            Err(Failure::at("malformed-query", "limit", format!("limit must be 1 to {most}")))
        }
    }

    /// Takes a position.
    pub(super) fn position(&mut self, name: &str) -> Result<Option<Position>, Failure> {
        let position: Option<Position> = self.parsed(name, "a position")?;
        match position {
            // Positions are stored as signed numbers.
            Some(position) if i64::try_from(position).is_err() => {
                Err(Failure::at("malformed-query", name, format!("{name} is not a position")))
            }
            position => Ok(position),
        }
    }

    /// Takes `min_position`.
    pub(super) fn min_position(&mut self) -> Result<Option<Wanted>, Failure> {
        let place = self.1.clone();
        Ok(self.position("min_position")?.map(|position| Wanted { position, place }))
    }

    /// Takes `as_of_time`, `as_of_position` or `as_of_version`: at most one of them.
    pub(super) fn as_of(&mut self) -> Result<Option<At>, Failure> {
        let time: Option<Timestamp> = self.parsed("as_of_time", "an instant such as 2011-09-06T16:57:00Z")?;
        let position = self.position("as_of_position")?;
        let version = self.position("as_of_version")?;
        match (time, position, version) {
            (None, None, None) => Ok(None),
            (Some(time), None, None) => Ok(Some(At::Instant(time.micros()))),
            (None, Some(position), None) => Ok(Some(At::Position(position))),
            (None, None, Some(version)) => Ok(Some(At::Version(version))),
            _ => Err(Failure::new("malformed-query", "give a time, a position or a version, not several")),
        }
    }

    /// Takes a comma-separated list.
    pub(super) fn list(&mut self, name: &str) -> Result<Vec<String>, Failure> {
        let text = self.text(name)?.unwrap_or_default();
        let parts: Vec<_> = text.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        if parts.len() > 100 {
            return Err(Failure::at("malformed-query", name, format!("{name} lists more than 100")));
        }
        Ok(parts)
    }

    /// All that is left, for a list's filters.
    pub(super) fn rest(self) -> Vec<(String, String)> {
        self.0
    }

    /// Nothing may be left.
    pub(super) fn end(self) -> Result<(), Failure> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => {
                let name: String = name.chars().take(80).collect();
                Err(Failure::at("malformed-query", &name, format!("this route has no parameter {name}")))
            }
        }
    }
}

/// The id in the path.
#[derive(Debug)]
pub(super) struct Id<T>(pub(super) T);

impl<S: Send + Sync, T: FromStr> FromRequestParts<S> for Id<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let bad = || Failure::new("malformed-path", "the path has a segment that cannot be an id");
        let Path(text) = Path::<String>::from_request_parts(parts, state).await.map_err(|_| bad())?;
        text.parse().map(Self).map_err(|_| bad())
    }
}
