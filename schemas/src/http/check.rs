//! The checks of a body that types cannot express: lengths, ranges, one currency. It collects every fault with a JSON
//! Pointer and decides nothing that depends on state.

use std::collections::BTreeSet;
use std::fmt::Display;

use domain::ids::LineId;
use domain::money::{Currency, LARGEST, Minor};
use domain::text::{self, BadText};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::money::Money;
use super::{MOST_LINES, MOST_UNITS};

/// The most faults that are listed: enough to correct a body, and few enough that a small request does not get an
/// answer of megabytes.
const MOST_FAULTS: usize = 50;

/// A fault of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Fault {
    /// A JSON Pointer into the body, or the name of a header or a parameter.
    #[schema(example = "/lines/0/qty")]
    pub pointer: String,
    /// The fault at that place.
    #[schema(example = "must be 1 to 1000000")]
    pub detail: String,
}

/// A body that parses and cannot be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body is invalid in {} places", .faults.len())]
pub struct Invalid {
    /// The faults, at least one.
    pub faults: Vec<Fault>,
}

/// Collects faults.
#[derive(Debug, Default)]
pub struct Check {
    faults: Vec<Fault>,
}

impl Check {
    /// A check without faults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The value, if there are no faults.
    ///
    /// # Errors
    /// With all faults.
    pub fn finish<T>(self, value: T) -> Result<T, Invalid> {
        if self.faults.is_empty() { Ok(value) } else { Err(Invalid { faults: self.faults }) }
    }

    /// Notes a fault.
    pub fn fault(&mut self, pointer: impl Display, detail: impl Display) {
        if self.faults.len() < MOST_FAULTS {
            self.faults.push(Fault { pointer: pointer.to_string(), detail: detail.to_string() });
        }
    }

    /// An id from the caller. Ids that sagas derive have a version of their own: if a caller took one, it would be
    /// missing where a saga needs it.
    pub fn own_id<T: Into<Uuid>>(&mut self, pointer: impl Display, id: Option<T>) {
        if id.is_some_and(|id| id.into().get_version_num() == domain::ids::DERIVED) {
            self.fault(
                pointer,
                "must not be a UUID of version 8, which is reserved for ids that sagas derive: use version 4, 5 or 7",
            );
        }
    }

    /// A list that names each line once; with a purpose of the line, once for each.
    pub fn lines_once<P: Ord>(&mut self, at: &str, lines: impl Iterator<Item = (LineId, P)>) {
        let mut seen = BTreeSet::new();
        for (i, line) in lines.enumerate() {
            if !seen.insert(line) {
                self.fault(format_args!("{at}/{i}/line_id"), "a line may be named only once");
            }
        }
    }

    /// A number of units: 1 to a million.
    pub fn units(&mut self, pointer: impl Display, qty: u32) {
        self.range(pointer, i64::from(qty), 1, i64::from(MOST_UNITS));
    }

    /// A number within bounds.
    pub fn range(&mut self, pointer: impl Display, value: i64, least: i64, most: i64) {
        if !(least..=most).contains(&value) {
            self.fault(pointer, format_args!("must be {least} to {most}"));
        }
    }

    /// A tax rate: 0 to 100 %.
    pub fn tax_rate(&mut self, pointer: impl Display, basis_points: u32) {
        self.range(pointer, i64::from(basis_points), 0, 10_000);
    }

    /// Checks the length of a list; returns whether to check the entries.
    pub fn list<T>(&mut self, pointer: impl Display, list: &[T], least: usize) -> bool {
        let fits = (least..=MOST_LINES).contains(&list.len());
        if !fits {
            self.fault(pointer, format_args!("must have {least} to {MOST_LINES} entries"));
        }
        fits
    }

    /// A text of one line, normalised: see [`text::line`].
    #[must_use = "the normalised text is what must be stored"]
    pub fn text(&mut self, pointer: impl Display, given: &str, longest: usize) -> String {
        self.long_text(pointer, given, 1, longest)
    }

    /// A text of one line with at least `least` characters, normalised.
    #[must_use = "the normalised text is what must be stored"]
    pub fn long_text(&mut self, pointer: impl Display, given: &str, least: usize, longest: usize) -> String {
        self.kept(pointer, text::line(given, least, longest))
    }

    /// An optional text of one line, normalised.
    #[must_use = "the normalised text is what must be stored"]
    pub fn optional_text(&mut self, pointer: impl Display, given: Option<&str>, longest: usize) -> Option<String> {
        given.map(|given| self.text(pointer, given, longest))
    }

    /// A text of any number of lines, normalised: see [`text::prose`].
    #[must_use = "the normalised text is what must be stored"]
    pub fn prose(&mut self, pointer: impl Display, given: &str, longest: usize) -> String {
        self.kept(pointer, text::prose(given, longest))
    }

    fn kept(&mut self, pointer: impl Display, text: Result<String, BadText>) -> String {
        text.unwrap_or_else(|bad| {
            self.fault(pointer, bad);
            String::new()
        })
    }

    /// An amount of a known currency, at least `least`.
    pub fn money(&mut self, pointer: impl Display, money: Money, currency: Currency, least: Minor) -> Minor {
        if !(least..=LARGEST).contains(&money.amount) {
            self.fault(format_args!("{pointer}/amount"), format_args!("must be {least} to {LARGEST}"));
        }
        if money.currency != currency {
            self.fault(format_args!("{pointer}/currency"), format_args!("must be {currency}"));
        }
        money.amount
    }
}
