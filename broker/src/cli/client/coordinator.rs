//! Requests to the coordinator of a group, wherever that is now.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::FindCoordinatorRequest;
use kafka_protocol::protocol::StrBytes;

use super::{Call, Client, ClientError, Node, address, meaning};

/// FindCoordinator's number for groups.
const GROUP: i8 = 0;

/// How a response says whether the coordinator itself has refused, whatever it says of each group or partition.
pub(crate) type ErrorOf<T> = fn(&T) -> i16;

impl Client {
    /// Asks the coordinator of `group_id`, and follows it when it moves or is still loading. `error_of` finds the error
    /// of the coordinator in a response; other errors are the caller's to judge.
    pub(crate) async fn ask_coordinator<R: Call>(
        &mut self,
        group_id: &str,
        request: &R,
        error_of: ErrorOf<R::Response>,
    ) -> Result<R::Response, ClientError> {
        loop {
            let coordinator = self.coordinator(group_id).await?;
            let trouble = match self.call(&coordinator.address, request).await {
                Ok(response) => match ResponseError::try_from_code(error_of(&response)).filter(is_passing) {
                    None => return Ok(response),
                    Some(error) => {
                        format!("group {group_id}, at {}: {}", coordinator.address, meaning(&error))
                    }
                },
                Err(error @ ClientError::Io { .. }) => error.to_string(),
                Err(other) => return Err(other),
            };
            self.pause(trouble).await;
        }
    }

    /// The node that coordinates `group_id`. Waits while there is none.
    pub(crate) async fn coordinator(&mut self, group_id: &str) -> Result<Node, ClientError> {
        let request = FindCoordinatorRequest::default()
            .with_key_type(GROUP)
            .with_coordinator_keys(vec![StrBytes::from_string(group_id.to_owned())]);
        loop {
            let response = self.ask_anybody(&request).await?;
            let found = response.coordinators.into_iter().next();
            let Some(found) = found else {
                self.pause(format!("no coordinator is named for {group_id}")).await;
                continue;
            };
            match ResponseError::try_from_code(found.error_code) {
                None => {
                    return Ok(Node {
                        node_id: found.node_id.0,
                        address: address(found.host.as_str(), found.port),
                    });
                }
                Some(error) if is_passing(&error) => {
                    self.pause(format!("group {group_id}: {}", meaning(&error))).await;
                }
                Some(error) => {
                    return Err(ClientError::Refused {
                        what: format!("the coordinator of {group_id}"),
                        error,
                    });
                }
            }
        }
    }

    /// Asks one broker after the other until one answers.
    async fn ask_anybody<R: Call>(&mut self, request: &R) -> Result<R::Response, ClientError> {
        let first = self.any_address().to_owned();
        let mut answer = self.call(&first, request).await;
        for address in self.others() {
            if answer.is_ok() {
                break;
            }
            answer = self.call(&address, request).await;
        }
        answer
    }
}

/// Whether it goes away by asking again.
fn is_passing(error: &ResponseError) -> bool {
    matches!(
        error,
        ResponseError::CoordinatorLoadInProgress
            | ResponseError::CoordinatorNotAvailable
            | ResponseError::NotCoordinator
    )
}
