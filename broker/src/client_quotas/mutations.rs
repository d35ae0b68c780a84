//! Topics and partitions that clients make and delete, charged to them (`controller_mutation_rate`).
//!
//! The controller counts them, whichever node the client asked: see `replication::controller::mutations`. The node that was
//! asked tells the client for how long to keep quiet, and does not read from it meanwhile.

use crate::api::RequestContext;
use crate::quorum::ProposeError;
use replication::controller::mutations::{ChargedRequest, Mutation, MutationResults};
use replication::controller::{ControllerReply, ControllerRequest};
use std::time::Duration;

impl RequestContext {
    /// Has the controller make or delete what the client asks for, and waits until requests see it; for `patience` at most.
    /// From the version `strict_since` of the request on, its client understands that it has to come back. Returns what became
    /// of it, and for how long the client is to keep quiet.
    ///
    /// # Errors
    /// When the metadata quorum does not answer; whether the decision was made is unknown then.
    pub(crate) async fn mutate(
        &self,
        mutation: Mutation,
        strict_since: i16,
        patience: Duration,
    ) -> Result<(MutationResults, Duration), ProposeError> {
        let client = self.client();
        let request = ControllerRequest::Charged(ChargedRequest {
            user: client.user.to_owned(),
            client_id: client.client_id.to_owned(),
            is_strict: self.version >= strict_since,
            mutation,
        });
        match self.broker.propose(request, patience).await? {
            ControllerReply::Charged { results, quiet } => Ok((results, quiet)),
            other => unreachable!("the controller answered what is charged with {other:?}"),
        }
    }
}
