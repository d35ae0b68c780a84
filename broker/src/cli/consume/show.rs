//! How a record is shown: in a form that the user chose, or as a line of JSON.

use crate::cli::record_json::{Payload, WrittenRecord};
use std::io::{self, Write};
use std::str::FromStr;
use storage::records::Record;

/// A record, and where it is from.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct ShownRecord<'a> {
    pub(in crate::cli) topic: &'a str,
    pub(in crate::cli) partition: i32,
    /// Whether the broker set the time.
    pub(in crate::cli) is_append_time: bool,
    pub(in crate::cli) record: Record<'a>,
}

/// A form: text, and what stands between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Shown(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Topic,
    Partition,
    Offset,
    Timestamp,
    Key,
    KeyLength,
    Value,
    ValueLength,
    Headers,
}

impl FromStr for Shown {
    type Err = String;

    fn from_str(format: &str) -> Result<Self, Self::Err> {
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut characters = format.chars();
        while let Some(character) = characters.next() {
            let part = match character {
                '\\' => {
                    text.push(match characters.next() {
                        Some('n') => '\n',
                        Some('t') => '\t',
                        Some('r') => '\r',
                        Some('0') => '\0',
                        Some('\\') => '\\',
                        other => {
                            return Err(format!(
                                "\\{} means nothing",
                                other.map(String::from).unwrap_or_default()
                            ));
                        }
                    });
                    continue;
                }
                '%' => match characters.next() {
                    Some('%') => {
                        text.push('%');
                        continue;
                    }
                    Some('t') => Part::Topic,
                    Some('p') => Part::Partition,
                    Some('o') => Part::Offset,
                    Some('T') => Part::Timestamp,
                    Some('k') => Part::Key,
                    Some('K') => Part::KeyLength,
                    Some('s') => Part::Value,
                    Some('S') => Part::ValueLength,
                    Some('h') => Part::Headers,
                    other => {
                        return Err(format!(
                            "%{} means nothing",
                            other.map(String::from).unwrap_or_default()
                        ));
                    }
                },
                other => {
                    text.push(other);
                    continue;
                }
            };
            if !text.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut text)));
            }
            parts.push(part);
        }
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        Ok(Self(parts))
    }
}

impl Shown {
    /// Writes a record in this form.
    pub(in crate::cli) fn write(&self, shown: &ShownRecord<'_>, output: &mut impl Write) -> io::Result<()> {
        let record = shown.record;
        let length =
            |bytes: Option<&[u8]>| bytes.map_or(-1, |bytes| i64::try_from(bytes.len()).unwrap_or(i64::MAX));
        for part in &self.0 {
            match part {
                Part::Text(text) => output.write_all(text.as_bytes())?,
                Part::Topic => output.write_all(shown.topic.as_bytes())?,
                Part::Partition => write!(output, "{}", shown.partition)?,
                Part::Offset => write!(output, "{}", record.offset.0)?,
                Part::Timestamp => write!(output, "{}", record.timestamp.0)?,
                Part::Key => output.write_all(record.key.unwrap_or_default())?,
                Part::KeyLength => write!(output, "{}", length(record.key))?,
                Part::Value => output.write_all(record.value.unwrap_or_default())?,
                Part::ValueLength => write!(output, "{}", length(record.value))?,
                Part::Headers => write_headers(&record, output)?,
            }
        }
        Ok(())
    }
}

/// `name=value,name=value`, as kcat has it.
fn write_headers(record: &Record<'_>, output: &mut impl Write) -> io::Result<()> {
    for (place, header) in record.headers().enumerate() {
        if place > 0 {
            output.write_all(b",")?;
        }
        output.write_all(header.key)?;
        output.write_all(b"=")?;
        output.write_all(header.value.unwrap_or(b"NULL"))?;
    }
    Ok(())
}

impl ShownRecord<'_> {
    /// Writes the record as a line of JSON.
    pub(in crate::cli) fn write_json(&self, output: &mut impl Write) -> io::Result<()> {
        let payload = |bytes: Option<&[u8]>| bytes.map(|bytes| Payload(bytes.to_vec()));
        let record = &self.record;
        let headers = record.headers().map(|header| (Payload(header.key.to_vec()), payload(header.value)));
        let written = WrittenRecord {
            topic: self.topic,
            partition: self.partition,
            offset: record.offset.0,
            timestamp: record.timestamp.0,
            timestamp_type: if self.is_append_time { "append" } else { "create" },
            headers: headers.collect(),
            key: payload(record.key),
            value: payload(record.value),
        };
        serde_json::to_writer(&mut *output, &written)?;
        output.write_all(b"\n")
    }
}

#[cfg(test)]
mod tests {
    use super::{Shown, ShownRecord};
    use storage::batch_builder::{BatchBuilder, BatchSpec};
    use storage::ids::{Offset, TimestampMs};
    use storage::records::records_of;

    fn shown(format: &str) -> String {
        let mut builder = BatchBuilder::new(BatchSpec { base_offset: Offset(5), ..BatchSpec::default() });
        let headers: [(&[u8], Option<&[u8]>); 2] = [(b"a", Some(b"1")), (b"b", None)];
        builder.push(TimestampMs(1000), None, Some(b"value"), &headers);
        let batch = builder.build().expect("it is built");
        let records = records_of(&batch, usize::MAX).expect("it can be read");
        let record = records.iter().next().expect("there is one").expect("it is whole");
        let shown = ShownRecord { topic: "events", partition: 3, is_append_time: false, record };
        let mut output = Vec::new();
        let form: Shown = format.parse().expect("it is a form");
        form.write(&shown, &mut output).expect("memory takes it");
        String::from_utf8(output).expect("it is text")
    }

    #[test]
    fn letters_stand_for_what_a_record_has() {
        assert_eq!(shown("%s\\n"), "value\n");
        assert_eq!(
            shown("%t-%p@%o %T: [%k] (%K) %s (%S)\\t%h %%"),
            "events-3@5 1000: [] (-1) value (5)\ta=1,b=NULL %"
        );
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for format in ["%x", "%", "\\q", "\\"] {
            assert!(format.parse::<Shown>().is_err(), "{format}");
        }
    }
}
