//! What is read: lines, each of them a value or a record in JSON.

use super::{InputForm, ProduceArguments};
use crate::cli::record_json::{Payload, ReadRecord};
use anyhow::{Context, anyhow, bail};
use serde_json::error::Category;
use std::io::{BufRead, Read};
use tokio::sync::mpsc;

/// The longest line. Larger: a stream without line ends fills the memory. Smaller than what topics may take
/// (max.message.bytes, 1 MiB unless somebody set more): records that fit could not be produced.
const LINE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How many records are read ahead of what is sent. Larger: more memory. Smaller: smaller batches.
const RECORDS_AHEAD_MAX: usize = 1_000;

/// A record to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NewRecord {
    pub(super) partition: Option<i32>,
    pub(super) timestamp: Option<i64>,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// How lines become records.
#[derive(Clone, Debug)]
struct Rules {
    form: InputForm,
    key_delimiter: Option<Vec<u8>>,
    empty_is_null: bool,
    /// What every record has that does not say otherwise.
    pattern: NewRecord,
}

/// Records, read by a thread of their own: reading a terminal cannot be given up.
#[derive(Debug)]
pub(super) struct Input {
    records: mpsc::Receiver<anyhow::Result<NewRecord>>,
    /// Why there is no more, to be said once what stood before it is written.
    failure: Option<anyhow::Error>,
}

impl Input {
    /// Begins to read standard input.
    pub(super) fn of_standard_input(arguments: &ProduceArguments) -> anyhow::Result<Self> {
        let rules = Rules::new(arguments);
        let (sender, records) = mpsc::channel(RECORDS_AHEAD_MAX);
        std::thread::Builder::new()
            .name("standard input".to_owned())
            .spawn(move || read_all(std::io::stdin().lock(), &rules, &sender))?;
        Ok(Self { records, failure: None })
    }

    /// The records that are there, one at least; `None` at the end.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Vec<NewRecord>>> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let mut read = Vec::new();
        self.records.recv_many(&mut read, RECORDS_AHEAD_MAX).await;
        let mut records = Vec::with_capacity(read.len());
        for record in read {
            match record {
                Ok(record) => records.push(record),
                Err(failure) if records.is_empty() => return Err(failure),
                Err(failure) => self.failure = Some(failure),
            }
        }
        Ok((!records.is_empty()).then_some(records))
    }
}

fn read_all(mut input: impl BufRead, rules: &Rules, records: &mpsc::Sender<anyhow::Result<NewRecord>>) {
    for number in 1_u64.. {
        let record = match read_line(&mut input) {
            Ok(None) => return,
            Ok(Some(line)) => rules.record(line).with_context(|| format!("line {number} is no record")),
            Err(error) => Err(error.context(format!("line {number} cannot be read"))),
        };
        let is_last = record.is_err();
        // Who does not listen any more has ended.
        if records.blocking_send(record).is_err() || is_last {
            return;
        }
    }
}

/// A line without its end; `None` at the end of the input.
fn read_line(input: &mut impl BufRead) -> anyhow::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let count = input.by_ref().take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut line)?;
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if line.len() > LINE_BYTES_MAX {
        bail!("it has more than {LINE_BYTES_MAX} bytes");
    }
    Ok((count > 0).then_some(line))
}

impl Rules {
    fn new(arguments: &ProduceArguments) -> Self {
        let headers = arguments.headers.iter();
        Self {
            form: arguments.input,
            key_delimiter: arguments.key_delimiter.as_ref().map(|it| it.clone().into_bytes()),
            empty_is_null: arguments.empty_is_null,
            pattern: NewRecord {
                partition: arguments.partition,
                key: arguments.key.as_ref().map(|key| key.clone().into_bytes()),
                headers: headers
                    .map(|(name, value)| (name.clone().into(), Some(value.clone().into())))
                    .collect(),
                ..NewRecord::default()
            },
        }
    }

    fn record(&self, line: Vec<u8>) -> anyhow::Result<NewRecord> {
        let pattern = self.pattern.clone();
        let mut record = match self.form {
            InputForm::Lines => {
                let (key, value) = self.split(line);
                NewRecord { key: key.or(pattern.key), value: Some(value), ..pattern }
            }
            InputForm::Json => {
                let read: ReadRecord =
                    serde_json::from_slice(&line).map_err(|error| anyhow!(json_fault(&error)))?;
                let bytes = |payload: Option<Payload>| payload.map(|Payload(bytes)| bytes);
                let own = read.headers.into_iter().map(|(Payload(name), value)| (name, bytes(value)));
                NewRecord {
                    partition: read.partition.filter(|it| *it >= 0).or(pattern.partition),
                    timestamp: read.timestamp,
                    key: bytes(read.key).or(pattern.key),
                    value: bytes(read.value),
                    headers: own.chain(pattern.headers).collect(),
                }
            }
        };
        if self.empty_is_null {
            record.value = record.value.filter(|value| !value.is_empty());
        }
        Ok(record)
    }

