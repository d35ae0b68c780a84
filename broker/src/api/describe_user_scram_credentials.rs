//! DescribeUserScramCredentials (key 50, version 0): which users have credentials for SCRAM (KIP-554).
//!
//! There are no users here, and so no credentials: a list of all is empty, and each user that is named is unknown. Kafka's
//! `kafka-configs --entity-type users --describe` asks this beside the quotas. AlterUserScramCredentials is not served.
//! Source: `ScramImage.describe`.

use super::RequestContext;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_user_scram_credentials_response::DescribeUserScramCredentialsResult;
use kafka_protocol::messages::{DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeMap;

pub(crate) async fn handle(
    _context: RequestContext,
    request: DescribeUserScramCredentialsRequest,
) -> DescribeUserScramCredentialsResponse {
    let mut times_named: BTreeMap<StrBytes, usize> = BTreeMap::new();
    for user in request.users.unwrap_or_default() {
        *times_named.entry(user.name).or_default() += 1;
    }
    let results = times_named.into_iter().map(|(user, times)| result(user, times));
    DescribeUserScramCredentialsResponse::default().with_error_message(None).with_results(results.collect())
}

fn result(user: StrBytes, times_named: usize) -> DescribeUserScramCredentialsResult {
    let (error, message) = match times_named {
        1 => (
            ResponseError::ResourceNotFound,
            format!("Attempt to describe a user credential that does not exist: {user}"),
        ),
        _ => (
            ResponseError::DuplicateResource,
            format!("Cannot describe SCRAM credentials for the same user twice in a single request: {user}"),
        ),
    };
    DescribeUserScramCredentialsResult::default()
        .with_user(user)
        .with_error_code(error.code())
        .with_error_message(Some(StrBytes::from_string(message)))
}

#[cfg(test)]
mod tests {
    use crate::node::testing::TestNode;
    use kafka_protocol::messages::describe_user_scram_credentials_request::UserName;
    use kafka_protocol::messages::{
        DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse,
    };
    use kafka_protocol::protocol::StrBytes;

    async fn describe(node: &TestNode, users: Option<&[&'static str]>) -> Vec<(String, i16)> {
        let user = |name: &&'static str| UserName::default().with_name(StrBytes::from_static_str(name));
        let users = users.map(|users| users.iter().map(user).collect());
        let request = DescribeUserScramCredentialsRequest::default().with_users(users);
        let answer: DescribeUserScramCredentialsResponse = node.ask(50, 0, &request).await;
        assert_eq!((answer.error_code, answer.error_message), (0, None));
        answer.results.into_iter().map(|result| (result.user.to_string(), result.error_code)).collect()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_user_has_credentials_and_one_that_is_named_twice_is_refused() {
        let node = TestNode::start(&[]).await;
        assert_eq!(describe(&node, None).await, []);
        assert_eq!(describe(&node, Some(&[])).await, []);
        let named = describe(&node, Some(&["bob", "alice", "bob"])).await;
        assert_eq!(named, [("alice".to_owned(), 91), ("bob".to_owned(), 92)]);
        node.stop().await;
    }
}
