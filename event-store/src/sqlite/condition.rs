//! How a store is that is at work: what has been proved of it, and what it cannot do just now.

use crate::record::Position;

/// How a store is that is at work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// Up to where the log has been proved since the store was opened.
    pub proved_to: Position,
    /// The first position known not to hold what was written, and what does not fit there. Its record is not served.
    pub damaged: Option<(Position, String)>,
    /// Why the index is being made again: what needs it is answered *not now* meanwhile.
    pub rebuilding: Option<String>,
    /// Why the index cannot be written. What is not in it is kept in memory.
    pub unwritable: Option<String>,
    /// That memory is full: the writer waits until the index can be written.
    pub waiting: bool,
}

impl Condition {
    /// What is wrong, in words; none if nothing is.
    #[must_use]
    pub fn complaint(&self) -> Option<String> {
        let mut said = Vec::new();
        if let Some((position, what)) = &self.damaged {
            said.push(format!(
                "the log is damaged at position {position}: {what}; stop, keep the files, restore a backup"
            ));
        }
        if let Some(why) = &self.rebuilding {
            said.push(format!("the index is being made again: {why}"));
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
