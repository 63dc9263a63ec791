//! A table of orders, written out in every form, reads back equal; one byte of it that is damaged is harmless or refused with its line.
#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::content::{Content, Unreadable};
use super::super::{orders, retail};

/// A line of an order: number, SKU, units, pence, title.
type Line = (u32, u32, u32, u32, String);

fn line() -> impl Strategy<Value = Line> {
    let title = prop_oneof![
        Just(String::new()),
        "[a-zé☕]{1,8}",
        Just("5\" nail, brass".to_owned()),
        Just("\"quoted\"".to_owned()),
        Just("a,b,,c".to_owned()),
    ];
    (1..7_u32, 1..5_u32, 1..20_u32, 0..100_000_u32, title)
}

/// How a table is written.
#[derive(Clone, Debug)]
struct Written {
    end: &'static str,
    quote_all: bool,
    blanks: Vec<usize>,
    commas: Vec<usize>,
    order: Vec<usize>,
    bom: bool,
    last_end: bool,
    retail: bool,
}

fn written(columns: usize) -> impl Strategy<Value = Written> {
    let places = || prop::collection::vec(0..12_usize, 0..3);
    let order = Just((0..columns).collect::<Vec<_>>()).prop_shuffle();
    let end = prop::sample::select(vec!["\n", "\r\n", "\r"]);
    (end, any::<bool>(), places(), places(), order, any::<bool>(), any::<bool>()).prop_map(
        move |(end, quote_all, blanks, commas, order, bom, last_end)| Written {
            end,
            quote_all,
            blanks,
            commas,
            order,
            bom,
            last_end,
            retail: columns == 8,
        },
    )
}

const RETAIL: [&str; 8] =
    ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"];
const ORDERS: [&str; 7] = ["external_ref", "placed_at", "sku", "qty", "unit_price", "title", "stocked"];

impl Written {
    fn cells(&self, (order, sku, qty, pence, title): &Line) -> Vec<String> {
        let price = format!("{}.{:02}", pence / 100, pence % 100);
        if self.retail {
            let cells = [
                format!("9{order}"),
                format!("S{sku}"),
                title.clone(),
                qty.to_string(),
                "2010-12-01 08:26:00".into(),
                price,
                "c1".into(),
                "United Kingdom".into(),
            ];
            return cells.into();
        }
        let at = "2024-05-01T10:00:00Z".into();
        let cells = [format!("9{order}"), at, format!("S{sku}"), qty.to_string(), price, title.clone(), "false".into()];
        cells.into()
    }

