//! Columns for people.

/// Rows of text under a head, each column as wide as its widest cell.
#[derive(Debug)]
pub(crate) struct Table<const COLUMNS: usize> {
    rows: Vec<[String; COLUMNS]>,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    /// A table with the head `names`.
    pub(crate) fn new(names: [&str; COLUMNS]) -> Self {
        Self { rows: vec![names.map(str::to_owned)] }
    }

    /// One more row.
    pub(crate) fn row(&mut self, cells: [String; COLUMNS]) {
        self.rows.push(cells);
    }

    /// The lines of the table.
    pub(crate) fn lines(&self) -> String {
        let mut widths = [0; COLUMNS];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        let mut lines = String::new();
        for row in &self.rows {
            let cells: Vec<String> =
                row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            lines.push_str(cells.join("  ").trim_end());
            lines.push('\n');
        }
        lines
    }
}

/// A cell for what may be missing.
pub(crate) fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// `1 member`, `2 members`.
pub(crate) fn count(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::{Table, or_dash};

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(["TOPIC", "LAG", "HOST"]);
        table.row(["events".to_owned(), or_dash(Some(7)), String::new()]);
        table.row(["ä".to_owned(), or_dash(None::<i64>), "127.0.0.1".to_owned()]);
        assert_eq!(table.lines(), "TOPIC   LAG  HOST\nevents  7\nä       -    127.0.0.1\n");
    }
}
