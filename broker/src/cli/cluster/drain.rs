//! `ottla cluster drain`.
//!
//! Leaders go first, to replicas that are in sync already, so that producers and consumers have left the node before its
//! data is copied elsewhere. A node of three, each with a replica of everything, has nobody to give its replicas to: it
//! keeps them, and can be stopped as it is. Absent: a mark that keeps new partitions off a node; until it is stopped it may
//! be given some, which is said.

use super::balance::shown;
use super::plan::{self, DrainPlan};
use super::{Answer, moves, picture};
use crate::cli::client::Client;
use crate::cli::table::{Table, count};
use crate::cli::{ClusterArguments, Form};
use anyhow::bail;
use clap::Args;
use serde::Serialize;

/// Which node is taken out of use.
#[derive(Debug, Args)]
pub struct DrainArguments {
    /// The node's `node.id`.
    #[arg(value_name = "NODE")]
    node: i32,
    /// Do it. Without this, the command shows what it would do.
    #[arg(long)]
    execute: bool,
    /// Which cluster, and how it is shown.
    #[command(flatten)]
    pub(super) cluster: ClusterArguments,
}

/// What is done, or would be.
#[derive(Debug, Serialize)]
struct Drained {
    node: i32,
    executed: bool,
    #[serde(flatten)]
    plan: DrainPlan,
    refused: Vec<String>,
}

pub(super) async fn run(
    client: &mut Client,
    arguments: &DrainArguments,
    form: Form,
) -> anyhow::Result<Answer> {
    let until = moves::waiting_ends(arguments.cluster.timeout);
    let picture = picture::take(client).await?;
    let node = arguments.node;
    if !picture.nodes.iter().any(|known| known.node_id == node) {
        bail!("there is no node {node} in the cluster; `ottla cluster status` lists them");
    }
    let plan = plan::drain(&picture, node);
    let mut drained = Drained { node, executed: arguments.execute, plan, refused: Vec::new() };
    let mut trouble = None;
    if arguments.execute {
        let DrainPlan { leaders, replicas, .. } = &drained.plan;
        // In the new order the node is last, so the preferred leader is another one.
        let mut refused = moves::reassign(client, leaders).await?;
        let names: Vec<_> = leaders.iter().map(|it| (it.topic.clone(), it.partition)).collect();
        refused.extend(moves::elect(client, &names).await?);
        refused.extend(moves::reassign(client, replicas).await?);
        trouble = moves::wait(client, replicas, until).await?.or(moves::refused(&refused));
        drained.refused = refused;
    }
    let text = match form {
        Form::Json => format!("{:#}\n", serde_json::to_value(&drained)?),
        Form::Text => describe(&drained),
    };
    Ok(Answer { text, trouble })
}

fn describe(drained: &Drained) -> String {
    let Drained { node, executed, plan, refused } = drained;
    if plan.leaders.is_empty() && plan.replicas.is_empty() && plan.kept.is_empty() {
        return format!("Node {node} has nothing.\n");
    }
    let mut text = String::new();
    if !plan.leaders.is_empty() || !plan.replicas.is_empty() {
        let mut table = Table::new(["PARTITION", "WHAT", "FROM", "TO"]);
        for (what, list) in [("leader", &plan.leaders), ("replica", &plan.replicas)] {
            for it in list {
                let name = format!("{}-{}", it.topic, it.partition);
                table.row([name, what.to_owned(), shown(&it.from), shown(&it.to)]);
            }
        }
        text.push_str(&table.lines());
        let leaders = count(plan.leaders.len(), "leader");
        let replicas = count(plan.replicas.len(), "replica");
        text.push_str(&match executed {
            true if refused.is_empty() => format!(
                "Moved {leaders} and {replicas} off node {node}. Until it stops, new topics may be placed on it.\n"
            ),
            true => format!("Moved {leaders} and {replicas} off node {node}, except:\n"),
            false => format!("Would move {leaders} and {replicas} off node {node}; --execute does it.\n"),
        });
        text.push_str(&moves::refusal_lines(refused));
    }
    if !plan.kept.is_empty() {
        let (kept, verb) =
            (count(plan.kept.len(), "partition"), if *executed { "keeps" } else { "would keep" });
        text.push_str(&format!(
            "Node {node} {verb} its replica of {kept}, since no other node that may be used is without one.\n"
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{DrainPlan, Drained, describe};
    use crate::cli::cluster::plan::Move;

    #[test]
    fn what_stays_is_said_with_its_reason() {
        let leader = Move { topic: "t".to_owned(), partition: 0, from: vec![3, 1, 2], to: vec![1, 2, 3] };
        let plan = DrainPlan { leaders: vec![leader], replicas: Vec::new(), kept: vec![("t".to_owned(), 0)] };
        let drained = Drained { node: 3, executed: true, plan, refused: Vec::new() };
        let expected = "\
PARTITION  WHAT    FROM   TO
t-0        leader  3,1,2  1,2,3
Moved 1 leader and 0 replicas off node 3. Until it stops, new topics may be placed on it.
Node 3 keeps its replica of 1 partition, since no other node that may be used is without one.
";
        assert_eq!(describe(&drained), expected);
    }
}
