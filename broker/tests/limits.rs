//! The page of limits says what the keys and the constants say.

use std::fs;
use std::path::{Path, PathBuf};

use config::keys;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the workspace is there")
}

/// The rows of the tables: what a limit is, and where it is set.
fn rows(page: &str) -> Vec<(&str, &str)> {
    let cells = page.lines().filter_map(|line| {
        let mut cells = line.split('|').map(str::trim).skip(2);
        Some((cells.next()?, cells.next()?))
    });
    cells.filter(|(_, place)| place.starts_with('`')).collect()
}

/// A number as the page writes it, with its unit: bytes, milliseconds for times, else the number itself.
fn told(limit: &str) -> u64 {
    let (number, unit) = limit.split_once(' ').unwrap_or((limit, ""));
    let number: u64 = number.replace(',', "").parse().unwrap_or_else(|_| panic!("{limit} is no number"));
    match unit {
        "" | "bytes" | "ms" => number,
        "s" => number * 1000,
        "MiB" => number << 20,
        unit => panic!("{unit} is no unit"),
    }
}

/// The value of a constant, from its source: products and shifts of numbers, and times.
fn constant(source: &str, name: &str) -> u64 {
    let declared = format!("const {name}: ");
    let line =
        source.lines().find_map(|line| line.split_once(&declared)).unwrap_or_else(|| panic!("no {name}"));
    let (_, expression) = line.1.split_once(" = ").expect("a constant has a value");
    let expression = expression.trim_end_matches(';');
    let number = |text: &str| -> u64 {
        text.replace('_', "").parse().unwrap_or_else(|_| panic!("{name} is {expression}"))
    };
    if let Some(seconds) = expression.strip_prefix("Duration::from_secs(") {
        return 1000 * number(seconds.trim_end_matches(')'));
    }
    let value = match expression.split_once(" << ") {
        Some((base, places)) => number(base) << number(places),
        None => expression.split(" * ").map(number).product(),
    };
    if name.ends_with("_KIB") { 1024 * value } else { value }
}

#[test]
fn the_page_of_limits_is_true() {
    let page = fs::read_to_string(root().join("broker/limits.md")).expect("the page is there");
    let rows = rows(&page);
    assert!(rows.len() > 50, "{} rows", rows.len());
    for (limit, place) in rows {
        let mut names = place.split('`').skip(1).step_by(2);
        let name = names.next().expect("a name");
        let value = match names.next() {
            Some(file) => {
                let source = fs::read_to_string(root().join(file)).unwrap_or_else(|_| panic!("no {file}"));
                constant(&source, name)
            }
            None => {
                let key = keys::broker_key(name).unwrap_or_else(|| panic!("{name} is no key"));
                let default = key.default.expect("a limit has a default");
                default.parse().unwrap_or_else(|_| panic!("{name} is {default}"))
            }
        };
        assert_eq!(told(limit), value, "{place}");
    }
}
