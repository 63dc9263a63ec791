//! Rows of a CSV file (RFC 4180), read strictly: what a spreadsheet or an editor shows is what is read, or it is refused with the line that
//! they show. The `csv` crate takes text after a closing quote and a quote that is never closed for part of a field, and counts lines
//! otherwise than editors do; where rows are well formed, both read the same (a property holds them together).

use std::borrow::Cow;

use domain::ids::ExternalRef;

use super::content::Unreadable;
use super::price::shorten;
use super::whole::Of;

/// What a table may have.
pub(super) struct Form {
    /// The columns that are known; the first of them have to be there.
    pub(super) columns: &'static [&'static str],
    /// How many have to be there.
    pub(super) compulsory: usize,
    /// Whether there may be others, which are passed over.
    pub(super) others: bool,
}

/// A row that has a value.
pub(super) struct Row<'a> {
    /// Its line in the file, counted from 1.
    pub(super) line: u64,
    /// Its cells, trimmed.
    cells: Vec<Cow<'a, [u8]>>,
}

/// A table whose header was read.
pub(super) struct Table<'a> {
    reader: Reader<'a>,
    width: usize,
    /// The place of each known column.
    places: Vec<Option<usize>>,
    form: &'static Form,
}

/// The most cells of a row: many more than any layout has columns, and few enough that a file of commas takes no memory.
const MOST_CELLS: usize = 1_000;
/// The code of a header that stands among the rows.
const HEADER_AGAIN: &str = "header-again";

/// Why a row is refused: a stable code, and what a person reads.
pub(super) type Refused = (&'static str, String);

impl<'a> Table<'a> {
    /// Reads up to the header.
    ///
    /// # Errors
    /// If the first row with a value is no header of this form, or a quote is never closed.
    pub(super) fn new(content: &'a [u8], form: &'static Form) -> Result<Self, Unreadable> {
        let mut reader = Reader { content, at: 0, line: 1 };
        let header = reader.next()?.ok_or_else(|| Unreadable::NoHeader("the file has no row".into()))?;
        let mut places = vec![None; form.columns.len()];
        for (place, cell) in header.cells.iter().enumerate() {
            let name = std::str::from_utf8(cell)
                .map_err(|_| Unreadable::NoHeader("it is not UTF-8: save the file as UTF-8".into()))?
                .trim();
            if name.is_empty() {
                return Err(Unreadable::NoHeader(format!("column {} has no name: name it or remove it", place + 1)));
            }
            match form.columns.iter().position(|column| *column == name) {
                Some(known) if places[known].is_some() => return Err(Unreadable::ColumnTwice(form.columns[known])),
                Some(known) => places[known] = Some(place),
                None if form.others => {}
                None => {
                    let expected = form.columns.join(", ");
                    return Err(Unreadable::UnknownColumn { column: shorten(name), expected });
                }
            }
        }
        for (name, place) in form.columns.iter().zip(&places).take(form.compulsory) {
            if place.is_none() {
                return Err(Unreadable::NoColumn(name));
            }
        }
        Ok(Self { reader, width: header.cells.len(), places, form })
    }

    /// The next row that has a value.
    ///
    /// # Errors
    /// If what follows cannot be told apart into rows.
    pub(super) fn next(&mut self) -> Result<Option<Row<'a>>, Unreadable> {
        self.reader.next()
    }

    /// Whose row it is that is refused: its order's, whose number is the first known column. If the row is not as wide as the header, or
    /// has no number there, any of its cells may be the number. Where the line end between two rows is lost, the end of one and the number
    /// of the other may share a cell.
    pub(super) fn whose(&self, row: &Row<'_>, refused: &Refused) -> Of {
        if refused.0 == HEADER_AGAIN {
            return Of::Nobody;
        }
        let fits = row.cells.len() == self.width;
        let cell = self.places.first().copied().flatten().filter(|_| fits).and_then(|place| row.cells.get(place));
        match cell.and_then(|cell| Row::number(cell)) {
            Some(number) => Of::Order(number),
            None => {
                let whole = row.cells.iter().filter_map(|cell| Row::number(cell));
                let joint = (row.cells.len() + 1 == 2 * self.width).then(|| Row::ends(&row.cells[self.width - 1]));
                Of::Unknown(whole.chain(joint.into_iter().flatten()).collect())
            }
        }
    }

    /// The cells of a row in the order of the known columns; empty where the file has no such column.
    ///
    /// # Errors
    /// If the row is not as wide as the header, is the header, or is not UTF-8.
    pub(super) fn cells<'r>(&self, row: &'r Row<'_>) -> Result<Vec<&'r str>, Refused> {
        if row.cells.len() != self.width {
            let (fields, columns) = (row.cells.len(), self.width);
            let reason = format!(
                "the row has {fields} fields, and the header {columns} columns: quote a field with a comma in it"
            );
            return Err(("row-length", reason));
        }
        let mut cells = Vec::with_capacity(self.places.len());
        for (place, column) in self.places.iter().zip(self.form.columns) {
            let cell = place.and_then(|place| row.cells.get(place)).map_or(&b""[..], |cell| &**cell);
            let cell = std::str::from_utf8(cell)
                .map_err(|_| ("not-utf8", format!("{column} is not UTF-8: save the file as UTF-8")))?;
            cells.push(cell.trim());
        }
        let is_header = |((cell, column), place): ((&&str, &&str), &Option<usize>)| place.is_none() || cell == column;
        if cells.iter().zip(self.form.columns).zip(&self.places).all(is_header) {
            return Err((HEADER_AGAIN, "the header stands here again: remove the line".into()));
        }
        Ok(cells)
    }
}

