//! A table in Markdown whose source is aligned too: for a terminal and for a document.

use std::fmt;

/// Rows of cells under headings; the first column is text, the others are numbers.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub(crate) fn new(headings: &[&str]) -> Table {
        Table { rows: vec![headings.iter().map(|&heading| heading.to_owned()).collect()] }
    }

    /// Adds a row below the others.
    pub(crate) fn add<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    fn width(&self, column: usize) -> usize {
        self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0).max(3)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, row) in self.rows.iter().enumerate() {
            for (column, cell) in row.iter().enumerate() {
                let width = self.width(column);
                if column == 0 { write!(f, "| {cell:<width$} |")? } else { write!(f, " {cell:>width$} |")? }
            }
            writeln!(f)?;
            if index == 0 {
                let rule = |column| "-".repeat(self.width(column) - usize::from(column > 0));
                let rules = (0..row.len()).map(|column| rule(column) + if column > 0 { ":" } else { "" });
                writeln!(f, "| {} |", rules.collect::<Vec<_>>().join(" | "))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_in_the_source_as_in_the_picture() {
        let mut table = Table::new(&["server", "rate"]);
        table.add(["a".to_owned(), "12345".to_owned()]);
        table.add(["lighttpd".to_owned(), "1".to_owned()]);
        let expected = "\
| server   |  rate |
| -------- | ----: |
| a        | 12345 |
| lighttpd |     1 |
";
        assert_eq!(table.to_string(), expected);
    }
}
