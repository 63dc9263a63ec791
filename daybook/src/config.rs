//! Configuration: a file, then the environment, then flags; later sources win, and an unknown key is refused by its
//! name. The only place in the workspace that reads the environment. It must never hold a secret in a printable field.

mod concern;
pub mod http;
pub mod imports;
#[cfg(test)]
mod laws;
pub mod nats;
pub mod payments;
pub mod projections;
pub mod roles;
pub mod sagas;
mod secrets;
pub mod store;
pub mod telemetry;
pub mod tenant;
pub mod url;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use concern::{Bounds, Described};

/// Everything that can be configured, one section per concern.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// In whose name requests are answered.
    pub tenant: tenant::Tenant,
    /// Where the server listens.
    pub http: http::Http,
    /// Where the log is.
    pub store: store::Store,
    /// What a process does.
    pub roles: roles::Roles,
    /// The broker.
    pub nats: nats::Nats,
    /// The sagas.
    pub sagas: sagas::Sagas,
    /// How read models follow.
    pub projections: projections::Projections,
    /// The payment gateway.
    pub payments: payments::Payments,
    /// How files are imported.
    pub imports: imports::Imports,
    /// Logs and metrics.
    pub telemetry: telemetry::Telemetry,
}

/// Where configuration comes from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// A TOML file; it has to be there.
    pub file: Option<PathBuf>,
    /// The environment, as names and values.
    pub environment: HashMap<String, String>,
    /// Flags, as dotted keys and values.
    pub flags: Vec<(String, String)>,
}

/// Configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A source cannot be read, or a key of it is unknown or has a wrong value.
    #[error("the configuration cannot be used: {0}")]
    Unusable(#[from] config::ConfigError),
    /// A number is too small or too large.
    #[error("{section}.{key}: {why}")]
    OutOfBounds {
        /// The section.
        section: &'static str,
        /// The key.
        key: &'static str,
        /// Why its value is not allowed, and what is.
        why: String,
    },
    /// A value is not allowed.
    #[error("{key}: {why}")]
    Value {
        /// The key.
        key: &'static str,
        /// Why its value is not allowed.
        why: String,
    },
}

/// Names in the environment begin with it: `DAYBOOK_HTTP__LISTEN` is `http.listen`.
const PREFIX: &str = "DAYBOOK_";
/// Separates section and key. A variable without it is not a key: an environment in which something else is named
/// `daybook` may have set it, as Kubernetes sets `DAYBOOK_PORT` and `DAYBOOK_SERVICE_HOST` for a service of that name.
const BETWEEN: &str = "__";

impl Sources {
    /// A file if one is named, the process's environment, and flags.
    #[must_use]
    pub fn of_process(file: Option<&Path>, flags: Vec<(String, String)>) -> Self {
        // Input that is not valid text cannot be a key or a value: it is ignored as a key, and refused as an empty
        // value.
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().unwrap_or_default())))
            .collect();
        Self { file: file.map(Path::to_owned), environment, flags }
    }

    /// The socket of the service manager that started this process, if one did and wants to hear that it is ready.
    #[must_use]
    pub fn notify_socket() -> Option<std::ffi::OsString> {
        std::env::vars_os().find(|(name, _)| name == "NOTIFY_SOCKET").map(|(_, value)| value)
    }

    /// The configuration that they come to.
    ///
    /// # Errors
    /// If a source cannot be read, a key is unknown, or a value is not allowed.
    pub fn load(&self) -> Result<Config, Error> {
        let variables: HashMap<String, String> = self
            .environment
            .iter()
            .filter_map(|(name, value)| Some((name.strip_prefix(PREFIX)?, value)))
            .filter(|(key, _)| key.contains(BETWEEN))
            .map(|(key, value)| (key.to_owned(), value.clone()))
            .collect();
        let variables = secrets::read(variables)?;
        let mut builder = config::Config::builder();
        if let Some(file) = &self.file {
            builder = builder.add_source(config::File::from(file.as_path()).format(config::FileFormat::Toml));
        }
        // Values stay text until the key's type is known: a name of digits is a name.
        builder = builder.add_source(config::Environment::default().separator(BETWEEN).source(Some(variables)));
        for (key, value) in &self.flags {
            builder = builder.set_override(key, value.as_str())?;
        }
        let config: Config = builder.build()?.try_deserialize()?;
        config.check()?;
        Ok(config)
    }
}

