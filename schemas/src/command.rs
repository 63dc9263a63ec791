//! A command on its way from a saga to its service. It exists only in transit and is never stored: if a later version
//! cannot read it, its sender sends it again in the later version's form.

use bytes::Bytes;
use domain::Command;
use domain::ids::Tenant;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::metadata::Metadata;

/// The version of the written form; other versions are not read.
const FORM: u32 = 1;
/// The form of a command that does not repeat the names of its stock streams.
const SHORT: u32 = 2;
/// Bodies of at least this many bytes are written in the short form.
const LARGE: usize = 256 * 1024;

/// A command with all that the service needs to run it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    form: u32,
    /// The tenant of the order, stock or payment.
    pub tenant: Tenant,
    /// The command's id: sent again under the same one, it has the same outcome.
    pub command_id: Uuid,
    /// The command.
    pub command: Command,
    /// The actor, and the cause.
    pub metadata: Metadata,
}

/// A command that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// It is not well-formed, or this version does not know the command.
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

    /// The bytes to send. A large command names each SKU and location once, so that a command for an order with the
    /// most lines and the longest names still fits into a message.
    ///
    /// # Errors
    /// If the command has no JSON form.
    pub fn encode(&self) -> Result<Bytes, Malformed> {
        let bytes = serde_json::to_vec(self)?;
        if bytes.len() < LARGE {
            return Ok(bytes.into());
        }
        let mut body = serde_json::to_value(self)?;
        body["form"] = SHORT.into();
        each_stock(&mut body, |names, asked| asked.retain(|name, value| names.get(name) != Some(value)));
        Ok(serde_json::to_vec(&body)?.into())
    }

    /// Reads bytes that were sent.
    ///
    /// # Errors
    /// If they are not a command of this form.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        #[derive(Deserialize)]
        struct Form {
            form: u32,
        }
        match serde_json::from_slice::<Form>(bytes)?.form {
            FORM => Ok(serde_json::from_slice(bytes)?),
            SHORT => {
                let mut body: Value = serde_json::from_slice(bytes)?;
                body["form"] = FORM.into();
                // A command that does not name its stock passes the names over.
                each_stock(&mut body, |names, asked| {
                    for (name, value) in names {
                        asked.entry(name.clone()).or_insert_with(|| value.clone());
                    }
                });
                Ok(serde_json::from_value(body)?)
            }
            other => Err(Malformed::Form(other)),
        }
    }
}

