//! `ottla consume`: records of topics on standard output, as they come.
//!
//! Without a group it reads partitions by itself and leaves nothing behind on the brokers; with one it commits what it has
//! shown. A reader that goes away (`| head`) is a clean end. Absent: read_committed, so that records of transactions that were aborted are shown too.

mod member;
mod place;
mod reader;
mod show;
mod watched;

use super::asking;
use super::client::{Client, PartitionId};
use super::groups;
use super::target::{self, TopicChoice};
use super::topics;
use super::{ClusterArguments, NotUnderstood};
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use member::Member;
use place::Place;
use reader::Reader;
pub(super) use show::{Shown, ShownRecord};
use std::collections::BTreeMap;
use std::io::{self, BufWriter, Stdout, Write};
use tokio::signal::unix::{SignalKind, signal};

/// What is read, and how it is shown.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 not understood, 3 there is no such topic.")]
pub struct ConsumeArguments {
    /// Topics, or some of their partitions.
    #[arg(required = true, value_name = "TOPIC[:PARTITION,...]")]
    topics: Vec<TopicChoice>,
    /// Where to begin: `beginning`, `end`, an offset, -N for the last N of each partition, a time such as
    /// 2026-11-21T14:00:00 or 2026-11-21 (UTC) or, in milliseconds, s@1795269600000, or how long ago, such as 2h.
    #[arg(long, short = 'o', value_name = "PLACE", default_value = "beginning", allow_hyphen_values = true)]
    from: Place,
    /// Stop at the end, as it is when the command begins.
    #[arg(long, short = 'e')]
    exit_at_end: bool,
    /// Read as a member of this group: it shares the partitions with the other members, and begins where the group has
    /// committed, or where --from says. Brokers from Kafka 4.0 on have such groups.
    #[arg(long, short, value_name = "GROUP", value_parser = NonEmptyStringValueParser::new())]
    group: Option<String>,
    /// Stop after so many records.
    #[arg(long, short, value_name = "NUMBER")]
    count: Option<u64>,
    /// How each record is shown, in kcat's letters: %t topic, %p partition, %o offset, %T timestamp, %k key, %s value,
    /// %K and %S their lengths (-1 where there is none), %h headers, %% a percent sign; \n, \t and \\ as usual.
    #[arg(long, short, value_name = "FORMAT", default_value = "%s\\n")]
    format: Shown,
    /// Which cluster; --output json shows each record as a line of JSON.
    #[command(flatten)]
    cluster: ClusterArguments,
}

/// Prints records until it is told to stop, or for ever.
///
/// # Errors
/// When there is no such topic or partition, no broker answers in time, or a batch is damaged.
pub fn run(arguments: &ConsumeArguments) -> anyhow::Result<()> {
    check(arguments)?;
    super::unless_reader_left(asking::runtime()?.block_on(consume(arguments)))
}

/// What no cluster needs to be asked for.
fn check(arguments: &ConsumeArguments) -> Result<(), NotUnderstood> {
    let choice =
        arguments.topics.iter().find(|choice| arguments.group.is_some() && choice.names_partitions());
    choice.map_or(Ok(()), |choice| {
        let what = format!("a member of a group reads whole topics; {} names partitions", choice.topic());
        Err(NotUnderstood(what))
    })
}

async fn consume(arguments: &ConsumeArguments) -> anyhow::Result<()> {
    let cluster = &arguments.cluster;
    let mut client = cluster.connect().await?;
    let mut member = match &arguments.group {
        None => None,
        Some(group_id) => {
            let joining = async |client: &mut Client| join(client, arguments, group_id).await;
            Some(cluster.within_limit(&mut client, joining).await?)
        }
    };
    let mut terminate = signal(SignalKind::terminate())?;
    let done = tokio::select! {
        done = read_on(&mut client, arguments, member.as_mut()) => done,
        _told = tokio::signal::ctrl_c() => Ok(()),
        _told = terminate.recv() => Ok(()),
        () = watched::reader_left() => Ok(()),
    };
    if let Some(member) = &mut member {
        cluster.within_limit(&mut client, async |client| member.leave(client).await).await?;
    }
    done
}

