//! Notes and tags of an order. A note's text is personal: once erased it is never shown again.

use domain::ids::NoteId;
use domain::order;
use domain::personal::Personal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Names;
use super::check::{Check, Invalid};
use super::placement::tags;
use super::status::Visibility;

/// A note to be added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddNote {
    /// The note's id, if the caller makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub note_id: Option<NoteId>,
    /// What it says.
    #[schema(min_length = 1, max_length = 4000, example = "Leave it with the neighbour.")]
    pub text: String,
    /// Who may read it; the shop's people if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visibility: Option<Visibility>,
}

/// All the labels of an order from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetTags {
    /// All of them.
    #[schema(max_items = 50, example = json!(["gift"]))]
    pub tags: Vec<String>,
}

/// A note.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NoteBody {
    /// The note.
    #[schema(value_type = uuid::Uuid)]
    pub note_id: NoteId,
    /// Its text; left out once it was erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Who may read it.
    pub visibility: Visibility,
}

impl AddNote {
    /// The note's id: the caller's, or one made from the command's.
    #[must_use]
    pub fn note_id(&self, names: Names) -> NoteId {
        self.note_id.unwrap_or_else(|| NoteId(names.of("note")))
    }

    /// The command to add it.
    ///
    /// # Errors
    /// With everything that is out of bounds.
    pub fn try_into_command(self, names: Names) -> Result<order::Command, Invalid> {
        let mut check = Check::new();
        let text = check.prose("/text", &self.text, 4_000);
        check.own_id("/note_id", self.note_id);
        check.finish(order::Command::AddNote {
            note_id: self.note_id(names),
            text: Personal::Known(text),
            visibility: self.visibility.map(Into::into).unwrap_or_default(),
        })
    }
}

impl TryFrom<SetTags> for order::Command {
    type Error = Invalid;

    fn try_from(body: SetTags) -> Result<Self, Invalid> {
        let mut check = Check::new();
        let tags = tags(&mut check, &body.tags);
        check.finish(Self::SetTags { tags })
    }
}

impl NoteBody {
    /// The view of a note.
    #[must_use]
    pub fn new(id: NoteId, state: &order::state::Note) -> Self {
        Self { note_id: id, text: state.text.known().cloned(), visibility: state.visibility.into() }
    }
}
