//! In whose name requests are answered, until access control says who asks.

use super::Error;
use super::concern::concern;

concern! {
    /// In whose name requests are answered, until access control says who asks.
    Tenant {
        /// Whose data it is.
        name: String = "main".to_owned(),
        /// Who acts.
        actor: String = "operator".to_owned(),
        /// The location of stock where a request names none.
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
            let why = "an actor has 1 to 128 characters".to_owned();
            return Err(Error::Value { key: "tenant.actor", why });
        }
        Ok(())
    }
}
