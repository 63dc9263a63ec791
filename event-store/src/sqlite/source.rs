//! A store on SQLite as the source of a copy.

use async_trait::async_trait;
use uuid::Uuid;

use super::read_only::ReadOnly;
use super::rows::{self, read_error};
use crate::copy::{End, Source};
use crate::record::{Position, Record};
use crate::store::{Error, EventStore};

#[async_trait]
impl Source for ReadOnly {
    fn incarnation(&self) -> Uuid {
        EventStore::incarnation(self)
    }

    async fn end(&self) -> Result<End, Error> {
        self.readers
            .with(|reader| {
                let (head, answered_to) = rows::head(&reader.log).map_err(read_error)?;
                let ahead = rows::ahead(&reader.log).map_err(read_error)?;
                Ok(End { head, answered_to, for_a_test: ahead.is_some() })
            })
            .await
    }

    async fn raw(&self, after: Position, limit: usize) -> Result<Vec<Record>, Error> {
        self.readers
            .with(move |reader| {
                let (head, _) = rows::head(&reader.log).map_err(read_error)?;
                reader.raw(after, limit, head.position)
            })
            .await
    }
}
