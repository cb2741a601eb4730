//! Figures in rows and columns: for a terminal, a spreadsheet, or a page.

use super::markdown;
use crate::chart::escaped;
use comfy_table::{CellAlignment, ContentArrangement, presets};

/// Cells in columns. A row that is shorter than others has empty cells at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// The names of the columns, with their units.
    pub header: Vec<String>,
    /// The rows below it.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// Aligned columns for a terminal, numbers to the right.
    pub fn text(&self) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(self.line(&self.header)).add_rows(self.rows.iter().map(|row| self.line(row)));
        for (column, numeric) in table.column_iter_mut().zip(self.numeric()) {
            if numeric {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table.trim_fmt() + "\n"
    }

    /// Comma-separated values as RFC 4180 has them: lines end with a carriage return and a line feed, and what holds a comma, a quote
    /// or a line break stands in quotes.
    pub fn csv(&self) -> String {
        let lines = std::iter::once(&self.header).chain(&self.rows);
        lines.map(|line| self.line(line).map(quoted).collect::<Vec<_>>().join(",") + "\r\n").collect()
    }

    pub(super) fn html(&self) -> String {
        let numeric = self.numeric();
        let cells = |line: &[String], tag: &str| -> String {
            let cell = |(text, numeric): (&str, &bool)| {
                let class = if *numeric { " class=\"number\"" } else { "" };
                format!("<{tag}{class}>{}</{tag}>", escaped(text))
            };
            self.line(line).zip(&numeric).map(cell).collect()
        };
        let rows: String = self.rows.iter().map(|row| format!("<tr>{}</tr>\n", cells(row, "td"))).collect();
        format!(
            "<div class=\"table\">\n<table>\n<thead>\n<tr>{}</tr>\n</thead>\n<tbody>\n{rows}</tbody>\n</table>\n</div>\n",
            cells(&self.header, "th")
        )
    }

    pub(super) fn markdown(&self) -> String {
        let cells = |line: &[String]| -> String {
            self.line(line).map(|text| format!(" {} |", markdown::escaped(text))).collect()
        };
        let rules: String =
            self.numeric().iter().map(|numeric| if *numeric { " ---: |" } else { " --- |" }).collect();
        let mut lines = vec![format!("|{}", cells(&self.header)), format!("|{rules}")];
        lines.extend(self.rows.iter().map(|row| format!("|{}", cells(row))));
        lines.join("\n")
    }

    fn columns(&self) -> usize {
        self.rows.iter().map(Vec::len).fold(self.header.len(), usize::max)
    }

    /// The cells of a row, as many as there are columns.
    fn line<'a>(&self, cells: &'a [String]) -> impl Iterator<Item = &'a str> {
        (0..self.columns()).map(|column| cells.get(column).map_or("", String::as_str))
    }

    /// Which columns hold numbers: all that is said in them is one, and something is.
    fn numeric(&self) -> Vec<bool> {
        let column = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column).map(String::as_str));
            let mut said = cells.filter(|cell| !is_blank(cell)).peekable();
            said.peek().is_some() && said.all(is_number)
        };
        (0..self.columns()).map(column).collect()
    }
}

/// Whether a cell says that there is nothing to say.
fn is_blank(cell: &str) -> bool {
    ["", "-", "–", "—", "none"].contains(&cell.trim())
}

/// Whether a cell is a figure: 12, −1,234.5, ≤ 400, 3×10⁻⁷, 12.5 ± 0.3, 99 %, 4 ms.
fn is_number(cell: &str) -> bool {
    let figure = |text: &str| {
        let text = text.trim().trim_start_matches(['≤', '≥', '<', '>', '≈', '~', '+', '-', '−', ' ']);
        let digits = |character: char| character.is_ascii_digit() || ".,'×⁻⁰¹²³⁴⁵⁶⁷⁸⁹".contains(character);
        let unit = text.trim_start_matches(digits);
        let is_unit = unit.is_empty() || unit.starts_with(' ') || unit.starts_with('%');
        text.starts_with(|character: char| character.is_ascii_digit())
            && is_unit
            && unit.trim_start().chars().count() <= 4
            && !unit.trim_start().contains(' ')
    };
    cell.split('±').all(figure)
}

fn quoted(cell: &str) -> String {
    // An empty line could be a row of one empty cell or none at all, but quotes are a cell.
    if cell.is_empty() || cell.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(lines: &[&[&str]]) -> Table {
        let mut lines = lines.iter().map(|line| line.iter().map(|cell| (*cell).to_owned()).collect());
        Table { header: lines.next().unwrap_or_default(), rows: lines.collect() }
    }

    #[test]
    fn numbers_stand_to_the_right_in_a_terminal() {
        let table =
            table(&[&["protocol", "messages"], &["pbft", "19,800"], &["hotstuff µ", "495"], &["raft"]]);
        let expected = " protocol    messages\n pbft          19,800\n hotstuff µ       495\n raft\n";
        assert_eq!(table.text(), expected);
    }

    #[test]
    fn csv_quotes_what_would_be_read_otherwise() {
        let table = table(&[
            &["name", "say \"n\""],
            &["a,b", "1,000"],
            &["two\nlines", "x\ry"],
            &["plain; text", ""],
            &["short"],
        ]);
        assert_eq!(
            table.csv(),
            "name,\"say \"\"n\"\"\"\r\n\"a,b\",\"1,000\"\r\n\"two\nlines\",\"x\ry\"\r\nplain; text,\"\"\r\nshort,\"\"\r\n"
        );
    }

    #[test]
    fn cells_are_escaped_and_numbers_marked_in_html() {
        let html = table(&[&["<a>", "p99, ms"], &["b & c", "1.5"]]).html();
        assert!(html.contains("<tr><th>&lt;a&gt;</th><th class=\"number\">p99, ms</th></tr>"), "{html}");
        assert!(html.contains("<tr><td>b &amp; c</td><td class=\"number\">1.5</td></tr>"), "{html}");
    }

    #[test]
    fn a_bar_in_a_cell_does_not_end_it_in_markdown() {
        let markdown = table(&[&["a|b", "n"], &["c\nd", "7"], &["-", "-"]]).markdown();
        assert_eq!(markdown, "| a\\|b | n |\n| --- | ---: |\n| c d | 7 |\n| - | - |");
    }

    #[test]
    fn what_is_a_number() {
        for number in ["0", "−1,234.5", "≤ 400", "3×10⁻⁷", "12.5 ± 0.3", "99 %", "99%", "4 ms", "2.5 M"]
        {
            assert!(is_number(number), "{number}");
        }
        for other in ["pbft", "2n(n-1)", "4 of 7", "", "r0", "1-2", "3f+1", "±"] {
            assert!(!is_number(other), "{other}");
        }
        assert_eq!(
            table(&[&["a", "b", "c"], &["1", "-", ""], &["x", "2", "none"]]).numeric(),
            [false, true, false]
        );
    }
}