    /// A line's key, if it has one, and its value.
    fn split(&self, line: Vec<u8>) -> (Option<Vec<u8>>, Vec<u8>) {
        let delimiter = self.key_delimiter.as_deref().filter(|delimiter| !delimiter.is_empty());
        let Some(delimiter) = delimiter else { return (None, line) };
        let Some(at) = line.windows(delimiter.len()).position(|window| window == delimiter) else {
            return (None, line);
        };
        let value = line.get(at + delimiter.len()..).unwrap_or_default().to_vec();
        (Some(line.into_iter().take(at).collect()), value)
    }
}

/// What is wrong with a line that should be a record in JSON.
fn json_fault(error: &serde_json::Error) -> String {
    let column = error.column();
    let said = error.to_string();
    // Which line it is of a text of one line is no news.
    let said = said.split(" at line ").next().unwrap_or_default();
    match error.classify() {
        Category::Data => format!("{said} (column {column})"),
        Category::Syntax | Category::Eof | Category::Io => {
            format!(r#"it is no JSON from column {column} on; a record is such as {{"key":"k","value":"v"}}"#)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Input, InputForm, NewRecord, Rules, read_all};
    use tokio::sync::mpsc;

    fn rules() -> Rules {
        Rules {
            form: InputForm::Lines,
            key_delimiter: None,
            empty_is_null: false,
            pattern: NewRecord::default(),
        }
    }

    fn read(input: &str, rules: &Rules) -> Vec<Result<NewRecord, String>> {
        let (sender, mut records) = mpsc::channel(100);
        read_all(input.as_bytes(), rules, &sender);
        drop(sender);
        let read = std::iter::from_fn(|| records.blocking_recv());
        read.map(|record| record.map_err(|error| format!("{error:#}"))).collect()
    }

    #[tokio::test]
    async fn what_stands_before_a_bad_line_is_written_before_it_is_refused() {
        let (sender, records) = mpsc::channel(10);
        for record in [Ok(NewRecord::default()), Ok(NewRecord::default()), Err(anyhow::anyhow!("bad"))] {
            sender.send(record).await.expect("there is room");
        }
        drop(sender);
        let mut input = Input { records, failure: None };
        assert_eq!(input.next().await.expect("two are good").map(|records| records.len()), Some(2));
        assert_eq!(input.next().await.expect_err("the third is not").to_string(), "bad");
        assert_eq!(input.next().await.expect("it has ended"), None);
    }

    fn keyed(key: Option<&str>, value: Option<&str>) -> Result<NewRecord, String> {
        let bytes = |text: &str| text.as_bytes().to_vec();
        Ok(NewRecord { key: key.map(bytes), value: value.map(bytes), ..NewRecord::default() })
    }

    #[test]
    fn each_line_is_a_value_with_or_without_a_key() {
        assert_eq!(
            read("a\n\nb", &rules()),
            [keyed(None, Some("a")), keyed(None, Some("")), keyed(None, Some("b"))]
        );
        let rules = Rules { key_delimiter: Some(b"::".to_vec()), empty_is_null: true, ..rules() };
        let expected =
            [keyed(Some("k"), Some("v::w")), keyed(Some("gone"), None), keyed(None, Some("plain"))];
        assert_eq!(read("k::v::w\ngone::\nplain\n", &rules), expected);
    }

    #[test]
    fn json_lines_say_all_of_a_record() {
        let mut rules = Rules { form: InputForm::Json, ..rules() };
        rules.pattern.headers = vec![(b"from".to_vec(), Some(b"test".to_vec()))];
        let line =
            r#"{"topic":"other","partition":2,"timestamp":5,"headers":[["a",null]],"value":{"hex":"ff"}}"#;
        let expected = NewRecord {
            partition: Some(2),
            timestamp: Some(5),
            key: None,
            value: Some(vec![0xff]),
            headers: vec![(b"a".to_vec(), None), (b"from".to_vec(), Some(b"test".to_vec()))],
        };
        assert_eq!(read(line, &rules), [Ok(expected)]);
        let wrong = read("{\"value\":\"v\"}\nhello\n{}\n", &rules);
        assert_eq!(wrong.len(), 2, "nothing is read after a line that is no record");
        let sentence = wrong.into_iter().nth(1).and_then(Result::err).unwrap_or_default();
        assert_eq!(
            sentence,
            r#"line 2 is no record: it is no JSON from column 1 on; a record is such as {"key":"k","value":"v"}"#
        );
        let unknown = read("{\"foo\":1}", &rules).remove(0).unwrap_err();
        assert!(
            unknown.starts_with("line 1 is no record: unknown field `foo`, expected one of "),
            "{unknown}"
        );
        assert!(!unknown.contains("at line"), "{unknown}");
    }
}
