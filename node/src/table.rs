//! Tables that leave as files and are opened in a spreadsheet. What somebody typed stays text there: a cell that a spreadsheet would
//! take for a formula, also behind characters that nobody sees, gets an apostrophe in front (ASVS 1.2.10).

use rust_xlsxwriter::{Format, Workbook, XlsxError};

/// The mark by which spreadsheets know that a CSV file is UTF-8.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// Whether a spreadsheet may calculate with a cell that begins so.
const fn begins_formula(first: char) -> bool {
    matches!(first, '=' | '+' | '-' | '@' | '|' | '%' | '＝' | '＋' | '－' | '＠' | '｜' | '％' | '\u{2212}')
}

/// Whether a spreadsheet may skip a character at the beginning: blanks, controls, and what has no width.
fn is_skipped(one: char) -> bool {
    one.is_whitespace()
        || one.is_control()
        || matches!(one, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// The text of one cell as it may stand in a spreadsheet.
pub fn cell(text: &str) -> String {
    let is_number = text.parse::<f64>().is_ok_and(f64::is_finite);
    let starts_blank = text.starts_with(['\t', '\r', '\n']);
    let first = text.chars().find(|one| !is_skipped(*one));
    match !is_number && (starts_blank || first.is_some_and(begins_formula)) {
        true => format!("'{text}"),
        false => text.to_owned(),
    }
}

/// A table as CSV: UTF-8 with its mark, every cell in quotation marks, lines that end as RFC 4180 says.
///
/// # Errors
/// Never for tables whose rows are as long as their head; the writer says so otherwise.
pub fn csv(head: &[String], rows: &[Vec<String>]) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::WriterBuilder::new()
        .quote_style(csv::QuoteStyle::Always)
        .terminator(csv::Terminator::CRLF)
        .from_writer(BYTE_ORDER_MARK.as_bytes().to_vec());
    for row in std::iter::once(head).chain(rows.iter().map(Vec::as_slice)) {
        writer.write_record(row.iter().map(|text| cell(text)))?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}

/// A table as a workbook (XLSX): numbers are numbers, everything else is text in which nothing calculates.
///
/// # Errors
/// When there is more than a sheet holds.
pub fn workbook(head: &[String], rows: &[Vec<String>]) -> Result<Vec<u8>, XlsxError> {
    let mut workbook = Workbook::new();
    let bold = Format::new().set_bold();
    let sheet = workbook.add_worksheet();
    for (column, text) in (0..).zip(head) {
        sheet.write_string_with_format(0, column, text, &bold)?;
    }
    for (row, texts) in (1..).zip(rows) {
        for (column, text) in (0..).zip(texts) {
            match text.parse::<f64>().ok().filter(|number| number.is_finite()) {
                Some(number) => sheet.write_number(row, column, number)?,
                None => sheet.write_string(row, column, text)?,
            };
        }
    }
    sheet.set_freeze_panes(1, 0)?;
    sheet.autofit();
    workbook.save_to_buffer()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_spreadsheet_would_calculate_stays_text() {
        for formula in
            ["=1+1", "+1-A1", "-cmd|'/C calc'!A0", "@SUM(A1)", "|x", "%x", "\t=1", "\r=1", " =1", "\u{200b}=1"]
        {
            assert_eq!(cell(formula), format!("'{formula}"));
        }
        for formula in ["\u{feff}\u{202e}=1", "＝1", "\u{1}@x", "\u{2060} +A1", "\u{2212}A1"] {
            assert_eq!(cell(formula), format!("'{formula}"));
        }
        for plain in ["", "Nomvula", "-12.5", "+3", "2026-11-29", "a=b", "'=1", "ندا"] {
            assert_eq!(cell(plain), plain);
        }
    }

    #[test]
    fn a_workbook_is_one_and_says_when_it_is_too_large() {
        let bytes = workbook(&["Name".into()], &[vec!["=1+1".into()], vec!["42".into()]]).unwrap();
        assert!(bytes.starts_with(b"PK") && bytes.len() > 2_000);
        let wide = vec!["x".to_owned(); 20_000];
        assert!(workbook(&wide, &[]).is_err());
    }

    proptest! {
        /// Read back, every cell is what stood there, with the apostrophe where it is needed, and no more.
        #[test]
        fn a_table_is_read_back_cell_by_cell(rows in prop::collection::vec(prop::collection::vec(".{0,12}", 2), 0..5)) {
            let head = ["Name".to_owned(), "Note".to_owned()];
            let bytes = csv(&head, &rows).unwrap();
            let bytes = bytes.strip_prefix(BYTE_ORDER_MARK.as_bytes()).unwrap();
            let mut reader = ::csv::Reader::from_reader(bytes);
            let read: Vec<Vec<String>> =
                reader.records().map(|row| row.unwrap().iter().map(ToOwned::to_owned).collect()).collect();
            let wanted: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|text| cell(text)).collect()).collect();
            prop_assert_eq!(&read, &wanted);
            for text in read.iter().flatten() {
                let first = text.chars().find(|one| !is_skipped(*one));
                prop_assert!(!first.is_some_and(begins_formula) || text.parse::<f64>().is_ok(), "{text:?}");
            }
        }
    }
}
