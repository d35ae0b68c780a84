//! What Kafka's tools print, made comparable between two brokers.
//!
//! Names that a run makes up are replaced by their stand-ins, identifiers by `ID`, the address by `HOST:PORT`; columns are
//! one space apart, and rows stand in the order of their text, since tools print them in the order of their hash tables.

use anyhow::{Context as _, Result};

use crate::driver::{Driver, ToolFiles};

/// The tools by the names of their scripts.
const TOOLS: [(&str, &str); 17] = [
    ("kafka-broker-api-versions", "org.apache.kafka.tools.BrokerApiVersionsCommand"),
    ("kafka-client-metrics", "org.apache.kafka.tools.ClientMetricsCommand"),
    ("kafka-cluster", "org.apache.kafka.tools.ClusterTool"),
    ("kafka-configs", "kafka.admin.ConfigCommand"),
    ("kafka-console-consumer", "org.apache.kafka.tools.consumer.ConsoleConsumer"),
    ("kafka-console-producer", "org.apache.kafka.tools.ConsoleProducer"),
    ("kafka-consumer-groups", "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"),
    ("kafka-delete-records", "org.apache.kafka.tools.DeleteRecordsCommand"),
    ("kafka-features", "org.apache.kafka.tools.FeatureCommand"),
    ("kafka-get-offsets", "org.apache.kafka.tools.GetOffsetShell"),
    ("kafka-groups", "org.apache.kafka.tools.GroupsCommand"),
    ("kafka-leader-election", "org.apache.kafka.tools.LeaderElectionCommand"),
    ("kafka-log-dirs", "org.apache.kafka.tools.LogDirsCommand"),
    ("kafka-metadata-quorum", "org.apache.kafka.tools.MetadataQuorumCommand"),
    ("kafka-reassign-partitions", "org.apache.kafka.tools.reassign.ReassignPartitionsCommand"),
    ("kafka-topics", "org.apache.kafka.tools.TopicCommand"),
    ("kafka-transactions", "org.apache.kafka.tools.TransactionsCommand"),
];

/// Stands for the address, among arguments as well: where it is not, it comes before them.
const ADDRESS: &str = "HOST:PORT";

/// What a tool printed, on either stream, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Printed {
    /// The lines in their normal form.
    pub lines: Vec<String>,
    /// The exit status.
    pub status: i32,
}

/// Tools that are asked about one broker.
#[derive(Debug)]
pub struct Transcript {
    tools: Driver,
    bootstrap: String,
    /// Made-up names, and what stands for them.
    names: Vec<(String, String)>,
}

impl Transcript {
    /// Asks `tools` about the broker at `bootstrap`, where these names are made up and others stand for them.
    #[must_use]
    pub fn new(tools: Driver, bootstrap: &str, names: Vec<(String, String)>) -> Transcript {
        Transcript { tools, bootstrap: bootstrap.to_owned(), names }
    }

    /// One more name that is made up.
    pub fn add_name(&mut self, made_up: String, stand_in: &str) {
        self.names.push((made_up, stand_in.to_owned()));
    }

    /// What is made up for a stand-in.
    ///
    /// # Errors
    /// When it is not known.
    pub fn name(&self, stand_in: &str) -> Result<&str> {
        let found = self.names.iter().find(|(_, name)| name == stand_in);
        found.map(|(made_up, _)| &**made_up).with_context(|| format!("nothing stands for {stand_in}"))
    }

    /// Runs a tool with these arguments, in which stand-ins are replaced by names, and a file as its standard input;
    /// returns the normal form of what it printed.
    ///
    /// # Errors
    /// When the program around the tools fails; a tool's own failure is what it prints.
    pub fn run(&mut self, tool: &str, arguments: &str, stdin: Option<&str>) -> Result<Printed> {
        let class = TOOLS.iter().find(|(name, _)| *name == tool).map(|(_, class)| *class);
        let mut real = arguments.replace(ADDRESS, &self.bootstrap);
        for (made_up, stand_in) in &self.names {
            real = real.replace(&**stand_in, made_up);
        }
        let address: &[&str] =
            if arguments.contains(ADDRESS) { &[] } else { &["--bootstrap-server", &self.bootstrap] };
        let arguments_with_address: Vec<&str> = address.iter().copied().chain(real.split(' ')).collect();
        let class = class.with_context(|| format!("{tool} is no tool"))?;
        let files = ToolFiles { stdin, stdout: None };
        let output = self.tools.run_tool(class, &arguments_with_address, files)?;
        let printed = output.stdout + &output.stderr;
        let mut lines: Vec<String> = printed.lines().map(|line| self.normal(line)).collect();
        // The places in the tool's own code are nobody's business.
        lines.retain(|line| !(line.is_empty() || line.starts_with("at ") || line.starts_with("Caused by: ")));
        lines.sort_unstable_by_key(|line| (!is_heading(line), line.clone()));
        Ok(Printed { lines, status: output.status })
    }

    fn normal(&self, line: &str) -> String {
        let mut line = line.replace(&self.bootstrap, ADDRESS);
        for (made_up, stand_in) in &self.names {
            line = line.replace(&**made_up, stand_in);
        }
        let words: Vec<String> = line.split_whitespace().map(without_id).collect();
        words.join(" ")
    }
}

fn is_heading(line: &str) -> bool {
    line.starts_with("GROUP ") || line.starts_with("TOPIC PARTITION ")
}

/// The word with `ID` for the identifier that it ends with: a UUID, or 16 bytes in base 64.
fn without_id(word: &str) -> String {
    const UUID: usize = 36;
    const BASE64: usize = 22;
    let (head, tail) = word.split_at_checked(word.len().saturating_sub(UUID)).unwrap_or((word, ""));
    if tail.len() == UUID && uuid::Uuid::try_parse(tail).is_ok() {
        return format!("{head}ID");
    }
    let bare = word.trim_end_matches("==");
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_');
    // A name in capitals or small letters is none, and nothing but the letter that stands for zeros is one.
    let has = |holds: fn(&u8) -> bool| bare.bytes().any(|byte| holds(&byte));
    let is_mixed = has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase);
    let is_nil = bare.bytes().all(|byte| byte == b'A');
    if bare.len() == BASE64 && bare.bytes().all(is_base64) && (is_mixed || is_nil) {
        "ID".to_owned()
    } else {
        word.to_owned()
    }
}
