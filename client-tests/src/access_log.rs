//! A web server's access log of any length, the same at every call, and what it takes to recognise it again.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

/// Writes `lines` lines in the combined log format, each ending in its own number.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, lines: u64) -> Result<()> {
    const PATHS: [&str; 6] =
        ["/", "/index.html", "/api/v1/readings", "/api/v1/devices/42/state", "/static/app.js", "/health"];
    const AGENTS: [&str; 3] = [
        "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        "curl/8.14.1",
        "okhttp/5.1.0",
    ];
    let mut file = BufWriter::with_capacity(1 << 20, std::fs::File::create(path)?);
    let mut state = 1_u64;
    for number in 0..lines {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let random = usize::try_from(state >> 40)?;
        let (second, minute, hour) = (number / 20 % 60, number / 1_200 % 60, number / 72_000 % 24);
        writeln!(
            file,
            "10.{}.{}.{} - - [21/Nov/2026:{hour:02}:{minute:02}:{second:02} +0000] \"GET {} HTTP/1.1\" {} {} \"-\" \
             \"{}\" {number}",
            random % 4,
            random / 4 % 256,
            random / 1024 % 256,
            PATHS[random % PATHS.len()],
            if random.is_multiple_of(50) { 404 } else { 200 },
            random % 20_000,
            AGENTS[random / 7 % AGENTS.len()],
        )?;
    }
    file.flush()?;
    Ok(())
}

/// What is known of a multiset of lines: whatever their order, the same lines give the same value.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Checksum {
    /// How many lines there are.
    pub lines: u64,
    sum: u64,
}

impl Checksum {
    /// Adds one line, without its line feed.
    pub fn add(&mut self, line: &str) {
        let mut hasher = DefaultHasher::new();
        line.hash(&mut hasher);
        self.sum = self.sum.wrapping_add(hasher.finish());
        self.lines += 1;
    }
}

/// Checks that numbers rise within each partition, as one producer sent them.
#[derive(Debug, Default)]
pub struct Order {
    last: BTreeMap<i32, u64>,
}

impl Order {
    /// Takes the next line that was read from `partition`.
    ///
    /// # Errors
    /// When it was sent before one that was read earlier.
    pub fn add(&mut self, partition: i32, line: &str) -> Result<()> {
        let number = line.rsplit(' ').next().and_then(|number| number.parse().ok());
        let number = number.with_context(|| format!("no number at the end of {line:?}"))?;
        let before = self.last.insert(partition, number);
        ensure!(before < Some(number), "in partition {partition}, line {number} came after {before:?}");
        Ok(())
    }

    /// How many partitions had lines.
    #[must_use]
    pub fn partitions(&self) -> usize {
        self.last.len()
    }
}
