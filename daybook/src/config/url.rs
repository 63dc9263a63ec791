//! An address that may contain a password, which is never shown.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

/// An address, empty where there is none. Shown and printed without its password.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Url(String);

impl Url {
    /// The address with its password, for connecting.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.0
    }

    /// Whether there is one.
    #[must_use]
    pub fn is_set(&self) -> bool {
        !self.0.is_empty()
    }

    /// The address without its password.
    #[must_use]
    pub fn shown(&self) -> String {
        let Some(scheme) = self.0.find("://") else {
            return self.0.clone();
        };
        let rest = &self.0[scheme + 3..];
        // A password may hold an at sign; a host may not.
        let authority = rest.find(['/', '?']).unwrap_or(rest.len());
        let Some(at) = rest[..authority].rfind('@') else {
            return self.0.clone();
        };
        let user = rest[..at].split(':').next().unwrap_or_default();
        let mask = if rest[..at].contains(':') { ":***" } else { "" };
        format!("{}{user}{mask}{}", &self.0[..scheme + 3], &rest[at..])
    }
}

impl From<&str> for Url {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.shown())
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

impl Serialize for Url {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.shown())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        for (url, shown) in [
            ("postgres://app:s3cret@db:5432/x?a=b", "postgres://app:***@db:5432/x?a=b"),
            ("postgres://app:p@ss@db/x", "postgres://app:***@db/x"),
            ("postgres://app@db/x", "postgres://app@db/x"),
            ("nats://db:4222", "nats://db:4222"),
            ("", ""),
        ] {
            let url = Url::from(url);
            assert_eq!(url.shown(), shown);
            assert!(!format!("{url:?}{url}").contains("s3cret"));
        }
    }
}
