//! The replicas of a topic whose copying is throttled, as `leader.` and `follower.replication.throttled.replicas` name
//! them: `partition:broker,partition:broker,…`, or `*` for all. Source: KIP-73, ThrottledReplicaListValidator.java.

use std::collections::BTreeSet;

use crate::value::{Typed, Value};

/// Replicas of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ThrottledReplicas {
    /// Every replica of every partition.
    All,
    /// These partitions on these brokers.
    Some(BTreeSet<(i32, i32)>),
}

impl ThrottledReplicas {
    /// Whether the replica of `partition` on `broker` is among them.
    #[must_use]
    pub fn contains(&self, partition: i32, broker: i32) -> bool {
        match self {
            Self::All => true,
            Self::Some(replicas) => replicas.contains(&(partition, broker)),
        }
    }

    /// Reads the entries of a list; none where one of them names no replica.
    pub(crate) fn of_entries(entries: &[String]) -> Option<Self> {
        match entries {
            [entry] if entry == "*" => Some(Self::All),
            // An entry may be empty, as in Apache Kafka.
            entries => {
                let named = entries.iter().filter(|entry| !entry.is_empty());
                named.map(|entry| replica(entry)).collect::<Option<_>>().map(Self::Some)
            }
        }
    }
}

impl Default for ThrottledReplicas {
    fn default() -> Self {
        Self::Some(BTreeSet::new())
    }
}

fn replica(entry: &str) -> Option<(i32, i32)> {
    let number = |text: &str| text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    let (partition, broker) = entry.split_once(':')?;
    Some((number(partition)?, number(broker)?))
}

impl Typed for ThrottledReplicas {
    fn of(value: &Value) -> Self {
        match value {
            Value::List(entries) => {
                Self::of_entries(entries).expect("the key's rule lets only replicas through")
            }
            Value::Boolean(_) | Value::Integer(_) | Value::Double(_) | Value::Text(_) => {
                unreachable!("the key's type is a list")
            }
        }
    }

    fn value(&self) -> Value {
        Value::List(match self {
            Self::All => vec!["*".to_owned()],
            Self::Some(replicas) => {
                replicas.iter().map(|(partition, broker)| format!("{partition}:{broker}")).collect()
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::ThrottledReplicas;
    use crate::keys;
    use crate::value::Typed;

    fn read(text: &str) -> Result<ThrottledReplicas, String> {
        let key = keys::topic_key("leader.replication.throttled.replicas").expect("there is such a key");
        key.read(text).map(|value| ThrottledReplicas::of(&value)).map_err(|error| error.to_string())
    }

    #[test]
    fn list_names_partitions_and_brokers_and_a_star_all_of_them() {
        let some = read(" 0:1, 12:3,").unwrap();
        let named = |(partition, broker)| some.contains(partition, broker);
        assert!(named((0, 1)) && named((12, 3)) && !named((1, 0)) && !named((0, 3)));
        assert!(read("*").unwrap().contains(7, 9));
        assert!(!read("").unwrap().contains(0, 0));
        assert_eq!(some.value().to_string(), "0:1,12:3");
    }

    #[test]
    fn whatever_names_no_replica_is_refused() {
        for text in ["1", "1:", ":1", "1:2:3", "a:b", "-1:1", "+1:1", "0:1,*", "*,*", "0:99999999999"] {
            assert!(read(text).is_err(), "{text}");
        }
        assert_eq!(
            read("0-1").unwrap_err(),
            "Invalid value 0-1 for configuration leader.replication.throttled.replicas: it must be the literal '*' or a \
             list of replicas in the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],..."
        );
    }
}
