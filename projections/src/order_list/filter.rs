//! The filters and sorts of the list of orders: `field[op]=value`. A parameter that does not parse is refused, never
//! ignored.

use domain::ids::{Channel, CustomerRef, ExternalRef, Sku};
use domain::money::Currency;
use domain::order::event::PaymentStatus;
use domain::order::state::{FulfilmentStatus, ReturnStatus, Status, StockStatus};
use domain::text;
use domain::time::Timestamp;

use crate::models::from_word;
use crate::value::Value;

/// The most values that `in` may name. For each of them a page is read from its index, and the pages are merged by
/// their keys, so at most this many pages of keys are sorted.
pub(super) const MOST_VALUES: usize = 20;
/// The longest text that a filter may hold, in bytes.
const LONGEST: usize = 512;

/// How a field is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// It is this.
    Eq,
    /// It is one of these.
    In,
    /// It is this or more.
    Gte,
    /// It is less.
    Lt,
    /// It begins with this.
    Prefix,
}

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    pub(super) field: &'static Field,
    pub(super) op: Op,
    pub(super) values: Vec<Value>,
}

/// A filter or a sort that the list does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{parameter}: {what}")]
pub struct BadFilter {
    /// The parameter of the request.
    pub parameter: String,
    /// What is wrong with it, as a predicate of the parameter.
    pub what: String,
}

/// How a field's values are read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reading {
    /// One word of a closed set.
    Word(fn(&str) -> bool),
    /// A name, written as the edge writes it.
    Name(fn(&str) -> Option<String>),
    /// An instant.
    Instant,
    /// A whole number.
    Number,
    /// `true` or `false`.
    Flag,
    /// A label of the order, of this kind.
    Label(fn(&str) -> Option<String>),
}

/// A field of the list.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) reading: Reading,
}

const FIELDS: &[Field] = &[
    Field { name: "status", reading: Reading::Word(|text| from_word::<Status>(text).is_some()) },
    Field { name: "stock_status", reading: Reading::Word(|text| from_word::<StockStatus>(text).is_some()) },
    Field { name: "payment_status", reading: Reading::Word(|text| from_word::<PaymentStatus>(text).is_some()) },
    Field { name: "fulfilment_status", reading: Reading::Word(|text| from_word::<FulfilmentStatus>(text).is_some()) },
    Field { name: "return_status", reading: Reading::Word(|text| from_word::<ReturnStatus>(text).is_some()) },
    Field { name: "on_hold", reading: Reading::Flag },
    Field { name: "payment_ending", reading: Reading::Flag },
    Field { name: "channel", reading: Reading::Name(|text| Some(text.parse::<Channel>().ok()?.as_str().to_owned())) },
    Field {
        name: "external_ref",
        reading: Reading::Name(|text| Some(text.parse::<ExternalRef>().ok()?.as_str().to_owned())),
    },
    Field {
        name: "customer",
        reading: Reading::Name(|text| Some(text.parse::<CustomerRef>().ok()?.as_str().to_owned())),
    },
    Field { name: "currency", reading: Reading::Name(|text| Some(text.parse::<Currency>().ok()?.code().to_owned())) },
    Field { name: "placed_at", reading: Reading::Instant },
    Field { name: "updated_at", reading: Reading::Instant },
    Field { name: "total", reading: Reading::Number },
    Field { name: "sku", reading: Reading::Label(|text| Some(text.parse::<Sku>().ok()?.as_str().to_owned())) },
    Field { name: "tag", reading: Reading::Label(|text| Some(text::nfc(text))) },
];

impl PartialEq for Field {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Field {}

impl Filter {
    /// The names of the fields that the list can be narrowed by.
    pub fn fields() -> impl Iterator<Item = &'static str> {
        FIELDS.iter().map(|field| field.name)
    }

    /// A refusal of this filter.
    pub(super) fn bad(&self, what: String) -> BadFilter {
        let name = self.field.name;
        let op = match self.op {
            Op::Eq => "",
            Op::In => "[in]",
            Op::Gte => "[gte]",
            Op::Lt => "[lt]",
            Op::Prefix => "[prefix]",
        };
        BadFilter { parameter: format!("{name}{op}"), what }
    }

