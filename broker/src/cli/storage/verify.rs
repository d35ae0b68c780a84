//! `ottla storage verify`.

use super::{Place, StorageTrouble, lock};
use crate::cli::table::{Table, count, or_dash};
use crate::cli::{Form, asking};
use anyhow::Context;
use clap::Args;
use serde::Serialize;
use std::path::{Path, PathBuf};
use storage::disk::os::OsDisk;
use storage::ids::Offset;
use storage::inspection::{self, PartitionReport, Severity};

/// What is read.
#[derive(Debug, Args)]
pub struct VerifyArguments {
    /// A log directory (log.dirs), or one partition's directory in it.
    #[arg(value_name = "DIRECTORY")]
    path: PathBuf,
    /// The form of the output.
    #[arg(long, value_enum, default_value_t = Form::Text)]
    output: Form,
}

/// A partition, and what is wrong with it.
#[derive(Debug, Serialize)]
struct Verified {
    partition: String,
    #[serde(flatten)]
    report: PartitionReport,
}

pub(super) fn run(arguments: &VerifyArguments) -> anyhow::Result<()> {
    let place = Place::find(&arguments.path)?;
    let _lock = lock(&place)?;
    let partitions = match &place {
        Place::LogDirectory(path) => inspection::partitions(&OsDisk, path)?,
        Place::Partition(path) => vec![path.canonicalize()?],
        Place::Segment(path) => {
            let directory = path.canonicalize()?;
            vec![directory.parent().context("a file is in a directory")?.to_owned()]
        }
    };
    let points = match place.log_directory() {
        Some(directory) => inspection::recovery_points(&OsDisk, &directory)?,
        None => std::collections::BTreeMap::new(),
    };
    let mut verified = Vec::new();
    for path in partitions {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let point: Option<Offset> =
            points.iter().find(|(id, _)| id.to_string() == name).map(|(_, point)| *point);
        verified.push(Verified { report: inspection::verify(&OsDisk, &path, point)?, partition: name });
    }
    crate::cli::print(&match arguments.output {
        Form::Json => asking::json(&verified)?,
        Form::Text => text(&arguments.path, &verified),
    })?;
    trouble(&verified).map_or(Ok(()), |trouble| Err(trouble.into()))
}

/// The worst of what is wrong.
fn trouble(verified: &[Verified]) -> Option<StorageTrouble> {
    let of = |severity| {
        let findings = verified.iter().flat_map(|it| &it.report.findings);
        findings.filter(|finding| finding.severity == severity).count()
    };
    match (of(Severity::Damage), of(Severity::Index)) {
        (0, 0) => None,
        (0, wrong) => Some(StorageTrouble::Indexes {
            findings: format!("{} wrong", count(wrong, "index")).replace("indexs", "indexes"),
        }),
        (damaged, _) => {
            Some(StorageTrouble::Damaged { findings: format!("damaged in {}", count(damaged, "place")) })
        }
    }
}

fn text(path: &Path, verified: &[Verified]) -> String {
    let mut table =
        Table::new(["PARTITION", "SEGMENTS", "BATCHES", "RECORDS", "BYTES", "FIRST OFFSET", "END OFFSET"]);
    let mut lines = String::new();
    for Verified { partition, report } in verified {
        table.row([
            partition.clone(),
            report.segments.to_string(),
            report.batches.to_string(),
            report.records.to_string(),
            report.bytes.to_string(),
            or_dash(report.first_offset),
            or_dash(report.end_offset),
        ]);
        for finding in &report.findings {
            let name = match finding.severity {
                Severity::Note => "note",
                Severity::Index => "index",
                Severity::Damage => "DAMAGE",
            };
            lines.push_str(&format!("{name}: {} {}.\n", finding.path.display(), finding.description));
        }
    }
    if verified.is_empty() {
        return format!("There is no partition in {}.\n", path.display());
    }
    if trouble(verified).is_none() {
        lines.push_str("Every batch is whole, and every index is that of its records.\n");
    }
    table.lines() + &lines
}

#[cfg(test)]
mod tests {
    use super::{Verified, text, trouble};
    use std::path::Path;
    use storage::ids::Offset;
    use storage::inspection::{Finding, PartitionReport, Severity};

    fn verified(severities: &[Severity]) -> Vec<Verified> {
        let finding = |severity: &Severity| Finding {
            severity: *severity,
            path: Path::new("/data/events-0/0.log").to_owned(),
            description: "is odd".to_owned(),
        };
        let report = PartitionReport {
            segments: 1,
            batches: 2,
            records: 6,
            bytes: 300,
            first_offset: Some(Offset(0)),
            end_offset: Some(Offset(6)),
            findings: severities.iter().map(finding).collect(),
        };
        vec![Verified { partition: "events-0".to_owned(), report }]
    }

    #[test]
    fn the_worst_finding_decides() {
        use Severity::{Damage, Index, Note};
        let code =
            |severities: &[Severity]| trouble(&verified(severities)).map(|trouble| trouble.exit_code());
        assert_eq!((code(&[]), code(&[Note])), (None, None));
        assert_eq!((code(&[Index, Note]), code(&[Note, Damage, Index])), (Some(4), Some(3)));
        let said = trouble(&verified(&[Index, Index])).map(|trouble| trouble.to_string()).unwrap_or_default();
        assert!(said.starts_with("2 indexes wrong: "), "{said}");
    }

    #[test]
    fn what_is_found_is_a_sentence() {
        let expected = "\
PARTITION  SEGMENTS  BATCHES  RECORDS  BYTES  FIRST OFFSET  END OFFSET
events-0   1         2        6        300    0             6
DAMAGE: /data/events-0/0.log is odd.
";
        assert_eq!(text(Path::new("/data"), &verified(&[Severity::Damage])), expected);
        assert!(text(Path::new("/data"), &verified(&[])).ends_with("every index is that of its records.\n"));
    }
}
