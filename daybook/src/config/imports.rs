//! How files are imported.

use super::Error;
use super::concern::concern;

concern! {
    /// How files are imported.
    Imports {
        /// Orders that are worked on at once.
        in_flight: usize = 256,
        /// The channel that imported orders come from, unless the import names one.
        channel: String = "retail".to_owned(),
    }
}

impl Imports {
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.in_flight == 0 {
            let why = "at least one order has to be worked on".to_owned();
            return Err(Error::Value { key: "imports.in_flight", why });
        }
        domain::ids::Channel::try_new(self.channel.as_str())
            .map(drop)
            .map_err(|error| Error::Value { key: "imports.channel", why: error.to_string() })
    }
}