impl Row<'_> {
    /// The number of an order that a cell can be, as orders are named.
    fn number(cell: &[u8]) -> Option<String> {
        let text = std::str::from_utf8(cell).ok()?;
        ExternalRef::try_new(text.trim()).ok().map(String::from)
    }

    /// The numbers that a cell may begin or end with.
    fn ends(cell: &[u8]) -> impl Iterator<Item = String> + '_ {
        let longest = cell.len().min(ExternalRef::LONGEST * char::MAX.len_utf8());
        (1..=longest).flat_map(|size| [&cell[..size], &cell[cell.len() - size..]]).filter_map(Self::number)
    }
}

/// Splits content into rows.
struct Reader<'a> {
    content: &'a [u8],
    at: usize,
    line: u64,
}

impl<'a> Reader<'a> {
    /// The next row that has a value; lines without one are passed over.
    fn next(&mut self) -> Result<Option<Row<'a>>, Unreadable> {
        while self.at < self.content.len() {
            let row = self.row()?;
            if row.cells.iter().any(|cell| !cell.is_empty()) {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    fn row(&mut self) -> Result<Row<'a>, Unreadable> {
        let line = self.line;
        let mut cells = Vec::new();
        loop {
            if cells.len() == MOST_CELLS {
                return Err(Unreadable::TooManyCells { line, most: MOST_CELLS });
            }
            let cell = if self.content.get(self.at) == Some(&b'"') { self.quoted()? } else { self.bare() };
            cells.push(cell);
            match self.content.get(self.at) {
                Some(b',') => self.at += 1,
                None => return Ok(Row { line, cells }),
                Some(_) => {
                    self.end_line();
                    return Ok(Row { line, cells });
                }
            }
        }
    }

    /// A cell without quotes around it; those within it are characters as any other.
    fn bare(&mut self) -> Cow<'a, [u8]> {
        let rest = &self.content[self.at..];
        let length = rest.iter().position(|byte| matches!(byte, b',' | b'\n' | b'\r')).unwrap_or(rest.len());
        self.at += length;
        Cow::Borrowed(rest[..length].trim_ascii())
    }

    fn quoted(&mut self) -> Result<Cow<'a, [u8]>, Unreadable> {
        let begun = self.line;
        self.at += 1;
        let start = self.at;
        let mut unescaped: Option<Vec<u8>> = None;
        let mut copied = start;
        loop {
            match self.content.get(self.at) {
                None => return Err(Unreadable::QuoteOpen { line: begun }),
                Some(b'"') if self.content.get(self.at + 1) == Some(&b'"') => {
                    let text = unescaped.get_or_insert_default();
                    text.extend_from_slice(&self.content[copied..=self.at]);
                    self.at += 2;
                    copied = self.at;
                }
                Some(b'"') => break,
                Some(b'\n' | b'\r') => self.end_line(),
                Some(_) => self.at += 1,
            }
        }
        let rest = &self.content[copied..self.at];
        let cell = match unescaped {
            None => Cow::Borrowed(rest.trim_ascii()),
            Some(mut text) => {
                text.extend_from_slice(rest);
                Cow::Owned(text.trim_ascii().to_vec())
            }
        };
        self.at += 1;
        match self.content.get(self.at) {
            None | Some(b',' | b'\n' | b'\r') => Ok(cell),
            // Which rows stand between the quotes is not known, nor to which orders they belong.
            Some(_) => Err(Unreadable::TextAfterQuote { line: self.line, begun }),
        }
    }

    /// Moves past the end of a line: CRLF, LF, or CR alone.
    fn end_line(&mut self) {
        let crlf = self.content[self.at..].starts_with(b"\r\n");
        self.at += if crlf { 2 } else { 1 };
        self.line += 1;
    }
}

#[cfg(test)]
mod tests;