/// Reads until the arguments are satisfied.
async fn read_on(
    client: &mut Client,
    arguments: &ConsumeArguments,
    mut member: Option<&mut Member>,
) -> anyhow::Result<()> {
    let cluster = &arguments.cluster;
    let mut reader = match member {
        Some(_) => Reader::default(),
        None => cluster.within_limit(client, async |client| open(client, arguments).await).await?,
    };
    let mut output = Output::new(arguments);
    while !output.is_full() && !reader.is_done() {
        if let Some(member) = &mut member {
            let keeping_up = async |client: &mut Client| follow(client, arguments, member, &mut reader).await;
            cluster.within_limit(client, keeping_up).await?;
        }
        let fetching = async |client: &mut Client| reader.fetch(client, cluster.limit()).await;
        for batches in cluster.within_limit(client, fetching).await? {
            reader.read(&batches, &mut |record| output.show(record))?;
        }
        output.flush()?;
        if let Some(member) = &mut member {
            let positions = reader.positions();
            cluster.within_limit(client, async |client| member.commit(client, &positions).await).await?;
        }
    }
    Ok(())
}

/// A member of the group, which the coordinator has not heard of yet.
async fn join(client: &mut Client, arguments: &ConsumeArguments, group_id: &str) -> anyhow::Result<Member> {
    let topics: Vec<&str> = arguments.topics.iter().map(TopicChoice::topic).collect();
    Member::new(client, group_id, &topics).await
}

/// Reads what the coordinator says that the member reads: from where the group is, or where the arguments want it.
async fn follow(
    client: &mut Client,
    arguments: &ConsumeArguments,
    member: &mut Member,
    reader: &mut Reader,
) -> anyhow::Result<()> {
    let Some(assigned) = member.keep_up(client).await? else { return Ok(()) };
    reader.retain(&assigned);
    let new: Vec<PartitionId> = assigned.into_iter().filter(|partition| !reader.has(partition)).collect();
    let committed = groups::committed(client, member.group_id()).await?;
    let wanted = place::positions(client, &new, &arguments.from).await?;
    let positions = wanted.into_iter().map(|(partition, wanted)| {
        let next = committed.get(&partition).copied().unwrap_or(wanted);
        (partition, next)
    });
    let ends = ends(client, arguments, &new).await?;
    reader.add(positions.collect(), ends.as_ref());
    Ok(())
}

/// Where reading stops, if it does.
async fn ends(
    client: &mut Client,
    arguments: &ConsumeArguments,
    partitions: &[PartitionId],
) -> anyhow::Result<Option<BTreeMap<PartitionId, i64>>> {
    match arguments.exit_at_end {
        true => Ok(Some(place::positions(client, partitions, &Place::End).await?)),
        false => Ok(None),
    }
}

/// A reader at the place where the arguments want it.
async fn open(client: &mut Client, arguments: &ConsumeArguments) -> anyhow::Result<Reader> {
    for choice in &arguments.topics {
        topics::existing(client, choice.topic()).await?;
    }
    let partitions = target::partitions(client, &arguments.topics).await?;
    let positions = place::positions(client, &partitions, &arguments.from).await?;
    if let Some(told) = place::beyond_the_end(&arguments.from, &positions) {
        eprintln!("ottla: {told}");
    }
    let ends = ends(client, arguments, &partitions).await?;
    let mut reader = Reader::default();
    reader.add(positions, ends.as_ref());
    Ok(reader)
}

/// Standard output, and what is still to be shown there.
struct Output<'a> {
    shown: Shown,
    left: Option<u64>,
    stream: BufWriter<Stdout>,
    arguments: &'a ConsumeArguments,
}

impl<'a> Output<'a> {
    fn new(arguments: &'a ConsumeArguments) -> Self {
        let stream = BufWriter::new(io::stdout());
        Self { shown: arguments.format.clone(), left: arguments.count, stream, arguments }
    }

    fn is_full(&self) -> bool {
        self.left == Some(0)
    }

    /// Shows a record, where records are still wanted; otherwise says that they are not.
    fn show(&mut self, record: &ShownRecord<'_>) -> anyhow::Result<bool> {
        if self.is_full() {
            return Ok(false);
        }
        self.left = self.left.map(|left| left - 1);
        match self.arguments.cluster.output {
            super::Form::Json => record.write_json(&mut self.stream)?,
            super::Form::Text => self.shown.write(record, &mut self.stream)?,
        }
        Ok(true)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
