//! What a read model's tables are made of: values, rows, tables. Plain data that either database can keep; it holds no SQL but names.

use crate::store::Error;

/// One value of a row. Instants are microseconds, flags are 0 and 1, ids are text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// Nothing.
    Null,
    /// A whole number.
    Int(i64),
    /// A text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Int(i64::from(number))
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Int(i64::from(flag))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A row as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row(pub Vec<Value>);

impl Row {
    /// The number in a column.
    ///
    /// # Errors
    /// If the column holds something else.
    pub fn int(&self, column: usize) -> Result<i64, Error> {
        match self.0.get(column) {
            Some(Value::Int(number)) => Ok(*number),
            other => Err(unexpected(column, other)),
        }
    }

    /// The number in a column that is never negative.
    ///
    /// # Errors
    /// If the column holds something else.
    pub fn count(&self, column: usize) -> Result<u64, Error> {
        u64::try_from(self.int(column)?).map_err(|_| unexpected(column, self.0.get(column)))
    }

    /// The number in a column, as a quantity.
    ///
    /// # Errors
    /// If the column holds something else.
    pub fn units(&self, column: usize) -> Result<u32, Error> {
        u32::try_from(self.int(column)?).map_err(|_| unexpected(column, self.0.get(column)))
    }

    /// The flag in a column.
    ///
    /// # Errors
    /// If the column holds something else.
    pub fn flag(&self, column: usize) -> Result<bool, Error> {
        Ok(self.int(column)? != 0)
    }

    /// The text in a column.
    ///
    /// # Errors
    /// If the column holds something else.
    pub fn text(&self, column: usize) -> Result<&str, Error> {
        match self.0.get(column) {
            Some(Value::Text(text)) => Ok(text),
            other => Err(unexpected(column, other)),
        }
    }

    /// The text in a column that may hold none.
    ///
    /// # Errors
    /// If the column holds something else.
    pub fn maybe_text(&self, column: usize) -> Result<Option<&str>, Error> {
        match self.0.get(column) {
            Some(Value::Null) => Ok(None),
            _ => self.text(column).map(Some),
        }
    }

    /// The number in a column that may hold none.
    ///
    /// # Errors
    /// If the column holds something else.
    pub fn maybe_int(&self, column: usize) -> Result<Option<i64>, Error> {
        match self.0.get(column) {
            Some(Value::Null) => Ok(None),
            _ => self.int(column).map(Some),
        }
    }

    /// Parses the text in a column.
    ///
    /// # Errors
    /// If the column holds something else.
    pub fn parsed<T: std::str::FromStr>(&self, column: usize) -> Result<T, Error> {
        self.text(column)?.parse().map_err(|_| unexpected(column, self.0.get(column)))
    }

    /// Decodes the text in a column with the stored form of a value; it is never judged again.
    ///
    /// # Errors
    /// If the column holds something else.
    pub fn stored<T: serde::de::DeserializeOwned>(&self, column: usize) -> Result<T, Error> {
        let text: serde::de::value::StrDeserializer<'_, serde::de::value::Error> =
            serde::de::IntoDeserializer::into_deserializer(self.text(column)?);
        T::deserialize(text).map_err(|_| unexpected(column, self.0.get(column)))
    }

    /// Parses the text in a nullable column.
    ///
    /// # Errors
    /// If the column holds something else.
    pub fn maybe_parsed<T: std::str::FromStr>(&self, column: usize) -> Result<Option<T>, Error> {
        match self.0.get(column) {
            Some(Value::Null) => Ok(None),
            _ => self.parsed(column).map(Some),
        }
    }

    /// Decodes the JSON in a column.
    ///
    /// # Errors
    /// If the column holds something else.
    pub fn json<T: serde::de::DeserializeOwned>(&self, column: usize) -> Result<T, Error> {
        serde_json::from_str(self.text(column)?)
            .map_err(|error| Error::Read(format!("column {column} is not the JSON that was expected: {error}")))
    }
}

fn unexpected(column: usize, value: Option<&Value>) -> Error {
    Error::Read(format!("column {column} holds {value:?}, which this version does not write"))
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Whole numbers.
    Int,
    /// Texts, compared byte by byte.
    Text,
}

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Whether it may hold nothing.
    pub null: bool,
}

/// A column of whole numbers.
#[must_use]
pub const fn int(name: &'static str) -> Column {
    Column { name, kind: Kind::Int, null: false }
}

/// A column of texts.
#[must_use]
pub const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text, null: false }
}

impl Column {
    /// The same, and it may hold nothing.
    #[must_use]
    pub const fn or_null(self) -> Self {
        Self { null: true, ..self }
    }
}

/// An index.
#[derive(Clone, Copy, Debug)]
pub struct Index {
    /// What it finds by; part of its name.
    pub name: &'static str,
    /// Its columns, as SQL lists them.
    pub columns: &'static str,
    /// Which rows it has, as a condition that a query must repeat to the letter; all of them if `None`.
    pub only: Option<&'static str>,
}

/// An index over all rows.
#[must_use]
pub const fn index(name: &'static str, columns: &'static str) -> Index {
    Index { name, columns, only: None }
}

impl Index {
    /// The same over those rows alone that meet a condition: rare ones, which it finds without being written for all others.
    #[must_use]
    pub const fn only(self, condition: &'static str) -> Self {
        Self { only: Some(condition), ..self }
    }
}

/// What writing a row of a table means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// The row takes the place of the one with its key.
    Rows,
    /// The row's last column is added to the one with its key.
    Tally,
}

/// A table of a read model.
#[derive(Debug)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// What writing to it means.
    pub shape: Shape,
    /// Its columns; the first ones are the key.
    pub columns: &'static [Column],
    /// How many columns the key has.
    pub key: usize,
    /// Its indexes.
    pub indexes: &'static [Index],
}

/// How a read model may be spread over workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// Each row comes from one stream: it may run partitioned.
    ByStream,
    /// One ordered worker.
    Single,
}

/// The declaration of a read model.
#[derive(Debug)]
pub struct Spec {
    /// Its name.
    pub name: &'static str,
    /// The version of its tables and its apply: rows of another version are built again.
    pub version: u32,
    /// How it may be spread over workers.
    pub spread: Spread,
    /// Its tables.
    pub tables: &'static [&'static Table],
}
