//! How long it takes until every member of a large group has its partitions.
//!
//! One member leaves; once the others have shared its partitions it joins again, and from then until all own their part
//! in the same generation or epoch is the figure: the median of the rounds. Each member sends heartbeats every 100 ms,
//! not every 3 s as the Java client does by default, since a member hears of a rebalance by its next heartbeat and the
//! figure would be that of the clients.

use std::thread;
use std::time::Duration;

use anyhow::Result;

use super::board::Board;
use super::classic_member::{self, Duty};
use super::coordination::wait_for_coordinator;
use super::{Setting, consumer_member, milliseconds};
use crate::clock::Stopwatch;
use crate::side_by_side::Figures;
use crate::table::quantile;
use crate::wire::create_topic;

const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(100);
const TOPIC: &str = "bench-rebalance";

/// How a member lives.
type Life = fn(Duty<'_>, &Board) -> Result<()>;

pub(super) fn measure(setting: &Setting<'_>, figures: &mut Figures) -> Result<()> {
    let home = setting.contenders.home()?;
    let running = setting.contenders.start(setting.contender, home.path(), &[])?;
    let (members, partitions) =
        (usize::from(setting.options.members), usize::from(setting.options.partitions));
    create_topic(running.address, TOPIC, i32::try_from(partitions)?)?;
    let what = format!("{members} members, {partitions} partitions");
    let lives: [(&str, Life); 2] = [("classic", classic_member::live), ("consumer", consumer_member::live)];
    for (protocol, life) in lives {
        wait_for_coordinator(running.address, protocol)?;
        let duty = Duty {
            address: running.address,
            group: protocol,
            topic: TOPIC,
            partitions,
            number: 0,
            heartbeat_interval: HEARTBEAT_INTERVAL,
        };
        let cpu = running.process.cpu()?;
        let times = rounds(duty, life, members, setting.options.rounds)?;
        let cpu = running.process.cpu()?.saturating_sub(cpu);
        figures.add(format!("{what}, {protocol} protocol: first assignment, ms"), milliseconds(times.first));
        figures.add("the same, one more member joins: ms", milliseconds(quantile(&times.joins, 0.5)));
        figures.add("the same, one leaves: ms", milliseconds(quantile(&times.leaves, 0.5)));
        figures.add("the same: CPU-s of the broker over all rounds", cpu.as_secs_f64());
    }
    running.process.stop()
}

/// The times of one protocol, sorted.
struct Times {
    first: Duration,
    joins: Vec<Duration>,
    leaves: Vec<Duration>,
}

fn rounds(duty: Duty<'_>, life: Life, members: usize, rounds: u16) -> Result<Times> {
    let board = Board::default();
    let last = members - 1;
    thread::scope(|scope| {
        let started = Stopwatch::start();
        for number in 0..members {
            let board = &board;
            scope.spawn(move || {
                if let Err(error) = life(Duty { number, ..duty }, board) {
                    board.failed(number, &error);
                }
            });
        }
        let measured = (|| {
            board.wait_for(members, duty.partitions)?;
            let mut times = Times { first: started.elapsed(), joins: Vec::new(), leaves: Vec::new() };
            for _ in 0..rounds {
                let started = Stopwatch::start();
                board.send_away(last);
                board.wait_for(members - 1, duty.partitions)?;
                times.leaves.push(started.elapsed());
                let started = Stopwatch::start();
                board.call_back(last);
                board.wait_for(members, duty.partitions)?;
                times.joins.push(started.elapsed());
            }
            times.joins.sort_unstable();
            times.leaves.sort_unstable();
            Ok(times)
        })();
        board.end();
        measured
    })
}
