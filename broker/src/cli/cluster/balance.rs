//! `ottla cluster balance`.

use super::plan::{self, Move};
use super::{Answer, moves, picture};
use crate::cli::client::Client;
use crate::cli::table::{Table, count};
use crate::cli::{ClusterArguments, Form};
use clap::Args;
use serde::Serialize;

/// How a cluster is evened out.
#[derive(Debug, Args)]
pub struct BalanceArguments {
    /// Spread the replicas over the nodes as well, which copies data: after a node has joined, or was drained.
    #[arg(long)]
    replicas: bool,
    /// Do it. Without this, the command shows what it would do.
    #[arg(long)]
    execute: bool,
    /// Which cluster, and how it is shown.
    #[command(flatten)]
    pub(super) cluster: ClusterArguments,
}

/// A partition that gets another leader.
#[derive(Debug, Serialize)]
struct LeaderMove {
    topic: String,
    partition: i32,
    from: Option<i32>,
    to: i32,
}

/// What is done, or would be.
#[derive(Debug, Serialize)]
struct Balanced {
    executed: bool,
    leaders: Vec<LeaderMove>,
    replicas: Vec<Move>,
    refused: Vec<String>,
}

pub(super) async fn run(
    client: &mut Client,
    arguments: &BalanceArguments,
    form: Form,
) -> anyhow::Result<Answer> {
    let until = moves::waiting_ends(arguments.cluster.timeout);
    let picture = picture::take(client).await?;
    let led = picture.partitions.iter().filter(|it| it.is_led_by_another());
    let leaders = led.filter_map(|it| {
        let to = *it.replicas.first().filter(|id| picture.is_active(**id))?;
        Some(LeaderMove { topic: it.topic.clone(), partition: it.partition, from: it.leader, to })
    });
    let mut balanced = Balanced {
        executed: arguments.execute,
        leaders: leaders.collect(),
        replicas: if arguments.replicas { plan::spread(&picture) } else { Vec::new() },
        refused: Vec::new(),
    };
    let mut trouble = None;
    if arguments.execute {
        let names: Vec<_> = balanced.leaders.iter().map(|it| (it.topic.clone(), it.partition)).collect();
        balanced.refused = moves::elect(client, &names).await?;
        balanced.refused.extend(moves::reassign(client, &balanced.replicas).await?);
        trouble = moves::wait(client, &balanced.replicas, until).await?.or(moves::refused(&balanced.refused));
    }
    let text = match form {
        Form::Json => format!("{:#}\n", serde_json::to_value(&balanced)?),
        Form::Text => describe(&balanced),
    };
    Ok(Answer { text, trouble })
}

fn describe(balanced: &Balanced) -> String {
    let Balanced { executed, leaders, replicas, refused } = balanced;
    if leaders.is_empty() && replicas.is_empty() {
        return "There is nothing to even out.\n".to_owned();
    }
    let mut table = Table::new(["PARTITION", "WHAT", "FROM", "TO"]);
    for it in leaders {
        let from = it.from.map_or("-".to_owned(), |id| id.to_string());
        table.row([format!("{}-{}", it.topic, it.partition), "leader".to_owned(), from, it.to.to_string()]);
    }
    for it in replicas {
        let [from, to] = [&it.from, &it.to].map(|list| shown(list));
        table.row([format!("{}-{}", it.topic, it.partition), "replicas".to_owned(), from, to]);
    }
    let (leaders, moved) = (count(leaders.len(), "leader"), count(replicas.len(), "partition"));
    let verdict = match executed {
        true if refused.is_empty() => format!("Gave back {leaders} and moved {moved}.\n"),
        true => format!("Gave back {leaders} and moved {moved}, except:\n"),
        false => format!("Would give back {leaders} and move {moved}; --execute does it.\n"),
    };
    table.lines() + &verdict + &moves::refusal_lines(refused)
}

/// Nodes as a cell.
pub(super) fn shown(nodes: &[i32]) -> String {
    nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
