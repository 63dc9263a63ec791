//! The tenant and the actor of all requests, until access control identifies callers.

use super::Error;
use super::concern::concern;

concern! {
    /// The tenant and the actor of all requests, until access control identifies callers.
    Tenant {
        /// The tenant of all data.
        name: String = "main".to_owned(),
        /// The actor of all requests.
        actor: String = "operator".to_owned(),
        /// The stock location of requests that name none.
        location: String = "main".to_owned(),
    }
}

impl Tenant {
    pub(super) fn check(&self) -> Result<(), Error> {
        let why = |error: domain::ids::BadName| error.to_string();
        domain::ids::Tenant::try_new(self.name.as_str())
            .map_err(|error| Error::Value { key: "tenant.name", why: why(error) })?;
        domain::ids::LocationId::try_new(self.location.as_str())
            .map_err(|error| Error::Value { key: "tenant.location", why: why(error) })?;
        if self.actor.is_empty() || self.actor.len() > 128 {
            let why = "an actor must have 1 to 128 characters".to_owned();
            return Err(Error::Value { key: "tenant.actor", why });
        }
        Ok(())
    }
}
