//! Changing the lines of a placed order: the body of `PATCH /v1/orders/{id}/lines`. What it leads to is decided by the order.

use domain::ids::{EditId, LineId};
use domain::money::Currency;
use domain::order;
use domain::order::line::UnitPrice;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Names;
use super::check::{Check, Invalid};
use super::line::NewLine;
use super::money::Money;

/// The most changes of one edit: the event contains each changed line in full, and an event's size is limited.
const MOST_CHANGES: usize = 500;

/// Changes to an order's lines, made together or not at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditLines {
    /// The edit's id, if the caller makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub edit_id: Option<EditId>,
    /// What to change, in this order.
    #[schema(min_items = 1, max_items = 500)]
    pub changes: Vec<Change>,
    /// Why.
    #[schema(min_length = 1, max_length = 500, example = "the customer rang")]
    pub reason: String,
}

/// One change of an edit: an object with one field, whose name is the kind of change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    /// Add a line. Its `line_id` is compulsory here.
    Add(NewLine),
    /// Order more or fewer units of a line.
    SetQty(SetQty),
    /// Change a line's price.
    Reprice(Reprice),
    /// Change a line's discount.
    Discount(SetDiscount),
}

/// A line's new quantity: never fewer than are cancelled, shipped or on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetQty {
    /// The line.
    #[schema(value_type = u32, minimum = 1, example = 1)]
    pub line_id: LineId,
    /// Units ordered from now on.
    #[schema(minimum = 1, maximum = 1_000_000, example = 3)]
    pub qty: u32,
}

/// A line's new price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reprice {
    /// The line.
    #[schema(value_type = u32, minimum = 1, example = 1)]
    pub line_id: LineId,
    /// Price of one unit from now on.
    #[schema(value_type = String, pattern = r"^[0-9]{1,12}(\.[0-9]{1,8})?$", example = "2.10")]
    pub unit_price: UnitPrice,
}

/// A line's new discount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetDiscount {
    /// The line.
    #[schema(value_type = u32, minimum = 1, example = 1)]
    pub line_id: LineId,
    /// Discount on the whole line from now on.
    pub discount: Money,
}

impl EditLines {
    /// The currency that its amounts are in, if it names one.
    #[must_use]
    pub fn currency(&self) -> Option<Currency> {
        self.changes.iter().find_map(|change| match change {
            Change::Add(line) => line.discount.map(|discount| discount.currency),
            Change::Discount(set) => Some(set.discount.currency),
            Change::SetQty(_) | Change::Reprice(_) => None,
        })
    }

    /// The edit's id: the caller's, or one made from the command's.
    #[must_use]
    pub fn edit_id(&self, names: Names) -> EditId {
        self.edit_id.unwrap_or_else(|| EditId(names.of("edit")))
    }

    /// The command to edit an order whose amounts are in `currency`.
    ///
    /// # Errors
    /// With everything that is out of bounds.
    pub fn try_into_command(self, names: Names, currency: Currency) -> Result<order::Command, Invalid> {
        let edit_id = self.edit_id(names);
        let mut check = Check::new();
        let reason = check.text("/reason", &self.reason, 500);
        let mut changes = Vec::new();
        if self.changes.is_empty() || self.changes.len() > MOST_CHANGES {
            check.fault("/changes", format_args!("must have 1 to {MOST_CHANGES} entries"));
        } else {
            for (i, change) in self.changes.into_iter().enumerate() {
                changes.push(change.check(&mut check, i, currency));
            }
        }
        check.finish(order::Command::Edit(order::command::Edit { edit_id, changes, reason }))
    }
}

impl Change {
    fn check(self, check: &mut Check, i: usize, currency: Currency) -> order::command::Change {
        match self {
            Self::Add(line) => {
                if line.line_id.is_none() {
                    check.fault(format_args!("/changes/{i}/add/line_id"), "is compulsory");
                }
                let at = format!("/changes/{i}/add");
                order::command::Change::Add(line.check(check, &at, i + 1, currency))
            }
            Self::SetQty(SetQty { line_id, qty }) => {
                check.units(format_args!("/changes/{i}/set_qty/qty"), qty);
                order::command::Change::SetQty { line_id, qty }
            }
            Self::Reprice(Reprice { line_id, unit_price }) => order::command::Change::Reprice { line_id, unit_price },
            Self::Discount(SetDiscount { line_id, discount }) => order::command::Change::Discount {
                line_id,
                discount: check.money(format_args!("/changes/{i}/discount/discount"), discount, currency, 0),
            },
        }
    }
}
