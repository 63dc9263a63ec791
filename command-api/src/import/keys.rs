//! The ids of everything that an import creates: all of them are derived from the content, so that every run creates
//! the same ones. Nothing here may depend on the clock, on chance, or on the progress of an earlier run.

use domain::ids::{Channel, ExternalRef, ImportId, OrderId, Tenant};
use domain::import::Policy;
use domain::time::Timestamp;
use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

use crate::execute;

/// A row of a file: the invoice that it belongs to and its place in it, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey {
    /// The invoice's number.
    pub invoice: String,
    /// Its place in the invoice.
    pub ordinal: u32,
}

/// The tenant and the channel of rows, which make their keys unique.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Whose data it is.
    pub tenant: Tenant,
    /// Where the orders come from.
    pub channel: Channel,
}

impl Origin {
    /// An order's id: version 7, made of the business instant and a hash of (tenant, channel, number).
    #[must_use]
    pub fn order_id(&self, external_ref: &ExternalRef, at: Timestamp) -> OrderId {
        let digest = self.digest(&["order", external_ref.as_str()]);
        OrderId(version_7(at, &digest))
    }

    /// The id of the run that loads this content in this way.
    #[must_use]
    pub fn import_id(&self, layout: &str, policy: Policy, content: &[u8; 32]) -> ImportId {
        let channel = self.channel.as_str();
        let text = format!("import/{channel}/{layout}/{policy:?}/{}", hex(content));
        ImportId(self.command_id(&text))
    }

    /// The idempotency key of a row's command. A row with several commands has one key for each, distinguished by
    /// `part`.
    #[must_use]
    pub fn row_key(&self, row: &RowKey, part: &str) -> String {
        let channel = self.channel.as_str();
        let RowKey { invoice, ordinal } = row;
        if part.is_empty() {
            format!("{channel}/{invoice}/{ordinal}")
        } else {
            format!("{channel}/{invoice}/{ordinal}/{part}")
        }
    }

    /// The id of the command with an idempotency key: the same one that a request with this key would have.
    #[must_use]
    pub fn command_id(&self, key: &str) -> Uuid {
        execute::command_id(&self.tenant, key)
    }

    fn digest(&self, parts: &[&str]) -> [u8; 32] {
        let mut hash = Sha256::new();
        for part in [self.tenant.as_str(), self.channel.as_str()].iter().chain(parts) {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        hash.finalize().into()
    }
}

/// SHA-256 of some bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Bytes in hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        use std::fmt::Write as _;
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn version_7(at: Timestamp, digest: &[u8; 32]) -> Uuid {
    let mut rest = [0; 10];
    rest.copy_from_slice(&digest[..10]);
    let millis = u64::try_from(at.micros() / 1000).unwrap_or(0);
    Builder::from_unix_timestamp_millis(millis, &rest).into_uuid()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may")]

    use super::*;

    fn origin(channel: &str) -> Origin {
        Origin { tenant: Tenant::try_new("t").unwrap(), channel: Channel::try_new(channel).unwrap() }
    }

    #[test]
    fn an_orders_id_is_a_version_7_of_its_business_instant_and_the_same_each_time() {
        let at: Timestamp = "2010-12-01T08:26:00Z".parse().unwrap();
        let number = ExternalRef::try_new("536365").unwrap();
        let id = origin("shop").order_id(&number, at);
        assert_eq!(id, origin("shop").order_id(&number, at));
        assert_ne!(id, origin("market").order_id(&number, at));
        assert_eq!(id.0.get_version_num(), 7);
        assert_eq!(id.0.get_timestamp().unwrap().to_unix(), (1_291_191_960, 0));
    }

    #[test]
    fn ids_differ_by_every_part() {
        let row = RowKey { invoice: "C1".into(), ordinal: 2 };
        let origin = origin("shop");
        let one = origin.command_id(&origin.row_key(&row, ""));
        let two = origin.command_id(&origin.row_key(&row, "1"));
        assert_ne!(one, two);
        assert_eq!(one.get_version_num(), 5);
        let import = |policy, byte| origin.import_id("retail", policy, &[byte; 32]);
        assert_ne!(import(Policy::Rows, 0), import(Policy::Rows, 1));
        assert_ne!(import(Policy::Rows, 0), import(Policy::All, 0));
    }
}