    fn cell(&self, text: &str) -> String {
        let needed = text.contains([',', '"', '\n', '\r']);
        if needed || self.quote_all { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
    }

    /// The file, and the lines on which its header and then each row stand.
    fn file(&self, rows: &[Line]) -> (Vec<u8>, Vec<u64>) {
        let header: Vec<String> =
            if self.retail { RETAIL.map(str::to_owned).to_vec() } else { ORDERS.map(str::to_owned).to_vec() };
        let all = std::iter::once(header.clone()).chain(rows.iter().map(|row| self.cells(row)));
        let (mut lines, mut at) = (Vec::new(), Vec::new());
        for (n, cells) in all.enumerate() {
            let blank = self.blanks.iter().filter(|place| **place == n).map(|_| String::new());
            let commas = self.commas.iter().filter(|place| **place == n && n > 0).map(|_| ",".repeat(header.len() - 1));
            lines.extend(blank.chain(commas));
            let cells: Vec<_> = self.order.iter().map(|place| self.cell(&cells[*place])).collect();
            lines.push(cells.join(","));
            at.push(lines.len() as u64);
        }
        let mut text = lines.join(self.end);
        if self.last_end {
            text.push_str(self.end);
        }
        let bom: &[u8] = if self.bom { b"\xEF\xBB\xBF" } else { b"" };
        ([bom, text.as_bytes()].concat(), at)
    }

    fn read(&self, file: &[u8]) -> Result<Content, Unreadable> {
        let file = super::super::content::without_bom(file);
        if self.retail { retail::parse(file) } else { orders::parse_csv(file) }
    }
}

/// What is read of each order: its lines as (SKU, units, price, title).
type Read = BTreeMap<String, Vec<(String, u32, String, String)>>;

fn read_of(content: &Content) -> Read {
    let lines = |sale: &super::super::content::Sale| {
        let lines = sale.lines.iter();
        let of = |line: &domain::order::command::NewLine| {
            (line.sku.to_string(), line.qty, String::from(line.unit_price.clone()), line.title.clone())
        };
        lines.map(of).collect()
    };
    content.sales.iter().map(|sale| (sale.external_ref.to_string(), lines(sale))).collect()
}

/// Whether a byte belongs to the number of an order, or ends the cell before or after it.
fn in_number(how: &Written, file: &[u8], place: usize) -> bool {
    let first = how.order.iter().position(|column| *column == 0).unwrap();
    let start = file[..place].iter().rposition(|byte| matches!(byte, b'\n' | b'\r')).map_or(0, |end| end + 1);
    let (mut column, mut quoted) = (0, false);
    for byte in &file[start..place] {
        match byte {
            b'"' => quoted = !quoted,
            b',' if !quoted => column += 1,
            _ => {}
        }
    }
    column == first || column + 1 == first
}

/// The orders that a damaged file still has, whichever value of one row the damage has changed into another valid one.
fn differs_in_one_row(before: &Read, after: &Read) -> bool {
    let rows = |read: &Read| -> Vec<(String, (String, u32, String, String))> {
        let orders = read.iter();
        orders.flat_map(|(order, lines)| lines.iter().map(move |line| (order.clone(), line.clone()))).collect()
    };
    let (before, mut after) = (rows(before), rows(after));
    let missing = before.into_iter().filter(|row| {
        let same = after.iter().position(|other| other == row);
        same.map(|place| after.remove(place)).is_none()
    });
    missing.count() <= 1 && after.len() <= 1
}

fn check_damage(how: &Written, rows: &[Line], place: usize, byte: u8) -> Result<(), TestCaseError> {
    let (file, mut at) = how.file(rows);
    let header = at.remove(0);
    let place = place % file.len();
    let mut damaged = file.clone();
    damaged[place] = byte;
    let whole = read_of(&how.read(&file).unwrap());
    let row_at = |offset: usize| {
        // The line of a byte: the ends of lines before it.
        let before = &file[..offset];
        let crlf = before.windows(2).filter(|pair| *pair == b"\r\n").count();
        let ends = before.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count() - crlf;
        ends as u64 + 1
    };
    let line = row_at(place);
    let near = |row: u64| row == line || row + 1 == line || row == line + 1;
    let content = match how.read(&damaged) {
        Ok(content) => content,
        Err(Unreadable::QuoteOpen { line: told }) => {
            prop_assert!(near(told), "the error names line {told}, and line {line} is damaged");
            return Ok(());
        }
        Err(Unreadable::TextAfterQuote { line: told, begun }) => {
            prop_assert!(
                near(told) || near(begun),
                "the error names lines {begun} to {told}, and line {line} is damaged"
            );
            return Ok(());
        }
        // The header is not that of the layout any more.
        Err(other) => {
            prop_assert!(near(header), "{other}, and line {line} is damaged");
            return Ok(());
        }
    };
    let read = read_of(&content);
    // A number that is changed makes a row that of another order, and that cannot be seen.
    let number_changed = read.keys().any(|order| !whole.contains_key(order)) || in_number(how, &file, place);
    if content.refused.is_empty() {
        prop_assert!(differs_in_one_row(&whole, &read), "{whole:?}\n{read:?}");
        return Ok(());
    }
    // Where the end of a line is damaged, the row is that line and the next one.
    // Where two rows contradict each other, either may be the damaged one: the reason names the other.
    let names = |reason: &str| {
        let told = reason.split("line ").skip(1).map(|rest| rest.chars().take_while(char::is_ascii_digit).collect());
        told.filter_map(|number: String| number.parse().ok()).any(near)
    };
    let own: Vec<_> = content.refused.iter().filter(|row| row.code != "order-refused").collect();
    // A damaged header has other columns than every row.
    let right = near(header) || own.iter().all(|row| near(row.line) || names(&row.reason));
    prop_assert!(right && !own.is_empty(), "of line {line}: {:?}", content.refused);
    // An order is taken with all of its rows or not at all, unless the damage has changed the number in one of them.
    for (order, lines) in &whole {
        let taken = read.get(order).map_or(0, Vec::len);
        prop_assert!(taken == 0 || taken == lines.len() || number_changed, "{order} has {taken} of {lines:?}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_table_reads_back_equal_however_it_is_written(
        rows in prop::collection::vec(line(), 1..12),
        one in written(8), two in written(8), other in written(7), last in written(7),
    ) {
        let (first, _) = one.file(&rows);
        let (second, _) = other.file(&rows);
        let (first, second) = (one.read(&first).unwrap(), other.read(&second).unwrap());
        prop_assert_eq!((&first.refused, &second.refused), (&vec![], &vec![]));
        for (how, like) in [(&two, &first), (&last, &second)] {
            let (file, mut at) = how.file(&rows);
            at.remove(0);
            let content = how.read(&file).unwrap();
            prop_assert_eq!(read_of(&content), read_of(like));
            let mut lines: Vec<u64> = content.sales.iter().flat_map(|sale| [sale.line].into_iter().chain(sale.more.clone())).collect();
            lines.sort_unstable();
            prop_assert_eq!(lines, at);
        }
        let titles = |content: &Content| read_of(content).into_values().flatten().map(|line| line.3).collect::<Vec<_>>();
        prop_assert_eq!(titles(&first), titles(&second));
        // A reader that shares no code with ours has the same cells.
        let (file, _) = one.file(&rows);
        let file = super::super::content::without_bom(&file);
        let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(file);
        let theirs = reader.records().map(|row| row.unwrap().iter().map(|cell| cell.trim().to_owned()).collect::<Vec<_>>());
        let theirs: Vec<_> = theirs.filter(|row| row.iter().any(|cell| !cell.is_empty())).collect();
        let (mut ours, mut reader) = (Vec::new(), super::Reader { content: file, at: 0, line: 1 });
        while let Some(row) = reader.next().unwrap() {
            ours.push(row.cells.iter().map(|cell| String::from_utf8(cell.to_vec()).unwrap()).collect::<Vec<_>>());
        }
        prop_assert_eq!(ours, theirs);
    }

    #[test]
    fn a_damaged_byte_is_harmless_or_refused_with_its_line(
        rows in prop::collection::vec(line(), 1..10),
        how in prop_oneof![written(8), written(7)],
        place in any::<usize>(),
        byte in prop_oneof![any::<u8>(), prop::sample::select(b",\"\n\r 9\0\xff".to_vec())],
    ) {
        check_damage(&how, &rows, place, byte)?;
    }
}

const HEADER: &str = "external_ref,placed_at,sku,qty,unit_price";

fn fault(content: &str) -> String {
    orders::parse_csv(content.as_bytes()).unwrap_err().to_string()
}

#[test]
fn a_file_that_cannot_be_told_apart_into_rows_is_refused_with_the_line() {
    let row = "7,2024-05-01T10:00:00Z,a,1,1.00";
    assert!(fault(&format!("{HEADER}\n{row}\n8,\"2024,a,1,1\n{row}\n")).starts_with("line 3: a quote is opened"));
    assert!(fault(&format!("{HEADER}\n{row}\n\"8\"x,2024,a,1,1\n")).starts_with("line 3: text follows the quote"));
    assert_eq!(fault(""), "the first row is no header: the file has no row");
    assert_eq!(
        fault("external_ref,placed_at,sku,qty,qty,unit_price\n"),
        "the column `qty` is there twice: remove one of them"
    );
    assert_eq!(fault("external_ref,placed_at,sku,qty\n"), "the column `unit_price` is missing");
    assert!(
        fault(&format!("{HEADER},colour\n")).starts_with("the column `colour` is not known: expected external_ref, ")
    );
}

#[test]
fn a_header_that_stands_there_again_is_a_row_that_is_refused_and_nothing_else_is() {
    let content = orders::parse_csv(
        format!("\n{HEADER}\n7,2024-05-01T10:00:00Z,a,1,1.00\n\n{HEADER}\n8,2024-05-01T10:00:00Z,a,1,1.00\n")
            .as_bytes(),
    )
    .unwrap();
    let refused: Vec<_> = content.refused.iter().map(|row| (row.line, row.code.as_str())).collect();
    assert_eq!(refused, [(5, "header-again")]);
    assert_eq!(content.sales.len(), 2);
}
