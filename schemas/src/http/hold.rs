//! Holds: an open one stops capture and shipping, and nothing else.

use domain::ids::HoldId;
use domain::order;
use domain::personal::Personal;
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Names;
use super::check::{Check, Invalid};
use super::instant::{LONGEST_HOLD_S, Span};

/// A hold to be placed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlaceHold {
    /// The hold's id, if the caller makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub hold_id: Option<HoldId>,
    /// Why.
    #[schema(min_length = 1, max_length = 200, example = "fraud_check")]
    pub reason: String,
    /// More about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 4000)]
    pub note: Option<String>,
    /// When it is released automatically, with the resolution `until`, unless it was released before: after now, and at
    /// most 366 days ahead. Without it, the hold stays until a request releases it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<Timestamp>,
}

/// How a hold is released.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReleaseHold {
    /// The resolution; `released` by default.
    #[serde(default)]
    #[param(min_length = 1, max_length = 200, example = "cleared")]
    pub resolution: Option<String>,
}

/// An open hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HoldBody {
    /// The hold.
    #[schema(value_type = uuid::Uuid)]
    pub hold_id: HoldId,
    /// Why.
    #[schema(example = "fraud_check")]
    pub reason: String,
    /// More about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// When it is released automatically, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<Timestamp>,
}

impl PlaceHold {
    /// Notes an end that is over already or lies too far ahead.
    pub fn in_time(&self, now: Timestamp, check: &mut Check) {
        check.instant("/until", self.until, now, Span::Ends(LONGEST_HOLD_S));
    }

    /// The hold's id: the caller's, or one made from the command's.
    #[must_use]
    pub fn hold_id(&self, names: Names) -> HoldId {
        self.hold_id.unwrap_or_else(|| HoldId(names.of("hold")))
    }

    /// The command to place it.
    ///
    /// # Errors
    /// With everything that is out of bounds.
    pub fn try_into_command(self, names: Names) -> Result<order::Command, Invalid> {
        let mut check = Check::new();
        let reason = check.text("/reason", &self.reason, 200);
        let note = self.note.as_deref().map(|note| check.prose("/note", note, 4_000));
        check.finish(order::Command::PlaceHold {
            hold_id: self.hold_id(names),
            reason,
            note: note.map(Personal::Known),
            until: self.until,
        })
    }
}

impl ReleaseHold {
    /// The command to release a hold.
    ///
    /// # Errors
    /// With everything that is out of bounds.
    pub fn try_into_command(self, hold_id: HoldId) -> Result<order::Command, Invalid> {
        let mut check = Check::new();
        let resolution = check.text("resolution", self.resolution.as_deref().unwrap_or("released"), 200);
        check.finish(order::Command::ReleaseHold { hold_id, resolution })
    }
}

impl HoldBody {
    /// The view of an open hold.
    #[must_use]
    pub fn new(id: HoldId, state: &order::state::Hold) -> Self {
        Self {
            hold_id: id,
            reason: state.reason.clone(),
            note: state.note.as_ref().and_then(Personal::known).cloned(),
            until: state.until,
        }
    }
}
