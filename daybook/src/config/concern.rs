//! A section of the configuration: its keys, their defaults and their documentation stand in one place, and the default file is made
//! from there.

use serde::Serialize;

/// A section that can be written as a commented part of a file.
pub trait Described: Default + Serialize {
    /// What the section is about, line by line.
    const ABOUT: &'static [&'static str];
    /// Its keys with their documentation, line by line.
    const KEYS: &'static [(&'static str, &'static [&'static str])];

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
            match values.get(*key) {
                Some(value) => text.push_str(&format!("{key} = {value}\n")),
                None => text.push_str(&format!("# {key} =\n")),
            }
        }
        text
    }
}

/// Declares a section: `Name { /// what it is  key: Type = default, … }`.
macro_rules! concern {
    ($(#[doc = $about:literal])+ $name:ident {
        $($(#[doc = $doc:literal])+ $key:ident: $type:ty = $default:expr,)+
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
        }
    };
}

pub(super) use concern;
