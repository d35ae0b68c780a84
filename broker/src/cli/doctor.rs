//! `ottla doctor`: what is, or will be, in the way of a node and its clients, a sentence each with what to do about it.
//!
//! It changes nothing. The exit code is 0 where there is no problem (notes are none), 1 where the command failed, 2 where the
//! command line cannot be understood, and 3 where there are problems.

mod certificates;
mod clocks;
mod machine;
mod network;

use super::serve;
use super::table::count;
use super::{ClusterArguments, Form, ServeArguments, asking};
use clap::Args;
use serde::Serialize;

/// What is looked at.
#[derive(Debug, Args)]
#[command(after_help = "\
It checks that a broker answers, that clients reach each node at the address that they are told, and that every \
partition has a leader; the clocks and /health of the nodes; the space, inodes and kind of the file system of log.dirs, and the \
limits of open files, address space and mappings; the certificate for the other nodes, where there is one.

Exit codes: 0 no problem, 1 failed, 2 not understood, 3 there are problems.")]
pub struct DoctorArguments {
    /// Where nodes serve /health, whose clocks are compared. May be given many times; without it, the one that the
    /// configuration of this node names.
    #[arg(long, value_name = "HOST:PORT")]
    http: Vec<String>,
    /// The configuration of the node on this machine.
    #[command(flatten)]
    configuration: ServeArguments,
    /// Which cluster, and how the findings are shown.
    #[command(flatten)]
    cluster: ClusterArguments,
}

/// There are problems. It has no words of its own: they, and how many there are, are on standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("")]
pub struct Unwell;

impl Unwell {
    /// The process's exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        3
    }
}

/// What a look at one thing comes to: a sentence that says that it is well, or one that says what is wrong and what to do.
type Checked = Result<String, String>;

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    severity: Severity,
    /// What was looked at and how it is; where it is wrong, what to do. A whole sentence.
    sentence: String,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Severity {
    /// It was looked at, and is well.
    Ok,
    /// Worth knowing.
    Note,
    /// It is in the way, or will be.
    Problem,
}

/// What was looked at, and what was found.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Findings {
    checks: usize,
    findings: Vec<Finding>,
}

impl Findings {
    /// One thing was looked at.
    fn check(&mut self, checked: Checked) {
        self.checks += 1;
        let (severity, sentence) = match checked {
            Ok(sentence) => (Severity::Ok, sentence),
            Err(sentence) => (Severity::Problem, sentence),
        };
        self.findings.push(Finding { severity, sentence });
    }

    /// Something worth knowing.
    fn note(&mut self, sentence: String) {
        self.findings.push(Finding { severity: Severity::Note, sentence });
    }

    fn problems(&self) -> usize {
        self.findings.iter().filter(|finding| finding.severity == Severity::Problem).count()
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for finding in &self.findings {
            let severity = match finding.severity {
                Severity::Ok => "ok     ",
                Severity::Note => "note   ",
                Severity::Problem => "PROBLEM",
            };
            text.push_str(&format!("{severity}  {}\n", finding.sentence));
        }
        let (checks, problems) = (count(self.checks, "check"), count(self.problems(), "problem"));
        text + &format!("{checks}, {problems}.\n")
    }
}

/// Looks at everything, and prints what was found.
///
/// # Errors
/// When the configuration cannot be read, standard output is closed, or there are problems.
pub fn run(arguments: &DoctorArguments) -> anyhow::Result<()> {
    let loaded = serve::load(&arguments.configuration)?;
    let mut findings = Findings::default();
    for warning in loaded.warnings {
        findings.note(warning);
    }
    let http: Vec<String> = match arguments.http.is_empty() {
        false => arguments.http.clone(),
        true => loaded.broker.http_listener.iter().map(ToString::to_string).collect(),
    };
    asking::runtime()?.block_on(async {
        network::look(&arguments.cluster.bootstrap, &mut findings).await;
        clocks::look(&http, !arguments.http.is_empty(), &mut findings).await;
    });
    machine::look(&loaded.broker, &mut findings);
    certificates::look(&loaded.broker, &mut findings);
    super::print(&match arguments.cluster.output {
        Form::Json => asking::json(&findings)?,
        Form::Text => findings.text(),
    })?;
    match findings.problems() {
        0 => Ok(()),
        _problems => Err(Unwell.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::Findings;

    #[test]
    fn each_check_is_a_line_also_where_it_is_well_and_the_last_line_counts_them() {
        let mut findings = Findings::default();
        findings.check(Ok("Every partition has a leader.".to_owned()));
        findings.check(Err("The disk is full.".to_owned()));
        findings.note("Nobody listens.".to_owned());
        let expected = "\
ok       Every partition has a leader.
PROBLEM  The disk is full.
note     Nobody listens.
2 checks, 1 problem.
";
        assert_eq!(findings.text(), expected);
        assert_eq!(findings.problems(), 1);
        let told = serde_json::to_value(&findings).expect("it is JSON");
        let severities =
            told["findings"].as_array().expect("a list").iter().map(|it| it["severity"].as_str());
        assert_eq!(severities.collect::<Vec<_>>(), [Some("ok"), Some("problem"), Some("note")]);
    }
}
