//! What the error codes mean that people meet.

use kafka_protocol::ResponseError;

/// What a broker's error means, with Kafka's name for it, by which it can be looked up.
pub(crate) fn meaning(error: &ResponseError) -> String {
    let words = match error {
        ResponseError::InvalidTopicException => {
            "no topic can have this name; letters, digits, '.', '_' and '-' can be in one, 249 of them at most"
        }
        ResponseError::UnknownTopicOrPartition => "there is no such topic or partition",
        ResponseError::LeaderNotAvailable => {
            "no node leads it; `ottla cluster status` says whom it waits for"
        }
        ResponseError::NotLeaderOrFollower => "its leader has just changed, or does not hear from the others",
        ResponseError::NotEnoughReplicas => "fewer replicas are in sync than min.insync.replicas wants",
        ResponseError::KafkaStorageError => {
            "the disk of the node that leads it is full or has failed, or it writes to as many partitions as it has files for; \
             `ottla doctor` there, or its log, says which"
        }
        ResponseError::NotCoordinator => {
            "its coordinator has just changed, or does not hear from the others; `ottla cluster status` says which nodes are there"
        }
        ResponseError::CoordinatorNotAvailable => {
            "nobody coordinates it now; `ottla cluster status` says which nodes are there"
        }
        ResponseError::CoordinatorLoadInProgress => {
            "its coordinator still reads what was committed, which passes by itself"
        }
        ResponseError::NotController => {
            "no node leads the cluster now; `ottla cluster status` says which nodes are there"
        }
        ResponseError::RequestTimedOut => {
            "it was not done in time, and may be yet; `ottla cluster status` says which nodes are there"
        }
        ResponseError::TopicAuthorizationFailed
        | ResponseError::GroupAuthorizationFailed
        | ResponseError::ClusterAuthorizationFailed => "the broker does not allow this client to do that",
        other => return other.to_string(),
    };
    format!("{words} ({error})")
}

#[cfg(test)]
mod tests {
    use super::meaning;
    use kafka_protocol::ResponseError;

    #[test]
    fn an_error_keeps_the_name_by_which_it_can_be_looked_up() {
        let said = meaning(&ResponseError::NotEnoughReplicas);
        assert!(
            said.starts_with("fewer replicas are in sync") && said.ends_with("(NotEnoughReplicas)"),
            "{said}"
        );
        assert_eq!(meaning(&ResponseError::RebalanceInProgress), "RebalanceInProgress");
    }
}
