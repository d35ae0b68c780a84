//! The task of one fetcher: connects to the leader, and keeps both directions going at once, since a side that waits
//! until it may speak must hear the other meanwhile.

use super::{Fetcher, retry_after};
use crate::broker::Broker;
use crate::peer::{FrameError, FrameReader, NoSilence, write_frame};
use crate::replica_messages::{LEADER_BYTES_MAX, LeaderSays, MessageError, SILENCE_MAX};
use crate::stopping::Stopping;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite, split};
use tokio::time::sleep;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error(transparent)]
    Read(#[from] FrameError),
    #[error("writing failed: {0}")]
    Write(#[from] io::Error),
    #[error(transparent)]
    Message(#[from] MessageError),
}

/// Follows the leader for as long as something is followed, until `stopping` is set.
pub(super) async fn run(broker: Arc<Broker>, fetcher: Arc<Fetcher>, mut stopping: Stopping) {
    let mut failures = 0;
    loop {
        tokio::select! {
            biased;
            () = stopping.requested() => return,
            () = until_needed(&fetcher) => {}
        }
        // What is cut off here is a connection; the next one begins anew.
        tokio::select! {
            biased;
            () = stopping.requested() => return,
            () = until_not_needed(&fetcher) => continue,
            has_connected = follow(&broker, &fetcher) => {
                failures = if has_connected { 0 } else { failures + 1 };
            }
        }
        tokio::select! {
            biased;
            () = stopping.requested() => return,
            () = sleep(retry_after(failures)) => {}
        }
    }
}

async fn until_needed(fetcher: &Fetcher) {
    while !fetcher.is_needed() {
        fetcher.flushed.woken().await;
    }
}

/// A partition may come and go without a connection knowing, so this looks from time to time; nothing is lost by it.
async fn until_not_needed(fetcher: &Fetcher) {
    while fetcher.is_needed() {
        sleep(super::RETRY_LAST).await;
    }
}

/// One connection, from its beginning to its end. Answers whether there was one.
async fn follow(broker: &Arc<Broker>, fetcher: &Arc<Fetcher>) -> bool {
    let leader = fetcher.leader;
    let stream = match broker.quorum.connect_to_fetch(leader).await {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!("node {leader} is not reached, to follow it: {error}");
            return false;
        }
    };
    tracing::debug!("following node {leader} at {}", stream.address);
    let ended = follow_over(broker, fetcher, stream).await;
    tracing::debug!("the connection to node {leader}, which is followed, ended: {ended}");
    true
}

/// Follows the leader at the other end of `stream`, until that ends.
pub(super) async fn follow_over<S: AsyncRead + AsyncWrite>(
    broker: &Arc<Broker>,
    fetcher: &Arc<Fetcher>,
    stream: S,
) -> Ended {
    fetcher.begin();
    let (reader, writer) = split(stream);
    // The loser is cut off, with the connection.
    let ended = tokio::select! {
        ended = hear(broker, fetcher, reader) => ended,
        ended = speak(broker, fetcher, writer) => ended,
        never = fetcher.ask_again() => match never {},
        never = fetcher.ask_held_back(broker) => match never {},
    };
    match ended {
        Ok(never) => match never {},
        Err(ended) => ended,
    }
}

async fn hear<R: AsyncRead + Unpin>(
    broker: &Arc<Broker>,
    fetcher: &Arc<Fetcher>,
    reader: R,
) -> Result<Infallible, Ended> {
    let mut reader = NoSilence::new(reader, SILENCE_MAX);
    let mut frames = FrameReader::of_known_node();
    loop {
        let body = frames.read(&mut reader, LEADER_BYTES_MAX).await?;
        fetcher.take_in(broker, LeaderSays::decode(&body)?).await;
    }
}

async fn speak<W: AsyncWrite + Unpin>(
    broker: &Arc<Broker>,
    fetcher: &Arc<Fetcher>,
    mut writer: W,
) -> Result<Infallible, Ended> {
    loop {
        while let Some(says) = fetcher.says(broker) {
            write_frame(&mut writer, &[&says.encode()]).await?;
        }
        fetcher.flushed.woken().await;
    }
}
