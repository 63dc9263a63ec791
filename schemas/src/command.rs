//! A command on its way from a long process to the service that it is for. It lives as long as it is on its way and is never kept:
//! what a later version cannot read any more is sent again by whoever asked for it, in the later version's own words.

use bytes::Bytes;
use domain::Command;
use domain::ids::Tenant;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::metadata::Metadata;

/// The form of what is written; another one is not read.
const FORM: u32 = 1;

/// A command with all that the service needs to run it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    form: u32,
    /// Whose order, stock or payment it is about.
    pub tenant: Tenant,
    /// The command's id: sent again under the same one, it has the same outcome.
    pub command_id: Uuid,
    /// What is asked.
    pub command: Command,
    /// Who asks, and because of what.
    pub metadata: Metadata,
}

/// A command that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// It is not well-formed, or this version has no such command.
    #[error("the command is not well-formed: {0}")]
    Json(#[from] serde_json::Error),
    /// It has a form that this version does not know.
    #[error("the command has the form {0}, and this version knows {FORM}")]
    Form(u32),
}

impl Envelope {
    /// A command to be sent.
    #[must_use]
    pub fn new(tenant: Tenant, command_id: Uuid, command: Command, metadata: Metadata) -> Self {
        Self { form: FORM, tenant, command_id, command, metadata }
    }

    /// The bytes that are sent.
    ///
    /// # Errors
    /// If the command has no JSON form.
    pub fn encode(&self) -> Result<Bytes, Malformed> {
        Ok(serde_json::to_vec(self)?.into())
    }

    /// Reads bytes that were sent.
    ///
    /// # Errors
    /// If they are not a command of this form.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let envelope: Self = serde_json::from_slice(bytes)?;
        if envelope.form == FORM { Ok(envelope) } else { Err(Malformed::Form(envelope.form)) }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may")]

    use domain::command::StockCommand;
    use domain::ids::{LocationId, ReservationId, Sku};
    use domain::stock;

    use super::*;
    use crate::metadata::Actor;

    fn envelope() -> Envelope {
        let actor = Actor { id: "saga".into(), via: "saga".into(), on_behalf_of: None };
        let expire = stock::Command::Expire { reservation_id: ReservationId(Uuid::from_u128(7)) };
        let command = Command::Inventory {
            reservation: None,
            stock: vec![StockCommand {
                location: LocationId::try_new("main").unwrap(),
                sku: Sku::try_new("TEA").unwrap(),
                command: expire,
            }],
        };
        Envelope::new(
            Tenant::try_new("acme").unwrap(),
            Uuid::from_u128(1),
            command,
            Metadata::new(actor, Uuid::from_u128(2)),
        )
    }

    #[test]
    fn what_was_sent_is_read() {
        let sent = envelope();
        assert_eq!(Envelope::decode(&sent.encode().unwrap()).unwrap(), sent);
    }

    #[test]
    fn another_form_and_a_broken_one_are_refused() {
        let text = String::from_utf8(envelope().encode().unwrap().to_vec()).unwrap();
        let later = text.replacen("\"form\":1", "\"form\":2", 1);
        let error = Envelope::decode(later.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("form 2"), "{error}");
        Envelope::decode(&text.as_bytes()[..40]).unwrap_err();
    }
}
