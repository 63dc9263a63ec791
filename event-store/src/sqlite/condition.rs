//! The condition of a running store: what has been proved, and what it cannot do now.

use crate::record::Position;

/// How a store is that is at work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// Up to where the log has been proved since the store was opened.
    pub proved_to: Position,
    /// The first position whose record is known to be damaged, and the damage. The record is not served.
    pub damaged: Option<(Position, String)>,
    /// Why the index is being rebuilt: requests that need it get *not now* meanwhile.
    pub rebuilding: Option<String>,
    /// Why the index cannot be written. Records that are not in it are kept in memory.
    pub unwritable: Option<String>,
    /// That memory is full: the writer waits until the index can be written.
    pub waiting: bool,
}

impl Condition {
    /// The problem in words; `None` if there is none.
    #[must_use]
    pub fn complaint(&self) -> Option<String> {
        let mut said = Vec::new();
        if let Some((position, what)) = &self.damaged {
            said.push(format!(
                "the log is damaged at position {position}: {what}; stop, keep the files, restore a backup"
            ));
        }
        if let Some(why) = &self.rebuilding {
            said.push(format!("the index is being rebuilt: {why}"));
        }
        if let Some(why) = &self.unwritable {
            said.push(format!("the index cannot be written: {why}"));
        }
        if self.waiting {
            said.push("nothing is appended until the index can be written again".to_owned());
        }
        (!said.is_empty()).then(|| said.join("; "))
    }
}
