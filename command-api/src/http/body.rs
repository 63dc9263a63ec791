//! Reading a body: its type, its depth, its fields. Nothing of a body that is not as documented is used.

use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use domain::time::Timestamp;
use schemas::http;
use schemas::http::check::{Check, Fault};
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

use super::problem::Failure;

/// The largest body that is not about an order's lines.
pub const LARGEST: usize = 256 * 1024;
/// The largest body that is.
pub const LARGEST_ORDER: usize = 1024 * 1024;
/// How deep a body may be nested. The deepest that is documented has six levels.
const DEEPEST: usize = 32;
/// The longest detail from a parser's message, which quotes its input.
const LONGEST_DETAIL: usize = 300;

/// What a route takes.
pub(super) trait Body: DeserializeOwned + Send + 'static {
    /// The largest that it may be.
    const LARGEST: usize = LARGEST;
    /// Whether nothing at all stands for `{}`.
    const OPTIONAL: bool = false;

    /// Notes every instant that it names out of bounds of `now`, if it names any.
    fn in_time(&self, _now: Timestamp, _check: &mut Check) {}
}

/// The body of a route that takes none.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoBody {}

impl Body for NoBody {
    const LARGEST: usize = 0;
    const OPTIONAL: bool = true;
}

macro_rules! bodies {
    ($largest:expr, $optional:expr, names instants => $($body:ty),+ $(,)?) => {$(
        impl Body for $body {
            const LARGEST: usize = $largest;
            const OPTIONAL: bool = $optional;

            fn in_time(&self, now: Timestamp, check: &mut Check) {
                <$body>::in_time(self, now, check);
            }
        }
    )+};
    ($largest:expr, $optional:expr => $($body:ty),+ $(,)?) => {$(
        impl Body for $body {
            const LARGEST: usize = $largest;
            const OPTIONAL: bool = $optional;
        }
    )+};
}

bodies!(LARGEST_ORDER, false, names instants => http::placement::PlaceOrder);
bodies!(LARGEST_ORDER, true, names instants => http::shipment::ConfirmDelivery);
bodies!(LARGEST, false, names instants =>
    http::hold::PlaceHold,
    http::reservation::ExtendReservation,
);
bodies!(LARGEST_ORDER, false =>
    http::amendment::EditLines,
    http::cancellation::CancelOrder,
    http::returns::RequestReturn,
    http::returns::ReceiveReturn,
    http::refund::GrantRefund,
    http::refund::RetryRefund,
    http::refund::ConfirmRefundPaid,
    http::refund::WithdrawRefund,
    http::tender::AddPayment,
    http::shipment::DecideLoss,
    http::shipment::ReportFound,
    http::shipment::WithdrawShipment,
);
bodies!(LARGEST_ORDER, true =>
    http::shipment::RequestShipment,
    http::shipment::ReportLoss,
);
bodies!(LARGEST, true =>
    http::payment::VoidPayment,
    http::stock::RegisterStock,
);
bodies!(LARGEST, false =>
    http::address::ChangeAddress,
    http::note::AddNote,
    http::note::SetTags,
    http::record::SetAsideRecord,
    http::shipment::UpdateTracking,
    http::returns::DeclineReturn,
    http::payment::CapturePayment,
    http::payment::ResolveOutcome,
    http::stock::ReceiveStock,
    http::stock::AdjustStock,
    http::stock::CountStock,
    http::test_clock::AdvanceClock,
    http::stock::DeferStock,
    http::reservation::OpenReservation,
);

/// Reads the fields.
pub(super) fn parse<T: Body>(headers: &HeaderMap, raw: &[u8]) -> Result<T, Failure> {
    if raw.is_empty() && T::OPTIONAL {
        return fields(b"{}");
    }
    media_type(headers)?;
    if too_deep(raw) {
        let detail = format!("it is nested deeper than {DEEPEST} levels");
        return Err(Failure::at("malformed-body", "", detail));
    }
    fields(raw)
}

fn media_type(headers: &HeaderMap) -> Result<(), Failure> {
    let unsupported = |detail: &str| Err(Failure::new("unsupported-media-type", detail));
    if headers.contains_key(CONTENT_ENCODING) {
        return unsupported("bodies are not taken compressed");
    }
    let given = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .map(|value| value.split(';').next().unwrap_or("").trim().to_ascii_lowercase());
    match given.as_deref() {
        Some("application/json") => Ok(()),
        Some(other) if other.starts_with("application/") && other.ends_with("+json") => Ok(()),
        _ => unsupported("send JSON, with Content-Type: application/json"),
    }
}

/// Whether brackets nest too deep, those in texts left out.
fn too_deep(raw: &[u8]) -> bool {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in raw {
        match (in_text, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_text = !in_text,
            (false, b'{' | b'[') => depth += 1,
            (false, b'}' | b']') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEEPEST {
            return true;
        }
    }
    false
}

fn fields<T: DeserializeOwned>(raw: &[u8]) -> Result<T, Failure> {
    // Tracking the path costs as much as parsing: only a faulty body pays for it.
    match serde_json::from_slice(raw) {
        Ok(body) => Ok(body),
        Err(error) => Err(fault::<T>(raw, &error)),
    }
}

fn fault<T: DeserializeOwned>(raw: &[u8], error: &serde_json::Error) -> Failure {
    let mut reader = serde_json::Deserializer::from_slice(raw);
    let (pointer, detail) = match serde_path_to_error::deserialize::<_, T>(&mut reader) {
        Ok(_) => (String::new(), error.to_string()),
        Err(located) => (pointer(located.path()), located.inner().to_string()),
    };
    let detail: String = detail.chars().take(LONGEST_DETAIL).collect();
    let summary = "the body is not as documented";
    Failure::new("malformed-body", summary).with_errors(vec![Fault { pointer, detail }])
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        let part = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => key.replace('~', "~0").replace('/', "~1"),
            Segment::Enum { variant } => variant.clone(),
            Segment::Unknown => continue,
        };
        pointer.push('/');
        pointer.extend(part.chars().take(64));
    }
    pointer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_brackets_and_not_texts() {
        assert!(!too_deep("[".repeat(32).as_bytes()));
        assert!(too_deep("[".repeat(33).as_bytes()));
        let text = format!(r#"{{"a": "{}\"{}"}}"#, "[".repeat(40), "{".repeat(40));
        assert!(!too_deep(text.as_bytes()));
    }

    #[test]
    fn a_fault_is_told_with_its_pointer() {
        let raw = br#"{"reason": "r", "lines": [{"line_id": 1, "qty": -1}]}"#;
        let mut reader = serde_json::Deserializer::from_slice(raw);
        let located = serde_path_to_error::deserialize::<_, http::cancellation::CancelOrder>(&mut reader);
        assert_eq!(located.map_err(|error| pointer(error.path())).err(), Some("/lines/0/qty".to_owned()));
    }
}
