//! `ottla storage dump`.

use super::{Place, StorageTrouble, lock};
use crate::cli::Form;
use crate::cli::consume::{Shown, ShownRecord};
use crate::cli::table::count;
use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use storage::batch::{BatchHeader, DECOMPRESSED_BYTES_MAX};
use storage::disk::os::OsDisk;
use storage::inspection;
use storage::records::records_of;

/// What is shown.
#[derive(Debug, Args)]
pub struct DumpArguments {
    /// A partition's directory, or the .log file of one of its segments.
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// Show the records, not only the batches that they are in.
    #[arg(long)]
    records: bool,
    /// Begin with this offset.
    #[arg(long, value_name = "OFFSET", default_value_t = 0, allow_negative_numbers = true,
        value_parser = clap::value_parser!(i64).range(0..))]
    from_offset: i64,
    /// Stop after so many batches or records.
    #[arg(long, short, value_name = "NUMBER")]
    count: Option<u64>,
    /// How a record is shown; see `ottla consume`.
    #[arg(long, value_name = "FORMAT", default_value = "%o %T %k: %s\\n", requires = "records")]
    format: Shown,
    /// The form of the output; JSON is one object a line.
    #[arg(long, value_enum, default_value_t = Form::Text)]
    output: Form,
}

pub(super) fn run(arguments: &DumpArguments) -> anyhow::Result<()> {
    crate::cli::unless_reader_left(dump(arguments))
}

