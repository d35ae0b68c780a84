//! What a member of a group says, line by line.

use serde::Deserialize;
use serde_json::Value;

/// Something that happened to one member.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event {
    /// It was given these partitions, in addition to those that it has.
    Assigned {
        /// Partitions of the group's topic.
        partitions: Vec<i32>,
        /// The generation, or the member's epoch, where the client tells.
        generation: Option<i32>,
    },
    /// These partitions were taken from it.
    Revoked {
        /// Partitions of the group's topic.
        partitions: Vec<i32>,
    },
    /// It processed a record.
    Record {
        /// Where the record was.
        partition: i32,
        /// Its offset there.
        offset: i64,
        /// Its value.
        value: String,
    },
    /// The broker acknowledged a commit.
    Committed {
        /// Pairs of a partition and the next offset to read from it.
        offsets: Vec<(i32, i64)>,
    },
    /// The client complained of something from which it goes on.
    Trouble {
        /// In its own words.
        message: String,
    },
}

/// Whose words a member uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `programs/README.md`.
    Contract,
    /// kcat: `-J` on standard output, and sentences about rebalances on standard error.
    Kcat,
    /// Kafka's `VerifiableConsumer` with `--verbose`.
    VerifiableConsumer,
}

impl Dialect {
    /// The event in a line of standard output; a line that says nothing to a test is none.
    #[must_use]
    pub fn stdout(self, line: &str) -> Option<Event> {
        let Ok(mut value) = serde_json::from_str::<Value>(line) else { return trouble(line) };
        match self {
            Dialect::Contract => {}
            Dialect::Kcat => {
                value["event"] = "record".into();
                value["value"] = value["payload"].take();
            }
            Dialect::VerifiableConsumer => translate(&mut value)?,
        }
        serde_json::from_value(value).ok().or_else(|| trouble(line))
    }

    /// The event in a line of standard error.
    #[must_use]
    pub fn stderr(self, line: &str) -> Option<Event> {
        let rebalance = (self == Dialect::Kcat).then(|| kcat_rebalance(line)).flatten();
        rebalance.or_else(|| trouble(line))
    }
}

fn trouble(line: &str) -> Option<Event> {
    Some(Event::Trouble { message: line.to_owned() })
}

/// Turns an event of `VerifiableConsumer` into one of ours, where there is one.
fn translate(value: &mut Value) -> Option<()> {
    let event = match value["name"].as_str()? {
        "partitions_assigned" => "assigned",
        "partitions_revoked" => "revoked",
        "record_data" => "record",
        "offsets_committed" if value["success"] == true => "committed",
        "offsets_committed" => {
            value["message"] = value["error"].take();
            "trouble"
        }
        _ => return None,
    };
    value["event"] = event.into();
    for (field, list) in [("partition", "partitions"), ("partition", "offsets")] {
        for place in value[list].as_array_mut().into_iter().flatten() {
            let offset = place.get("offset").cloned();
            let partition = place[field].take();
            *place = offset.map_or(partition.clone(), |offset| Value::from(vec![partition, offset]));
        }
    }
    Some(())
}

/// `% Group g rebalanced (memberid m): assigned: topic [0], topic [1]`
fn kcat_rebalance(line: &str) -> Option<Event> {
    let (_, happened) = line.strip_prefix("% Group ")?.split_once("): ")?;
    let (what, places) = happened.split_once(": ")?;
    let partitions = places
        .split('[')
        .skip(1)
        .map(|place| place.split(']').next().and_then(|number| number.parse().ok()))
        .collect::<Option<Vec<i32>>>()?;
    match what {
        "assigned" => Some(Event::Assigned { partitions, generation: None }),
        "revoked" => Some(Event::Revoked { partitions }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Dialect, Event};

    #[test]
    fn every_dialect_says_the_same() {
        let assigned = Some(Event::Assigned { partitions: vec![0, 2], generation: None });
        let kcat = "% Group g rebalanced (memberid rdkafka-1): assigned: t [0], t [2]";
        assert_eq!(Dialect::Kcat.stderr(kcat), assigned);
        let verifiable = r#"{"timestamp":1,"name":"partitions_assigned","partitions":[{"topic":"t","partition":0},
            {"topic":"t","partition":2}]}"#;
        assert_eq!(Dialect::VerifiableConsumer.stdout(verifiable), assigned);
        let contract = r#"{"event":"assigned","partitions":[0,2]}"#;
        assert_eq!(Dialect::Contract.stdout(contract), assigned);
    }

    #[test]
    fn commits_of_the_verifiable_consumer_are_pairs() {
        let line = r#"{"timestamp":1,"name":"offsets_committed","offsets":[{"topic":"t","partition":1,"offset":7}],
            "success":true}"#;
        let committed = Event::Committed { offsets: vec![(1, 7)] };
        assert_eq!(Dialect::VerifiableConsumer.stdout(line), Some(committed));
    }
}