    /// A filter from a query parameter, for example `status` or `placed_at[gte]`.
    ///
    /// # Errors
    /// If there is no such field, the field does not support the comparison, or the value is invalid.
    pub fn parse(parameter: &str, value: &str) -> Result<Self, BadFilter> {
        let bad = |what: String| BadFilter { parameter: parameter.chars().take(80).collect(), what };
        let (name, op) = match parameter.strip_suffix(']').and_then(|text| text.split_once('[')) {
            Some((name, op)) => (name, op),
            None => (parameter, "eq"),
        };
        let op = match op {
            "eq" => Op::Eq,
            "in" => Op::In,
            "gte" => Op::Gte,
            "lt" => Op::Lt,
            "prefix" => Op::Prefix,
            _ => return Err(bad("supports only eq, in, gte, lt and prefix".into())),
        };
        let Some(field) = FIELDS.iter().find(|field| field.name == name) else {
            return Err(bad(format!(
                "is not a filter; the list has {}",
                Self::fields().collect::<Vec<_>>().join(", ")
            )));
        };
        if !field.reading.allows(op) {
            return Err(bad(format!("{name} does not support this comparison")));
        }
        if value.len() > LONGEST * MOST_VALUES {
            return Err(bad("is too long".into()));
        }
        let texts: Vec<_> = if op == Op::In { value.split(',').collect() } else { vec![value] };
        if texts.len() > MOST_VALUES {
            return Err(bad(format!("names more than {MOST_VALUES} values")));
        }
        let mut values =
            texts.into_iter().map(|text| field.read(text, op).map_err(bad)).collect::<Result<Vec<_>, _>>()?;
        values.sort();
        values.dedup();
        Ok(Self { field, op, values })
    }
}

impl Reading {
    fn allows(self, op: Op) -> bool {
        match self {
            Self::Word(_) | Self::Label(_) => matches!(op, Op::Eq | Op::In),
            Self::Name(_) => matches!(op, Op::Eq | Op::In | Op::Prefix),
            Self::Instant | Self::Number => matches!(op, Op::Eq | Op::Gte | Op::Lt),
            Self::Flag => op == Op::Eq,
        }
    }
}

impl Field {
    /// Every field.
    pub(super) fn all() -> impl Iterator<Item = &'static Self> {
        FIELDS.iter()
    }

    /// Whether the list can be sorted by it.
    pub(super) fn is_sort(&self) -> bool {
        matches!(self.reading, Reading::Instant | Reading::Number)
    }

    /// A value as it is written in a request.
    pub(super) fn word(&self, value: &Value) -> String {
        match (self.reading, value) {
            (Reading::Flag, Value::Int(flag)) => (*flag != 0).to_string(),
            (_, Value::Int(number)) => number.to_string(),
            (_, Value::Text(text)) => text.clone(),
            (_, Value::Null | Value::Blob(_)) => String::new(),
        }
    }

    fn read(&self, text: &str, op: Op) -> Result<Value, String> {
        if text.is_empty() || text.len() > LONGEST || text.chars().any(char::is_control) {
            return Err("holds a value that is empty, too long or not printable".into());
        }
        match self.reading {
            Reading::Word(known) if known(text) => Ok(text.into()),
            Reading::Word(_) => Err(format!("there is no {} `{text}`", self.name)),
            Reading::Name(_) if op == Op::Prefix => Ok(text::nfc(text).into()),
            Reading::Name(known) | Reading::Label(known) => {
                known(text).map(Value::Text).ok_or_else(|| format!("`{text}` cannot be a {}", self.name))
            }
            Reading::Instant => text.parse::<Timestamp>().map(|at| at.micros().into()).map_err(|bad| bad.to_string()),
            Reading::Number => {
                text.parse::<i64>().map(Value::Int).map_err(|_| format!("`{text}` is not a whole number"))
            }
            Reading::Flag => match text {
                "true" => Ok(true.into()),
                "false" => Ok(false.into()),
                _ => Err("must be true or false".into()),
            },
        }
    }
}

/// What the list is sorted by; the order's id breaks ties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort {
    pub(super) column: &'static str,
    pub(super) falling: bool,
}

impl Default for Sort {
    fn default() -> Self {
        Self { column: "placed_at", falling: true }
    }
}

impl Sort {
    /// The allowed sorts.
    pub(super) const KNOWN: &str = "must be placed_at, updated_at or total, with - before it for descending order";

    /// A sort from a query parameter, for example `-placed_at`.
    ///
    /// # Errors
    /// If the list does not support the sort.
    pub fn parse(value: &str) -> Result<Self, BadFilter> {
        let (name, falling) = value.strip_prefix('-').map_or((value, false), |name| (name, true));
        let column = ["placed_at", "updated_at", "total"].into_iter().find(|known| *known == name);
        column
            .map(|column| Self { column, falling })
            .ok_or_else(|| BadFilter { parameter: "sort".into(), what: Self::KNOWN.into() })
    }
}