fn dump(arguments: &DumpArguments) -> anyhow::Result<()> {
    let place = Place::find(&arguments.path)?;
    let (directory, logs) = match &place {
        Place::LogDirectory(path) => bail!("{} is a log directory; name a partition in it", path.display()),
        Place::Partition(path) => {
            let segments: Vec<PathBuf> = inspection::segments(&OsDisk, path)?.into_values().collect();
            (canonical(path)?, segments)
        }
        Place::Segment(path) => {
            let directory = canonical(path)?.parent().context("a file is in a directory")?.to_owned();
            (directory, vec![path.clone()])
        }
    };
    // Batches that a node has appended do not change any more, so a node that runs is no obstacle.
    let mut is_in_use = false;
    let _lock = match lock(&place) {
        Err(error) if matches!(error.downcast_ref(), Some(StorageTrouble::InUse { .. })) => {
            eprintln!("ottla: a node uses these files; what it appends meanwhile may be missing at the end");
            is_in_use = true;
            None
        }
        lock => lock?,
    };
    let mut dumped = Dumped::new(arguments, &directory);
    let mut trouble = None;
    for log in logs {
        let mut failure = Ok(());
        let trailing = inspection::batches(&OsDisk, &log, |position, header, bytes| {
            match dumped.batch(&log, position, header, bytes) {
                Ok(flow) => flow,
                Err(error) => {
                    failure = Err(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        failure?;
        if let Some(reason) = trailing {
            let cut = StorageTrouble::CutOff { log: log.display().to_string(), reason };
            trouble = trouble.or((!is_in_use).then_some(cut));
        }
    }
    dumped.output.flush()?;
    trouble.map_or(Ok(()), |trouble| Err(trouble.into()))
}

fn canonical(path: &Path) -> anyhow::Result<PathBuf> {
    path.canonicalize().with_context(|| format!("{} cannot be read", path.display()))
}

struct Dumped<'a> {
    arguments: &'a DumpArguments,
    topic: String,
    partition: i32,
    left: u64,
    output: BufWriter<io::Stdout>,
}

impl<'a> Dumped<'a> {
    fn new(arguments: &'a DumpArguments, directory: &Path) -> Self {
        let name = directory.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let (topic, number) = name.rsplit_once('-').unwrap_or((&name, "0"));
        Self {
            arguments,
            topic: topic.to_owned(),
            partition: number.parse().unwrap_or(0),
            left: arguments.count.unwrap_or(u64::MAX),
            output: BufWriter::new(io::stdout()),
        }
    }

    fn batch(
        &mut self,
        log: &Path,
        position: u64,
        header: &BatchHeader,
        bytes: &[u8],
    ) -> anyhow::Result<ControlFlow<()>> {
        if header.last_offset().0 < self.arguments.from_offset {
            return Ok(ControlFlow::Continue(()));
        }
        if self.left == 0 {
            return Ok(ControlFlow::Break(()));
        }
        if self.arguments.records {
            return self.records(header, bytes);
        }
        self.left -= 1;
        match self.arguments.output {
            Form::Json => writeln!(self.output, "{}", batch_json(log, position, header))?,
            Form::Text => writeln!(self.output, "{}", batch_text(position, header))?,
        }
        Ok(ControlFlow::Continue(()))
    }

    fn records(&mut self, header: &BatchHeader, bytes: &[u8]) -> anyhow::Result<ControlFlow<()>> {
        let place = || format!("{}-{} at offset {}", self.topic, self.partition, header.base_offset);
        let records = records_of(bytes, DECOMPRESSED_BYTES_MAX).with_context(place)?;
        for record in &records {
            let record = record.with_context(place)?;
            if record.offset.0 < self.arguments.from_offset || header.attributes.is_control() {
                continue;
            }
            if self.left == 0 {
                return Ok(ControlFlow::Break(()));
            }
            self.left -= 1;
            let is_append_time = header.attributes.is_log_append_time();
            let shown = ShownRecord { topic: &self.topic, partition: self.partition, is_append_time, record };
            match self.arguments.output {
                Form::Json => shown.write_json(&mut self.output)?,
                Form::Text => self.arguments.format.write(&shown, &mut self.output)?,
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

fn codec(header: &BatchHeader) -> String {
    match header.attributes.compression() {
        Some(codec) => format!("{codec:?}").to_lowercase(),
        None => format!("codec {}", header.attributes.codec_number()),
    }
}

fn batch_text(position: u64, header: &BatchHeader) -> String {
    let mut text = format!(
        "byte {position}: offsets {}-{}, {}, {} bytes, epoch {}, timestamp {}, {}",
        header.base_offset,
        header.last_offset(),
        count(usize::try_from(header.record_count).unwrap_or(0), "record"),
        header.size_in_bytes(),
        header.partition_leader_epoch,
        header.max_timestamp.0,
        codec(header)
    );
    if header.has_producer_id() {
        text.push_str(&format!(
            ", producer {} epoch {} sequences {}-{}",
            header.producer_id.0,
            header.producer_epoch.0,
            header.base_sequence.0,
            header.last_sequence().0
        ));
    }
    let flags = [
        (header.attributes.is_log_append_time(), ", time of the append"),
        (header.attributes.is_transactional(), ", in a transaction"),
        (header.attributes.is_control(), ", a marker"),
    ];
    text.extend(flags.iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| *flag));
    text
}

fn batch_json(log: &Path, position: u64, header: &BatchHeader) -> serde_json::Value {
    json!({
        "file": log.display().to_string(),
        "position": position,
        "size": header.size_in_bytes(),
        "base_offset": header.base_offset.0,
        "last_offset": header.last_offset().0,
        "records": header.record_count,
        "leader_epoch": header.partition_leader_epoch.0,
        "max_timestamp": header.max_timestamp.0,
        "is_append_time": header.attributes.is_log_append_time(),
        "compression": codec(header),
        "crc": header.crc,
        "producer_id": header.producer_id.0,
        "producer_epoch": header.producer_epoch.0,
        "base_sequence": header.base_sequence.0,
        "is_transactional": header.attributes.is_transactional(),
        "is_control": header.attributes.is_control(),
    })
}

#[cfg(test)]
mod tests {
    use super::{batch_json, batch_text};
    use std::path::Path;
    use storage::batch::BatchHeader;
    use storage::batch_builder::{BatchBuilder, BatchSpec};
    use storage::compression::Codec;
    use storage::ids::{Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

    #[test]
    fn a_batch_is_a_line() {
        let spec = BatchSpec {
            base_offset: Offset(40),
            codec: Codec::Lz4,
            producer_id: ProducerId(7),
            producer_epoch: ProducerEpoch(1),
            base_sequence: Sequence(5),
            ..BatchSpec::default()
        };
        let mut builder = BatchBuilder::new(spec);
        (0..3).for_each(|_| builder.push(TimestampMs(1000), None, Some(b"value"), &[]));
        let batch = builder.build().expect("it is built");
        let header = BatchHeader::parse(&batch).expect("it is a batch");
        let line = batch_text(120, &header);
        assert!(line.starts_with("byte 120: offsets 40-42, 3 records, "), "{line}");
        assert!(line.ends_with("timestamp 1000, lz4, producer 7 epoch 1 sequences 5-7"), "{line}");
        let json = batch_json(Path::new("0.log"), 120, &header);
        assert_eq!((json["last_offset"].as_i64(), json["compression"].as_str()), (Some(42), Some("lz4")));
    }
}
