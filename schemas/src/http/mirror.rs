//! The macro that repeats a domain enum for the wire, so that the API description knows its values. It never adds or leaves out one:
//! that is a compile error.

macro_rules! mirror {
    ($($(#[$meta:meta])* $name:ident of $domain:ty { $($variant:ident),+ $(,)? })+) => {$(
        $(#[$meta])*
        #[expect(missing_docs, reason = "the domain's enum documents the values")]
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
        )]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $($variant),+
        }

        impl From<$domain> for $name {
            fn from(value: $domain) -> Self {
                match value {
                    $(<$domain>::$variant => Self::$variant),+
                }
            }
        }

        impl From<$name> for $domain {
            fn from(value: $name) -> Self {
                match value {
                    $($name::$variant => Self::$variant),+
                }
            }
        }
    )+};
}

pub(crate) use mirror;
