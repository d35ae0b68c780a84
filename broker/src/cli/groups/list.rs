//! `ottla groups list`.

use std::collections::BTreeMap;

use clap::Args;
use clap::builder::PossibleValuesParser;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::ListGroupsRequest;
use serde::Serialize;

use super::Form;
use crate::cli::client::{Client, ClientError, Node};
use crate::cli::table::Table;

/// The states that groups have. Source: `GroupState.java`.
const STATES: [&str; 8] = [
    "Empty",
    "Stable",
    "PreparingRebalance",
    "CompletingRebalance",
    "Assigning",
    "Reconciling",
    "NotReady",
    "Dead",
];

/// The kinds of groups that there are, on this broker or another. Source: `GroupType.java`.
const KINDS: [&str; 4] = ["classic", "consumer", "share", "streams"];

/// Which groups are listed.
#[derive(Debug, Args)]
pub struct ListArguments {
    /// Only those in this state. May be given many times.
    #[arg(long, value_name = "STATE", ignore_case = true, value_parser = PossibleValuesParser::new(STATES))]
    state: Vec<String>,
    /// Only those of this kind. May be given many times.
    #[arg(long, value_name = "KIND", ignore_case = true, value_parser = PossibleValuesParser::new(KINDS))]
    kind: Vec<String>,
}

/// A group in the list.
#[derive(Debug, Serialize)]
pub(super) struct Listed {
    pub(super) group_id: String,
    state: String,
    kind: String,
    protocol_type: String,
    coordinator: Node,
}

impl Listed {
    /// Whether it is of a kind that commits offsets. Brokers before Kafka 3.8 do not say the kind, and have no other.
    pub(super) fn has_offsets(&self) -> bool {
        matches!(self.kind.as_str(), "classic" | "consumer" | "")
    }
}

pub(super) async fn run(
    client: &mut Client,
    arguments: &ListArguments,
    form: Form,
) -> anyhow::Result<String> {
    let is_chosen = |chosen: &[String], value: &str| {
        chosen.is_empty() || chosen.iter().any(|one| one.eq_ignore_ascii_case(value))
    };
    let groups: Vec<Listed> = all(client)
        .await?
        .into_iter()
        .filter(|group| is_chosen(&arguments.state, &group.state) && is_chosen(&arguments.kind, &group.kind))
        .collect();
    Ok(match form {
        Form::Json => format!("{:#}\n", serde_json::to_value(&groups)?),
        Form::Text if groups.is_empty() => "There are no such groups.\n".to_owned(),
        Form::Text => table(groups),
    })
}

fn table(groups: Vec<Listed>) -> String {
    let mut table = Table::new(["GROUP", "STATE", "KIND", "PROTOCOL TYPE", "COORDINATOR"]);
    for group in groups {
        let Node { node_id, address } = group.coordinator;
        let coordinator = format!("{node_id} ({address})");
        table.row([group.group_id, group.state, group.kind, group.protocol_type, coordinator]);
    }
    table.lines()
}

/// All groups of the cluster, by name: each broker knows those that it coordinates.
pub(super) async fn all(client: &mut Client) -> anyhow::Result<Vec<Listed>> {
    let mut groups = BTreeMap::new();
    for node in client.nodes().to_vec() {
        let response = client.call(&node.address, &ListGroupsRequest::default()).await?;
        if let Some(error) = ResponseError::try_from_code(response.error_code) {
            let what = format!("the groups of the broker at {}", node.address);
            return Err(ClientError::Refused { what, error }.into());
        }
        for group in response.groups {
            let group_id = group.group_id.to_string();
            let listed = Listed {
                group_id: group_id.clone(),
                state: group.group_state.to_string(),
                kind: group.group_type.to_string().to_lowercase(),
                protocol_type: group.protocol_type.to_string(),
                coordinator: node.clone(),
            };
            groups.insert(group_id, listed);
        }
    }
    Ok(groups.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::ListArguments;
    use clap::{Args as _, Command};

    #[test]
    fn states_and_kinds_that_no_group_has_are_refused_with_the_nearest() {
        let read = |arguments: &[&str]| {
            let command = ListArguments::augment_args(Command::new("list"));
            command.try_get_matches_from([&["list"], arguments].concat())
        };
        assert!(read(&["--state", "empty", "--state", "PreparingRebalance", "--kind", "CONSUMER"]).is_ok());
        let said = read(&["--state", "stabel"]).map_err(|error| error.to_string());
        assert!(said.is_err_and(|said| said.contains("invalid value 'stabel'") && said.contains("'Stable'")));
        let said = read(&["--kind", "nope"]).map_err(|error| error.to_string());
        assert!(
            said.is_err_and(|said| said.contains("[possible values: classic, consumer, share, streams]"))
        );
    }
}
