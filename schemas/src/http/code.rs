//! Every problem code that the API answers with, its status and its title: the one list, for both sides and their documents.

/// A code, the status that it comes with, and its title.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// The stable kebab-case code.
    pub code: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// What kind of problem, in a few words.
    pub title: &'static str,
}

/// The entry of a code, if the code is known.
#[must_use]
pub fn find(code: &str) -> Option<&'static Code> {
    CODES.iter().find(|known| known.code == code)
}

macro_rules! codes {
    ($($code:literal $status:literal $title:literal)+) => {
        /// Every code.
        pub const CODES: &[Code] = &[
            $(Code { code: $code, status: $status, title: $title }),+
        ];
    };
}

codes! {
    // The request itself
    "malformed-body" 400 "The body is invalid"
    "malformed-header" 400 "A header is invalid"
    "malformed-path" 400 "The path is invalid"
    "malformed-query" 400 "A query parameter is invalid"
    "idempotency-key-required" 400 "An Idempotency-Key is required"
    "not-found" 404 "There is no such resource"
    "method-not-allowed" 405 "The resource does not support that method"
    "body-too-slow" 408 "The body arrives too slowly"
    "request-in-progress" 409 "An equal request is still running"
    "version-mismatch" 412 "The resource has changed"
    "body-too-large" 413 "The body is too large"
    "command-too-large" 413 "The events of the request would be too large"
    "unsupported-media-type" 415 "The body's media type is not supported"
    "idempotency-key-reused" 422 "The Idempotency-Key belongs to another request"
    "if-match-required" 428 "An If-Match is required"
    "internal" 500 "An internal error occurred"
    "overloaded" 503 "The server is overloaded"
    "outcome-unknown" 503 "The outcome of the request is unknown"
    "log-damaged" 503 "The log is damaged"
    "unavailable" 503 "The service is unavailable"
    "outcome-set-aside" 409 "The outcome could not be read and was set aside"
    "unreadable-record" 503 "A record that the answer depends on cannot be read"
    // Records
    "record-readable" 409 "The record can be read"
    // Orders
    "already-placed" 409 "The order is placed already"
    "already-shipped" 409 "Some units have already shipped"
    "another-payment" 409 "The order is paid by another payment"
    "cancellation-not-found" 404 "The order has no such cancellation"
    "duplicate-external-ref" 409 "The external reference is taken"
    "exceeds-owed" 409 "More than is owed"
    "exceeds-refundable" 409 "More than can be refunded"
    "hold-not-found" 404 "The order has no such hold"
    "id-taken" 409 "The id is taken"
    "invalid-edit" 422 "The edit cannot be made"
    "invalid-line" 422 "A line is invalid"
    "invalid-payment" 422 "The payment's numbers are invalid"
    "invalid-refund" 422 "The refund is invalid"
    "nothing-lost" 409 "No lost units wait for a decision"
    "nothing-owed-by-hand" 409 "Nothing of the refund is owed by hand"
    "not-paid" 409 "The order is not paid"
    "not-reserved" 409 "Not all units are reserved"
    "on-hold" 409 "The order is on hold"
    "order-rejected" 409 "The order was rejected"
    "order-state" 409 "The order's state does not allow it"
    "payment-declined" 409 "The means of payment was declined"
    "payment-unknown" 409 "The payment's last outcome is unknown"
    "quantity-exceeds-announced" 422 "More than the announced return"
    "quantity-exceeds-open" 422 "More than is open"
    "quantity-exceeds-shipment" 422 "More than the shipment contains"
    "quantity-exceeds-shipped" 422 "More than was shipped"
    "receipt-out-of-order" 422 "Receipts of a return must be numbered without gaps"
    "refund-exceeds-line" 422 "More than the refundable rest of a line"
    "refund-exceeds-shipping" 422 "More than the refundable rest of the shipping charges"
    "refund-not-found" 404 "The order has no such refund"
    "refund-sums-differ" 422 "The refund's amount differs from the sum of its parts"
    "return-not-found" 404 "The order has no such return"
    "return-state" 409 "The return's state does not allow it"
    "shipment-not-found" 404 "The order has no such shipment"
    "shipment-state" 409 "The shipment's state does not allow it"
    "too-many" 409 "The limit on the number of these is reached"
    "totals-mismatch" 422 "The total differs"
    // Payments
    "amount-mismatch" 409 "The amount differs"
    "attempt-skipped" 409 "The attempt is not the next one"
    "authorisation-expired" 409 "The authorisation has ended"
    "evidence-missing" 422 "Resolving an unknown outcome needs evidence"
    "exceeds-authorised" 409 "More than is authorised"
    "gateway-cannot" 409 "The payment's gateway does not support that"
    "intent-changed" 422 "The id was used to ask for something else"
    "invalid-amount" 422 "The amount is invalid"
    "never-asked" 409 "That was never requested from the provider"
    "outcome-settled" 409 "The outcome is settled already"
    "payment-state" 409 "The payment's state does not allow it"
    "provider-ref-missing" 422 "The provider's reference is missing"
    "too-early" 409 "It is too early for that"
    // Imports
    "import-finished" 409 "The run is finished"
    "import-changed" 409 "The run has other content"
    "unknown-layout" 422 "The content's layout is unknown"
    "unreadable-content" 422 "The content cannot be read"
    // Stock and reservations
    "below-zero" 409 "The stock would fall below zero"
    "exceeds-on-hand" 409 "More than is on hand"
    "invalid-items" 422 "The items are invalid"
    "invalid-quantity" 422 "The quantity is invalid"
    "lives-too-long" 422 "The reservation would hold stock for too long"
    "never-kept" 409 "The SKU was never kept there"
    "not-later" 422 "The new end must be later"
    "not-short" 409 "The reserved units are not short"
    "out-of-stock" 409 "There is not enough stock"
    "reservation-ended" 409 "The reservation has ended"
    "reservation-exists" 409 "The reservation's id is taken"
    "reservation-not-found" 404 "There is no such reservation"
    "reservation-ordered" 409 "An order has taken over the reservation"
    "shipment-put-back" 409 "The shipment was put back into stock"
    "stock-changed" 409 "The stock has changed"
    "would-break-reservations" 409 "Some reservations would be left without stock"
    // Queries
    "bad-filter" 400 "The list does not support that filter or sort"
    "future-instant" 400 "That moment is in the future"
    "future-position" 400 "That position is far beyond the log's end"
    "rebuild-in-progress" 409 "The read model is already being rebuilt"
    "cursor-expired" 410 "The cursor belongs to another version of the list"
    "not-caught-up" 503 "The read model has not reached the requested position"
    "projection-building" 503 "The read model is being built"
    "stream-held" 503 "The read model holds the stream"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_kebab_case_and_listed_once() {
        for (i, code) in CODES.iter().enumerate() {
            let kebab = |c: char| c.is_ascii_lowercase() || c == '-';
            assert!(code.code.chars().all(kebab), "{}", code.code);
            assert!((400..600).contains(&code.status), "{}", code.code);
            assert!(CODES[..i].iter().all(|other| other.code != code.code), "{} is listed twice", code.code);
        }
    }
}
