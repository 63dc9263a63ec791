//! Addresses that may contain a password, which is never shown.

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
        // Even what lacks its scheme and is refused for it may hold a password.
        let from = self.0.find("://").map_or(0, |scheme| scheme + 3);
        let rest = &self.0[from..];
        // A password that should have been percent-encoded may hold the end of the authority: what may be one is never shown.
        let Some(at) = user_information(rest).or_else(|| rest.rfind('@')) else {
            return self.0.clone();
        };
        let user = rest[..at].split(':').next().unwrap_or_default();
        let mask = if rest[..at].contains(':') { ":***" } else { "" };
        format!("{}{user}{mask}{}", &self.0[..from], &rest[at..])
    }

    /// Its user, as it is written there.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        let rest = &self.0[self.0.find("://")? + 3..];
        rest[..user_information(rest)?].split(':').next()
    }
}

/// Where user and password end in what follows the scheme. A password may hold an at sign; a host may not.
fn user_information(rest: &str) -> Option<usize> {
    let authority = rest.find(['/', '?']).unwrap_or(rest.len());
    rest[..authority].rfind('@')
}

/// Addresses separated by commas, none where there is nothing. Shown and printed without their passwords; a comma in a
/// password is written `%2C`.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Urls(String);

impl Urls {
    /// The addresses.
    pub fn iter(&self) -> impl Iterator<Item = Url> + '_ {
        self.0.split(',').map(str::trim).filter(|url| !url.is_empty()).map(Url::from)
    }

    /// The addresses without their passwords.
    #[must_use]
    pub fn shown(&self) -> String {
        self.iter().map(|url| url.shown()).collect::<Vec<_>>().join(",")
    }
}

impl From<&str> for Urls {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Urls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.shown())
    }
}

impl Serialize for Urls {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.shown())
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
            ("app:s3cret@db:4222", "app:***@db:4222"),
            ("", ""),
        ] {
            let url = Url::from(url);
            assert_eq!(url.shown(), shown);
            assert!(!format!("{url:?}{url}").contains("s3cret"));
        }
    }

    #[test]
    fn no_password_of_several_is_shown() {
        let urls = Urls::from("nats://a:s3cret@x:4222, nats://y:4222,,nats://b:s3cret@z:4222");
        assert_eq!(urls.shown(), "nats://a:***@x:4222,nats://y:4222,nats://b:***@z:4222");
        assert_eq!(format!("{urls:?}"), format!("{:?}", urls.shown()));
        let users: Vec<_> = urls.iter().map(|url| url.user().map(str::to_owned)).collect();
        assert_eq!(users, [Some("a".to_owned()), None, Some("b".to_owned())]);
    }
}
