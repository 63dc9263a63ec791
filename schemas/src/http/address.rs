//! The shipping address of an order. All of it is personal: once erased it is never shown again.

use domain::order;
use domain::personal::Personal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::check::{Check, Invalid};

/// An address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Address {
    /// The recipient.
    #[schema(min_length = 1, max_length = 200, example = "Ada Lovelace")]
    pub name: String,
    /// Street, house, floor: one entry a line.
    #[serde(default)]
    #[schema(max_items = 6, example = json!(["12 St James's Square"]))]
    pub lines: Vec<String>,
    /// Town.
    #[schema(min_length = 1, max_length = 120, example = "London")]
    pub city: String,
    /// Postal code, if the country has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 20, example = "SW1Y 4JH")]
    pub postcode: Option<String>,
    /// ISO 3166-1 alpha-2 country code, or the country's name where only that is known.
    #[schema(min_length = 2, max_length = 60, example = "GB")]
    pub country: String,
}

/// A new shipping address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeAddress {
    /// Where the order goes from now on.
    pub ship_to: Address,
}

impl Address {
    /// The domain's address; faults are noted under `at`.
    pub fn check(self, check: &mut Check, at: &str) -> order::event::Address {
        if self.lines.len() > 6 {
            check.fault(format_args!("{at}/lines"), "must have at most 6 entries");
        }
        let lines = self.lines.iter().enumerate().take(6);
        order::event::Address {
            name: check.text(format_args!("{at}/name"), &self.name, 200),
            lines: lines.map(|(i, line)| check.text(format_args!("{at}/lines/{i}"), line, 200)).collect(),
            city: check.text(format_args!("{at}/city"), &self.city, 120),
            postcode: check.optional_text(format_args!("{at}/postcode"), self.postcode.as_deref(), 20),
            country: check.long_text(format_args!("{at}/country"), &self.country, 2, 60),
        }
    }

    /// The view of an address; none once it was erased.
    #[must_use]
    pub fn shown(address: &Personal<order::event::Address>) -> Option<Self> {
        address.known().map(|address| Self {
            name: address.name.clone(),
            lines: address.lines.clone(),
            city: address.city.clone(),
            postcode: address.postcode.clone(),
            country: address.country.clone(),
        })
    }
}

impl TryFrom<ChangeAddress> for order::Command {
    type Error = Invalid;

    fn try_from(body: ChangeAddress) -> Result<Self, Invalid> {
        let mut check = Check::new();
        let ship_to = Personal::Known(body.ship_to.check(&mut check, "/ship_to"));
        check.finish(Self::ChangeAddress { ship_to })
    }
}