impl Config {
    fn check(&self) -> Result<(), Error> {
        let Self { tenant, http, store, roles, nats, sagas, projections, payments, imports, telemetry } = self;
        http.bounded("http")?;
        store.bounded("store")?;
        roles.bounded("roles")?;
        nats.bounded("nats")?;
        sagas.bounded("sagas")?;
        projections.bounded("projections")?;
        payments.bounded("payments")?;
        imports.bounded("imports")?;
        http.check()?;
        tenant.check()?;
        store.check()?;
        roles.check(store.url.is_set())?;
        nats.check()?;
        projections.check(store.url.is_set())?;
        imports.check()?;
        telemetry.check()
    }

    /// The configuration as a TOML file.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).unwrap_or_else(|error| format!("# {error}\n"))
    }

    /// The default configuration as a commented file: what `daybook.default.toml` holds.
    #[must_use]
    pub fn default_file() -> String {
        let mut text = String::from(
            "# The defaults of every key. Copy what you change into a file of your own (`--config`).\n\
             # The environment overrides the file: DAYBOOK_HTTP__LISTEN is http.listen. Flags override both: --set \
             http.listen=…\n\
             # A value may be in a file of its own, as secrets are: DAYBOOK_STORE__URL_FILE names the file of store.url.\n",
        );
        text.push_str(&tenant::Tenant::described("tenant"));
        text.push_str(&http::Http::described("http"));
        text.push_str(&store::Store::described("store"));
        text.push_str(&roles::Roles::described("roles"));
        text.push_str(&nats::Nats::described("nats"));
        text.push_str(&sagas::Sagas::described("sagas"));
        text.push_str(&projections::Projections::described("projections"));
        text.push_str(&payments::Payments::described("payments"));
        text.push_str(&imports::Imports::described("imports"));
        text.push_str(&telemetry::Telemetry::described("telemetry"));
        text
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may")]

    use super::*;

    fn sources(flags: &[(&str, &str)], environment: &[(&str, &str)]) -> Sources {
        let own = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        Sources { file: None, environment: own(environment).into_iter().collect(), flags: own(flags) }
    }

    #[test]
    fn later_sources_win() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("daybook.toml");
        std::fs::write(
            &file,
            "[http]\nlisten = \"127.0.0.1:1\"\nheader_timeout_ms = 500\n[tenant]\nactor = \"file\"\n",
        )
        .unwrap();
        let mut sources = sources(
            &[("http.listen", "127.0.0.1:3")],
            &[("DAYBOOK_HTTP__LISTEN", "127.0.0.1:2"), ("DAYBOOK_TENANT__ACTOR", "environment"), ("PATH", "/bin")],
        );
        sources.file = Some(file);
        let config = sources.load().unwrap();
        assert_eq!(config.http.listen.to_string(), "127.0.0.1:3");
        assert_eq!(config.http.header_timeout_ms, 500);
        assert_eq!(config.tenant.actor, "environment");
    }

    #[test]
    fn an_unknown_key_is_named() {
        for sources in [sources(&[("http.lissten", "x")], &[]), sources(&[], &[("DAYBOOK_HTTP__LISSTEN", "x")])] {
            let text = sources.load().unwrap_err().to_string();
            assert!(text.contains("lissten"), "{text}");
        }
    }

    #[test]
    fn only_loopback_is_allowed() {
        for address in ["0.0.0.0:80", "192.168.1.1:80", "[::]:80"] {
            let text = sources(&[("http.listen", address)], &[]).load().unwrap_err().to_string();
            assert!(text.contains("loopback"), "{text}");
        }
        assert!(sources(&[("http.listen", "[::1]:0")], &[]).load().is_ok());
    }

    #[test]
    fn the_committed_default_file_is_the_default() {
        let committed = concat!(env!("CARGO_MANIFEST_DIR"), "/../daybook.default.toml");
        let text = Config::default_file();
        if std::fs::read_to_string(committed).unwrap_or_default() != text {
            std::fs::write(committed, &text).unwrap();
            panic!(
                "daybook.default.toml was not the default configuration; it has been written again: look at it and \
                 commit it"
            );
        }
        assert_eq!(toml::from_str::<Config>(&text).unwrap(), Config::default());
    }
}
