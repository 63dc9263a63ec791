//! What things are called on the bus: streams, subjects, headers.

use std::fmt::Write as _;

use event_store::partition::Door;
use uuid::Uuid;

/// Before the generation in the name of an event stream.
pub(crate) const EVENTS: &str = "DAYBOOK_EVENTS_";
/// The subject of the relay's progress messages; core NATS, not stored.
pub(crate) const PROGRESS: &str = "daybook.progress";
/// The stream of commands.
pub(crate) const COMMANDS: &str = "DAYBOOK_COMMANDS";
/// The stream of dead letters.
pub(crate) const DEAD_COMMANDS: &str = "DAYBOOK_COMMANDS_DEAD";

/// The headers of a record's message.
pub(crate) mod header {
    pub(crate) const POSITION: &str = "Daybook-Position";
    pub(crate) const STREAM_PREVIOUS: &str = "Daybook-Stream-Previous";
    pub(crate) const CORRELATION_PREVIOUS: &str = "Daybook-Correlation-Previous";
    pub(crate) const ENDS: &str = "Daybook-Ends";
    pub(crate) const HASH: &str = "Daybook-Hash";
    pub(crate) const INCARNATION: &str = "Daybook-Incarnation";
    pub(crate) const EPOCH: &str = "Daybook-Epoch";
    pub(crate) const COMMAND_ID: &str = "Daybook-Command-Id";
    pub(crate) const REASON: &str = "Daybook-Reason";
}

/// The stream of a generation.
pub(crate) fn stream(generation: u64) -> String {
    format!("{EVENTS}{generation}")
}

/// The generation of a stream, if it is one of events.
pub(crate) fn generation(stream: &str) -> Option<u64> {
    stream.strip_prefix(EVENTS)?.parse().ok()
}

/// Everything in a generation.
pub(crate) fn all(generation: u64) -> String {
    format!("daybook.events.{generation}.>")
}

/// The subject filter of a partition.
pub(crate) fn through(generation: u64, door: &Door) -> String {
    match door {
        Door::All => all(generation),
        Door::Streams(partition) => format!("daybook.events.{generation}.{partition}.>"),
        Door::Correlations(partition, _) => format!("daybook.events.{generation}.*.{partition}.>"),
    }
}

/// One record's subject.
pub(crate) fn event(generation: u64, stream: u32, correlation: u32, category: &str, kind: &str) -> String {
    format!("daybook.events.{generation}.{stream}.{correlation}.{}.{}", token(category), token(kind))
}

/// Where a service's commands go.
pub(crate) fn commands(service: &str) -> String {
    format!("daybook.commands.{}", token(service))
}

/// The subject of a dead letter of a service.
pub(crate) fn dead_command(service: &str, id: Uuid) -> String {
    format!("daybook.dead.{}.{id}", token(service))
}

/// Any string as one token of a subject: letters, digits, `-` and `_` stay, all else is `%` and two hex digits a byte.
pub(crate) fn token(text: &str) -> String {
    if text.is_empty() {
        return "%".into();
    }
    let mut token = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' {
            token.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            write!(token, "%{byte:02X}").ok();
        }
    }
    token
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_string_is_one_token() {
        assert_eq!(token("OrderPlaced"), "OrderPlaced");
        assert_eq!(token("a.b *>\u{e9}%"), "a%2Eb%20%2A%3E%C3%A9%25");
        assert_eq!(token(""), "%");
    }

    #[test]
    fn a_stream_tells_its_generation() {
        assert_eq!(generation(&stream(7)), Some(7));
        assert_eq!(generation(COMMANDS), None);
    }
}
