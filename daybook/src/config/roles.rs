//! The roles that a process runs.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Error;
use super::concern::concern;

concern! {
    /// The roles that a process runs. If the log is a SQLite file, one process runs all of them.
    Roles {
        /// Roles, separated by commas: command-api, query-api, relay, projections, sagas, ordering, inventory,
        /// payments; or all.
        run: Set = Set::all(),
        /// After this many milliseconds without a renewal a process counts as dead, and others take over its work.
        /// Below a second, a short pause would count as death.
        lease_ms: u64 = 10_000 => 1_000..=600_000,
    }
}

/// One of the things that there are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Takes commands over HTTP.
    CommandApi,
    /// Answers queries over HTTP.
    QueryApi,
    /// Publishes the log.
    Relay,
    /// Projects the log to the read models.
    Projections,
    /// Runs sagas.
    Sagas,
    /// Runs the sagas' commands to orders.
    Ordering,
    /// Runs the sagas' commands to stock and reservations.
    Inventory,
    /// Runs the sagas' commands to payments, and calls the payment gateway.
    Payments,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::CommandApi,
        Self::QueryApi,
        Self::Relay,
        Self::Projections,
        Self::Sagas,
        Self::Ordering,
        Self::Inventory,
        Self::Payments,
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CommandApi => "command-api",
            Self::QueryApi => "query-api",
            Self::Relay => "relay",
            Self::Projections => "projections",
            Self::Sagas => "sagas",
            Self::Ordering => "ordering",
            Self::Inventory => "inventory",
            Self::Payments => "payments",
        }
    }
}

/// Some of the roles, at least one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Set(BTreeSet<Role>);

impl Set {
    /// All roles.
    #[must_use]
    pub fn all() -> Self {
        Self(Role::ALL.into())
    }

    /// One role.
    #[must_use]
    pub fn only(role: Role) -> Self {
        Self([role].into())
    }

    /// Whether a role is among them.
    #[must_use]
    pub fn has(&self, role: Role) -> bool {
        self.0.contains(&role)
    }

    /// Whether all roles are.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.0.len() == Role::ALL.len()
    }

    /// The roles.
    pub fn iter(&self) -> impl Iterator<Item = Role> + '_ {
        self.0.iter().copied()
    }
}

impl FromStr for Set {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut roles = BTreeSet::new();
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            if name == "all" {
                return Ok(Self::all());
            }
            let found = Role::ALL.into_iter().find(|role| role.name() == name);
            let role = found.ok_or_else(|| {
                let known: Vec<_> = Role::ALL.iter().map(|role| role.name()).collect();
                format!("unknown role `{name}`; the roles are {}, and all", known.join(", "))
            })?;
            roles.insert(role);
        }
        if roles.is_empty() {
            return Err("a process needs a role".to_owned());
        }
        Ok(Self(roles))
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_all() {
            return f.write_str("all");
        }
        let names: Vec<_> = self.iter().map(Role::name).collect();
        f.write_str(&names.join(","))
    }
}

impl TryFrom<String> for Set {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Set> for String {
    fn from(set: Set) -> Self {
        set.to_string()
    }
}

impl Roles {
    pub(super) fn check(&self, scaled: bool) -> Result<(), Error> {
        if !scaled && !self.run.is_all() {
            let why = format!(
                "`{}` is not all roles, but a SQLite log needs one process with all roles: set store.url to a \
                 database",
                self.run
            );
            return Err(Error::Value { key: "roles.run", why });
        }
        Ok(())
    }

    /// How long a lease lasts.
    #[must_use]
    pub fn lease(&self) -> std::time::Duration {
        std::time::Duration::from_millis(self.lease_ms)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may")]

    use super::*;

    #[test]
    fn names_are_read_and_written() {
        let set: Set = "sagas, relay".parse().unwrap();
        assert_eq!(set.to_string(), "relay,sagas");
        assert!(set.has(Role::Relay) && !set.has(Role::Payments));
        assert_eq!("all".parse::<Set>().unwrap(), Set::all());
        assert!("sagas,relais".parse::<Set>().unwrap_err().contains("relais"));
        assert!(" ,".parse::<Set>().is_err());
    }
}
