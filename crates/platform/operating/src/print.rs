//! Results on standard output.

use std::io::Write as _;

use serde::Serialize;

/// Prints `value` as JSON: on one line for scripts, else laid out for people.
///
/// # Errors
/// When standard output can't be written.
pub fn print(value: &impl Serialize, for_scripts: bool) -> anyhow::Result<()> {
    say(&if for_scripts {
        serde_json::to_string(value)?
    } else {
        serde_json::to_string_pretty(value)?
    })
}

/// Prints a line.
///
/// # Errors
/// When standard output can't be written.
pub fn say(line: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

/// A table for people: its columns as wide as what stands in them, numbers to the right.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    #[must_use]
    pub fn new(headings: &[&str]) -> Self {
        Self { rows: vec![headings.iter().map(ToString::to_string).collect()] }
    }

    /// Adds a row, of as many cells as there are headings.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The table as text, a line for each row.
    #[must_use]
    pub fn text(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|at| {
                let cells = self.rows.iter().filter_map(|row| row.get(at));
                cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
            })
            .collect();
        let numbers: Vec<bool> = (0..columns).map(|at| self.is_number(at)).collect();
        let line = |row: &Vec<String>| {
            let mut line = String::new();
            for ((cell, width), number) in row.iter().zip(&widths).zip(&numbers) {
                let cell =
                    if *number { format!("{cell:>width$}") } else { format!("{cell:<width$}") };
                line.push_str(&cell);
                line.push_str("  ");
            }
            line.trim_end().to_owned()
        };
        self.rows.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    fn is_number(&self, column: usize) -> bool {
        let mut cells = self.rows.iter().skip(1).filter_map(|row| row.get(column)).peekable();
        let digits = |cell: &String| cell.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        cells.peek().is_some() && cells.all(digits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_stands_in_them() {
        let mut table = Table::new(&["region", "leased", "state"]);
        table.row(["eu-1".to_owned(), "7".to_owned(), "open".to_owned()]);
        table.row(["ap-south-1".to_owned(), "1200".to_owned(), "drained".to_owned()]);
        assert_eq!(
            table.text(),
            "region      leased  state\n\
             eu-1             7  open\n\
             ap-south-1    1200  drained"
        );
    }
}
