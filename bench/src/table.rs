//! Markdown tables, as the README has them.

use std::fmt;
use std::time::Duration;

/// Rows under a heading.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub(crate) fn new<S: Into<String>>(heading: impl IntoIterator<Item = S>) -> Self {
        Self { rows: vec![heading.into_iter().map(Into::into).collect()] }
    }

    /// Adds a row.
    pub(crate) fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, row) in self.rows.iter().enumerate() {
            writeln!(formatter, "| {} |", row.join(" | "))?;
            if number == 0 {
                writeln!(formatter, "|{}", "---|".repeat(row.len()))?;
            }
        }
        Ok(())
    }
}

/// The cell of a figure that was not measured.
pub(crate) const NOT_MEASURED: &str = "–";

/// Milliseconds, with three significant digits or so.
pub(crate) fn milliseconds(duration: Duration) -> String {
    format!("{} ms", significant(duration.as_secs_f64() * 1e3))
}

/// Mebibytes of a number of bytes.
pub(crate) fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", significant(bytes as f64 / f64::from(1 << 20)))
}

/// A size as people name it: `64 KiB`.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        _ if bytes >= 1 << 20 && bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ if bytes >= 1 << 10 && bytes.is_multiple_of(1 << 10) => format!("{} KiB", bytes >> 10),
        _ => format!("{bytes} B"),
    }
}

/// CPU-seconds for each 10^9 bytes.
pub(crate) fn cpu_per_gb(cpu: Duration, bytes: u64) -> f64 {
    cpu.as_secs_f64() * 1e9 / bytes.max(1) as f64
}

/// A number with about three significant digits.
pub(crate) fn significant(value: f64) -> String {
    let decimals = match value.abs() {
        large if large >= 100.0 => 0,
        middle if middle >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.decimals$}")
}

/// How many times `of` is in `value`, or [`NOT_MEASURED`].
pub(crate) fn ratio(value: Option<f64>, of: Option<f64>) -> String {
    match (value, of) {
        (Some(value), Some(of)) if of > 0.0 => format!("{}×", significant(value / of)),
        _ => NOT_MEASURED.to_owned(),
    }
}

/// The value below which `share` (0 to 1) of the sorted `values` lie.
pub(crate) fn quantile(sorted: &[Duration], share: f64) -> Duration {
    let last = sorted.len().saturating_sub(1);
    let position = (last as f64 * share).round() as usize;
    sorted.get(position.min(last)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Table, quantile, size};
    use std::time::Duration;

    #[test]
    fn table_is_markdown() {
        let mut table = Table::new(["work", "time"]);
        table.row(["start", "3 ms"]);
        assert_eq!(table.to_string(), "| work | time |\n|---|---|\n| start | 3 ms |\n");
    }

    #[test]
    fn quantiles_of_few_values_are_among_them() {
        let values = [1, 2, 3].map(Duration::from_millis);
        assert_eq!(quantile(&values, 0.0), values[0]);
        assert_eq!(quantile(&values, 0.5), values[1]);
        assert_eq!(quantile(&values, 0.999), values[2]);
        assert_eq!(quantile(&[], 0.5), Duration::ZERO);
    }

    #[test]
    fn sizes_are_named_as_people_name_them() {
        assert_eq!([100, 1024, 1 << 20, 1536].map(size), ["100 B", "1 KiB", "1 MiB", "1536 B"]);
    }
}
