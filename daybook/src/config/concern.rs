//! A section of the configuration: its keys, their defaults and their documentation are in one place, and the default
//! file is generated from it.

use serde::Serialize;

use super::Error;

/// The least and the most that a number may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The key.
    pub key: &'static str,
    /// The least.
    pub least: i64,
    /// The most.
    pub most: i64,
}

/// A section that can be written as a commented part of a file.
pub trait Described: Default + Serialize {
    /// The description of the section, line by line.
    const ABOUT: &'static [&'static str];
    /// Its keys with their documentation, line by line.
    const KEYS: &'static [(&'static str, &'static [&'static str])];
    /// What its numbers may be.
    const BOUNDS: &'static [Bounds];

    /// Refuses a number that is out of its bounds.
    ///
    /// # Errors
    /// If one is.
    fn bounded(&self, section: &'static str) -> Result<(), Error> {
        let out_of_bounds = |key, why| Err(Error::OutOfBounds { section, key, why });
        // A number that TOML cannot hold is larger than any bound.
        let values = match toml::Table::try_from(self) {
            Ok(values) => values,
            Err(error) => return out_of_bounds("*", format!("a number is too large: {error}")),
        };
        for Bounds { key, least, most } in Self::BOUNDS {
            let value = values.get(*key).and_then(toml::Value::as_integer);
            if let Some(value) = value.filter(|value| !(*least..=*most).contains(value)) {
                let about = Self::KEYS.iter().find(|(known, _)| known == key).map_or(&[][..], |(_, lines)| lines);
                let about = about.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
                return out_of_bounds(
                    key,
                    format!("{value} is out of bounds: set it to {least} at least and {most} at most ({about})"),
                );
            }
        }
        Ok(())
    }

    /// The section with its defaults, each key with its documentation above it.
    fn described(name: &str) -> String {
        let mut text = String::from("\n");
        for line in Self::ABOUT {
            text.push_str(&format!("#{line}\n"));
        }
        text.push_str(&format!("[{name}]\n"));
        let values = toml::Table::try_from(Self::default()).unwrap_or_default();
        for (key, lines) in Self::KEYS {
            for line in *lines {
                text.push_str(&format!("#{line}\n"));
            }
            if let Some(Bounds { least, most, .. }) = Self::BOUNDS.iter().find(|bounds| bounds.key == *key) {
                text.push_str(&format!("# {least} to {most}.\n"));
            }
            match values.get(*key) {
                Some(value) => text.push_str(&format!("{key} = {value}\n")),
                None => text.push_str(&format!("# {key} =\n")),
            }
        }
        text
    }
}

/// Declares a section: `Name { /// what it is  key: Type = default, … }`; a number with its bounds: `key: u64 = 5 =>
/// 1..=10`.
macro_rules! concern {
    ($(#[doc = $about:literal])+ $name:ident {
        $($(#[doc = $doc:literal])+ $key:ident: $type:ty = $default:expr $(=> $least:literal ..= $most:literal)?,)+
    }) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $($(#[doc = $doc])+ pub $key: $type,)+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($key: $default,)+ }
            }
        }

        impl $crate::config::Described for $name {
            const ABOUT: &'static [&'static str] = &[$($about),+];
            const KEYS: &'static [(&'static str, &'static [&'static str])] =
                &[$((stringify!($key), &[$($doc),+])),+];
            const BOUNDS: &'static [$crate::config::Bounds] = &[
                $($($crate::config::Bounds { key: stringify!($key), least: $least, most: $most },)?)+
            ];
        }
    };
}

pub(super) use concern;
