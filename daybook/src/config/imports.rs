//! The import of files.

use super::Error;
use super::concern::concern;

concern! {
    /// The import of files.
    Imports {
        /// Orders that an import processes concurrently.
        in_flight: usize = 256 => 1..=65_536,
        /// How long the upload of an import may take, in milliseconds.
        upload_timeout_ms: u64 = 600_000 => 1_000..=86_400_000,
        /// The channel of imported orders, unless the import names one.
        channel: String = "retail".to_owned(),
    }
}

impl Imports {
    pub(super) fn check(&self) -> Result<(), Error> {
        domain::ids::Channel::try_new(self.channel.as_str())
            .map(drop)
            .map_err(|error| Error::Value { key: "imports.channel", why: error.to_string() })
    }
}