/// Visits each stock command: the names of the stock beside the command, and the command's fields.
fn each_stock(body: &mut Value, mut work: impl FnMut(&Map<String, Value>, &mut Map<String, Value>)) {
    let stock = body.pointer_mut("/command/Inventory/stock").and_then(Value::as_array_mut);
    for part in stock.into_iter().flatten() {
        let Some(part) = part.as_object_mut() else { continue };
        let Some(Value::Object(mut command)) = part.remove("command") else { continue };
        for (_, asked) in &mut command {
            if let Value::Object(asked) = asked {
                work(part, asked);
            }
        }
        part.insert("command".to_owned(), command.into());
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
        let later = text.replacen("\"form\":1", "\"form\":3", 1);
        let error = Envelope::decode(later.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("form 3"), "{error}");
        Envelope::decode(&text.as_bytes()[..40]).unwrap_err();
    }

    /// About an order of 2,000 lines with the longest names there are.
    fn longest(command: impl Fn(&LocationId, &Sku) -> stock::Command) -> Envelope {
        let location = LocationId::try_new("\u{20000}".repeat(LocationId::LONGEST)).unwrap();
        let parts = (0..2_000_u32).map(|n| {
            let name = format!("{}{n:04}", "\u{20000}".repeat(Sku::LONGEST - 4));
            let sku = Sku::try_new(name).unwrap();
            StockCommand { command: command(&location, &sku), location: location.clone(), sku }
        });
        let command = Command::Inventory { reservation: None, stock: parts.collect() };
        Envelope { command, ..envelope() }
    }

    #[test]
    fn what_is_asked_about_the_largest_order_fits_into_a_message() {
        use domain::ids::{LineId, OrderId};
        use domain::stock::event::{LetGo, LineShare};
        use domain::time::Timestamp;

        let reservation_id = ReservationId(Uuid::max());
        let order_id = Some(OrderId(Uuid::max()));
        let end = Timestamp::from_micros(4_000_000_000_000_000);
        let lines = vec![LineShare { line_id: LineId(2_000), qty: 1_000_000 }];
        let reserve = longest(|location, sku| {
            stock::Command::Reserve(stock::command::Reserve {
                reservation_id,
                sku: sku.clone(),
                location: location.clone(),
                order_id,
                lines: lines.clone(),
                backorder_ok: vec![LineId(2_000)],
                allow_partial: false,
                expires_at: Some(end),
                now: end,
                basket: None,
            })
        });
        let release = longest(|_, _| stock::Command::Release {
            reservation_id,
            order_id,
            qty: None,
            lines: vec![LetGo { line_id: LineId(2_000), qty: 1_000_000, backordered: 1_000_000 }],
            release_id: Uuid::max(),
            expires_at: Some(end),
            reason: "payment_declined".into(),
        });
        for sent in [reserve, release] {
            fits(&sent);
        }
    }

    fn fits(sent: &Envelope) {
        let bytes = sent.encode().unwrap();
        // The queue takes two megabytes, with room for the subject and the headers.
        assert!(bytes.len() < (2 * 1024 - 64) * 1024, "{} bytes", bytes.len());
        assert_eq!(Envelope::decode(&bytes).unwrap(), *sent);
    }

    #[test]
    fn letting_go_of_the_largest_order_for_the_longest_reason_fits_into_a_message() {
        use domain::saga::{Direction, Process, State, cancellation};
        use serde_json::json;

        let reason = "\u{20000}".repeat(500);
        let parts = (0..2_000_u32).map(|n| {
            let sku = format!("{}{n:04}", "\u{20000}".repeat(Sku::LONGEST - 4));
            json!({"sku": sku, "lines": [{"line_id": n + 1, "qty": 1_000_000}]})
        });
        let location = "\u{20000}".repeat(LocationId::LONGEST);
        let input = json!({
            "order_id": Uuid::max(), "cancellation_id": Uuid::max(), "reason": reason, "reservation_id": Uuid::max(),
            "parts": [{"location": location, "parts": parts.collect::<Vec<_>>()}],
            "payment_id": null, "all_money": false, "refund": 0, "granted": 0,
        });
        let cancellation: cancellation::Input = serde_json::from_value(input).unwrap();
        let asked_at = domain::time::Timestamp::from_micros(4_000_000_000_000_000);
        let ask = domain::saga::step::Ask { step: "release", direction: Direction::Do, attempt: 1, asked_at };
        let command = cancellation.command(&State::default(), ask).unwrap();
        fits(&Envelope { command, ..envelope() });
    }

    #[test]
    fn taking_over_the_fullest_basket_of_other_things_for_the_largest_order_fits_into_a_message() {
        use domain::saga::{Direction, Process, State, checkout};
        use serde_json::json;

        let sku = |n: u32| format!("{}{n:04}", "\u{20000}".repeat(Sku::LONGEST - 4));
        let place = |n: u32| format!("{}{n:04}", "\u{20000}".repeat(LocationId::LONGEST - 4));
        let end = domain::time::Timestamp::from_micros(4_000_000_000_000_000);
        let parts = (1..=2_000_u32)
            .map(|n| json!({"sku": sku(n), "lines": [{"line_id": n, "qty": 1_000_000}], "backorder_ok": [n]}));
        let items = (1..=200_u32).map(|n| json!({"sku": sku(n), "location": place(n), "qty": 1_000_000}));
        let input = json!({
            "order_id": Uuid::max(), "amount": null, "instrument": "", "capture": false, "expires_at": end,
            "parts": [{"location": place(0), "parts": parts.collect::<Vec<_>>()}],
            "basket": {"reservation_id": Uuid::max(), "items": items.collect::<Vec<_>>()},
        });
        let checkout: checkout::Input = serde_json::from_value(input).unwrap();
        for step in ["reserve", "free_basket"] {
            let mut state = State::default();
            let (reason, details) = ("payment_declined".to_owned(), None);
            state.unwinding = Some(domain::saga::event::Unwinding { reason, details });
            let ask = domain::saga::step::Ask { step, direction: Direction::Do, attempt: 1, asked_at: end };
            let command = checkout.command(&state, ask).unwrap();
            fits(&Envelope { command, ..envelope() });
        }
    }
}
