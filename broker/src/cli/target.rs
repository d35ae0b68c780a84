//! Topics and partitions on the command line: `events`, or `events:0,3`.

use std::collections::BTreeMap;
use std::str::FromStr;

use anyhow::bail;

use crate::cli::client::{Client, PartitionId};

/// A topic, or some of its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopicChoice {
    topic: String,
    /// `None` for all of them.
    partitions: Option<Vec<i32>>,
}

impl TopicChoice {
    /// The topic's name.
    pub(crate) fn topic(&self) -> &str {
        &self.topic
    }

    /// Whether some of its partitions are meant only.
    pub(crate) fn names_partitions(&self) -> bool {
        self.partitions.is_some()
    }
}

impl FromStr for TopicChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (topic, partitions) = match text.split_once(':') {
            None => (text, None),
            Some((topic, partitions)) => {
                let partitions: Result<Vec<i32>, _> =
                    partitions.split(',').map(|number| number.trim().parse::<i32>()).collect();
                match partitions {
                    Ok(partitions) if partitions.iter().all(|partition| *partition >= 0) => {
                        (topic, Some(partitions))
                    }
                    _ => return Err(format!("{text} is not TOPIC or TOPIC:PARTITION,PARTITION")),
                }
            }
        };
        if topic.is_empty() {
            return Err("the topic's name is empty".to_owned());
        }
        Ok(Self { topic: topic.to_owned(), partitions })
    }
}

/// The partitions that are meant, each once. A topic or partition that is not there is an error.
pub(crate) async fn partitions(
    client: &mut Client,
    choices: &[TopicChoice],
) -> anyhow::Result<Vec<PartitionId>> {
    let topics: Vec<&str> = choices.iter().map(|choice| choice.topic.as_str()).collect();
    let existing = client.partitions_of(&topics).await?;
    let mut chosen = BTreeMap::new();
    for choice in choices {
        let Some(Some(existing)) = existing.get(&choice.topic) else {
            bail!("there is no topic {}", choice.topic);
        };
        for partition in choice.partitions.as_ref().unwrap_or(existing) {
            if !existing.contains(partition) {
                bail!("{} has no partition {partition}; it has {}", choice.topic, existing.len());
            }
            chosen.insert(PartitionId { topic: choice.topic.clone(), partition: *partition }, ());
        }
    }
    Ok(chosen.into_keys().collect())
}

/// Whether one of `choices` means `partition`.
pub(crate) fn is_meant(choices: &[TopicChoice], partition: &PartitionId) -> bool {
    choices.iter().any(|choice| {
        choice.topic == partition.topic
            && choice.partitions.as_ref().is_none_or(|partitions| partitions.contains(&partition.partition))
    })
}

#[cfg(test)]
mod tests {
    use super::{TopicChoice, is_meant};
    use crate::cli::client::PartitionId;

    fn choice(text: &str) -> Result<TopicChoice, String> {
        text.parse()
    }

    #[test]
    fn a_topic_may_name_partitions() {
        let means = |text: &str, topic: &str, partition| {
            is_meant(&[choice(text).unwrap()], &PartitionId { topic: topic.to_owned(), partition })
        };
        assert!(means("events", "events", 7));
        assert!(!means("events", "logs", 7));
        assert!(means("events:0, 3", "events", 3));
        assert!(!means("events:0,3", "events", 1));
    }

    #[test]
    fn what_names_no_partitions_is_refused() {
        for text in ["", ":1", "events:", "events:a", "events:-1", "events:1,,2"] {
            assert!(choice(text).is_err(), "{text}");
        }
    }
}
