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

/// What is known of a code.
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
    "malformed-body" 400 "The body is not as documented"
    "malformed-header" 400 "A header is not as documented"
    "malformed-path" 400 "The path names no possible resource"
    "malformed-query" 400 "A query parameter is not as documented"
    "idempotency-key-required" 400 "An Idempotency-Key is compulsory here"
    "not-found" 404 "There is no such resource"
    "method-not-allowed" 405 "The resource does not take that method"
    "body-too-slow" 408 "The body comes too slowly"
    "request-in-progress" 409 "An equal request is still being worked on"
    "version-mismatch" 412 "The resource has changed"
    "body-too-large" 413 "The body is too large"
    "command-too-large" 413 "What the request leads to is too large"
    "unsupported-media-type" 415 "The body is of a type that is not taken"
    "idempotency-key-reused" 422 "The Idempotency-Key stands for another request"
    "if-match-required" 428 "An If-Match is compulsory here"
    "internal" 500 "Something went wrong here"
    "overloaded" 503 "Too much is going on at once"
    "outcome-unknown" 503 "Whether it took effect is not known"
    "log-damaged" 503 "The log is not what was written"
    "unavailable" 503 "Nothing is answered here at the moment"
    "outcome-set-aside" 409 "What came of it could not be read and was set aside"
    "unreadable-record" 503 "A record that the answer rests on cannot be read"
    // Records
    "record-readable" 409 "The record can be read"
    // Orders
    "already-placed" 409 "The order is placed already"
    "already-shipped" 409 "Some of it has left already"
    "another-payment" 409 "The order is paid by another payment"
    "cancellation-not-found" 404 "The order has no such cancellation"
    "duplicate-external-ref" 409 "The external reference is taken"
    "exceeds-owed" 409 "More than is to be paid"
    "exceeds-refundable" 409 "More than can be refunded"
    "hold-not-found" 404 "The order has no such hold"
    "id-taken" 409 "The id is taken"
    "invalid-edit" 422 "The edit cannot be made"
    "invalid-line" 422 "A line cannot be right"
    "invalid-payment" 422 "The payment's numbers cannot be right"
    "invalid-refund" 422 "The refund cannot be right"
    "nothing-lost" 409 "Nothing got lost that waits for a decision"
    "nothing-owed-by-hand" 409 "Nothing of it is owed by hand"
    "not-paid" 409 "It is not paid for"
    "not-reserved" 409 "Not all of it is held in stock"
    "on-hold" 409 "The order is on hold"
    "order-rejected" 409 "The order was rejected"
    "order-state" 409 "The order's stage does not allow it"
    "payment-declined" 409 "The means of payment was declined"
    "payment-unknown" 409 "The payment's last outcome is unknown"
    "quantity-exceeds-announced" 422 "More than was announced to come back"
    "quantity-exceeds-open" 422 "More than is open"
    "quantity-exceeds-shipment" 422 "More than is in the shipment"
    "quantity-exceeds-shipped" 422 "More than left"
    "receipt-out-of-order" 422 "Receipts of a return are counted without holes"
    "refund-exceeds-line" 422 "More than is left of a line"
    "refund-exceeds-shipping" 422 "More than is left of the shipping charges"
    "refund-not-found" 404 "The order has no such refund"
    "refund-sums-differ" 422 "The parts of the refund are not what it is"
    "return-not-found" 404 "The order has no such return"
    "return-state" 409 "The return's stage does not allow it"
    "shipment-not-found" 404 "The order has no such shipment"
    "shipment-state" 409 "The shipment's stage does not allow it"
    "too-many" 409 "There are as many of these as there may be"
    "totals-mismatch" 422 "The total is another"
    // Payments
    "amount-mismatch" 409 "The amount is another"
    "attempt-skipped" 409 "The attempt is not the next one"
    "authorisation-expired" 409 "The hold on the money has ended"
    "evidence-missing" 422 "An unknown outcome is resolved by evidence only"
    "exceeds-authorised" 409 "More than is authorised"
    "gateway-cannot" 409 "The payment's gateway does not do that"
    "intent-changed" 422 "The id was used to ask for something else"
    "invalid-amount" 422 "The amount cannot be right"
    "never-asked" 409 "The provider was never asked for that"
    "outcome-settled" 409 "The outcome is settled already"
    "payment-state" 409 "The payment's stage does not allow it"
    "provider-ref-missing" 422 "The provider's reference is missing"
    "too-early" 409 "It is not time for that yet"
    // Imports
    "import-finished" 409 "The run is finished"
    "import-changed" 409 "The run is of other content"
    "unknown-layout" 422 "Nothing tells how the content is laid out"
    "unreadable-content" 422 "The content cannot be read at all"
    // Stock and reservations
    "below-zero" 409 "There would be fewer than none"
    "exceeds-on-hand" 409 "More than is here"
    "invalid-items" 422 "The items cannot be right"
    "invalid-quantity" 422 "The quantity cannot be right"
    "lives-too-long" 422 "The reservation would hold stock for too long"
    "never-kept" 409 "The SKU was never kept there"
    "not-later" 422 "A reservation can only be prolonged"
    "not-short" 409 "There is stock for what is held"
    "out-of-stock" 409 "There is not enough stock"
    "reservation-ended" 409 "The reservation has ended"
    "reservation-exists" 409 "The id holds something else"
    "reservation-not-found" 404 "There is no such reservation"
    "reservation-ordered" 409 "An order took the reservation over"
    "shipment-put-back" 409 "The shipment does not leave any more"
    "stock-changed" 409 "The stock has changed"
    "would-break-reservations" 409 "Reservations would be left without stock"
    // Queries
    "bad-filter" 400 "The list cannot be narrowed or sorted so"
    "future-instant" 400 "That moment has not come yet"
    "future-position" 400 "The log is nowhere near that position"
    "rebuild-in-progress" 409 "It is being rebuilt already"
    "cursor-expired" 410 "The cursor is of another version of the list"
    "not-caught-up" 503 "The position that was asked for is not shown yet"
    "projection-building" 503 "The read model is being built"
    "stream-held" 503 "The read model cannot show all of it"
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
