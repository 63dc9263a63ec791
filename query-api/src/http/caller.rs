//! The tenant of a request's data. A layer in front of the routes sets it; the request itself cannot.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use domain::ids::Tenant;

use super::problem::Failure;

/// The tenant of a request's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Whose data.
    pub tenant: Tenant,
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        parts.extensions.get().cloned().ok_or_else(|| Failure::internal(&"no layer in front identified the caller"))
    }
}
