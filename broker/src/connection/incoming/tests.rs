//! Clients on the other end of pipes, in a time that passes only where all of them wait.

use super::{Ending, FRAME_DEADLINE, Incoming};
use crate::limits::Limits;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{Instant, sleep};

const MIB: usize = 1024 * 1024;
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

/// Half-sent requests that are there from the beginning.
const HALF_SENT: usize = 1000;
/// After so long another one begins.
const TRICKLE: Duration = Duration::from_millis(100);
/// How long a healthy client waits for an answer. Source: `request.timeout.ms`.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// The beginning of a Produce request that announces `announced` bytes, of which `sent` are there.
fn begun(announced: usize, sent: usize) -> Vec<u8> {
    let mut bytes = u32::try_from(announced).expect("small").to_be_bytes().to_vec();
    bytes.extend([0, 0, 0, 9, 0, 0, 0, 1]);
    bytes.resize(4 + sent, 0);
    bytes
}

/// A client that has sent `bytes`.
async fn client(from: IpAddr, bytes: &[u8]) -> (DuplexStream, Incoming<DuplexStream>) {
    let (mut near, far) = duplex(2 * MIB);
    near.write_all(bytes).await.expect("it fits the pipe");
    (near, Incoming::new(far, from))
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_not_whole_after_its_deadline_ends_the_connection() {
    for announced in [1000, 10_000, MIB] {
        let limits = Limits::new();
        let (mut near, mut incoming) = client(HERE, &begun(announced, 500)).await;
        // A byte from time to time gains it nothing.
        let dripping = tokio::spawn(async move {
            while near.write_all(&[0]).await.is_ok() {
                sleep(Duration::from_secs(7)).await;
            }
        });
        let before = Instant::now();
        let read = incoming.request(&limits, 2 * MIB).await;
        assert!(matches!(read, Err(Ending::FrameTooSlow)), "{:?}", read.err());
        // The clock counts whole milliseconds.
        let took = before.elapsed().saturating_sub(FRAME_DEADLINE);
        assert!(before.elapsed() >= FRAME_DEADLINE && took <= Duration::from_millis(2), "{took:?}");
        drop(incoming);
        dripping.await.expect("it ends with the pipe");
        assert_eq!(limits.usage().requests_in_flight, 0, "nothing is left of it");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_whole_within_its_deadline_is_read_however_slow() {
    let limits = Limits::new();
    let (mut near, mut incoming) = client(HERE, &begun(MIB, MIB - 1)).await;
    let last = tokio::spawn(async move {
        sleep(FRAME_DEADLINE - Duration::from_secs(1)).await;
        near.write_all(&[0]).await.expect("the node reads");
        near
    });
    let (frame, _memory) = incoming.request(&limits, 2 * MIB).await.expect("it is in time");
    assert_eq!(frame.len(), MIB);
    drop(last.await.expect("no panic"));
}

/// A client here that announces a megabyte, sends `sent` bytes of it, and waits until it is cut off.
fn send_half(limits: &Arc<Limits>, sent: usize) {
    let limits = Arc::clone(limits);
    tokio::spawn(async move {
        let (_near, mut incoming) = client(HERE, &begun(MIB, sent)).await;
        let read = incoming.request(&limits, 2 * MIB).await;
        assert!(matches!(read, Err(Ending::FrameInTheWay | Ending::FrameTooSlow)), "{:?}", read.err());
    });
}

/// A client that sends one large request after the other, each as soon as the last was read; the longest that one took.
async fn longest_wait(limits: &Limits, from: IpAddr) -> Duration {
    let mut longest = Duration::ZERO;
    let (mut near, mut incoming) = client(from, &[]).await;
    for _ in 0..20 {
        let before = Instant::now();
        near.write_all(&begun(300_000, 300_000)).await.expect("it fits the pipe");
        let (frame, memory) = incoming.request(limits, 2 * MIB).await.expect("it is read");
        assert_eq!(frame.len(), 300_000);
        drop(memory);
        longest = longest.max(before.elapsed());
    }
    longest
}

/// Wherever a client is, its large requests pass beside a thousand that are half sent and others that begin all the time:
/// some of these hold room that they do not fill, some wait for more than they hold, some for the first.
#[tokio::test(start_paused = true)]
async fn large_requests_pass_beside_a_thousand_half_sent_ones_and_a_trickle_of_others() {
    for (from, sent) in
        [(ELSEWHERE, 20_000), (HERE, 20_000), (HERE, 200), (HERE, 5_000), (ELSEWHERE, 100_000)]
    {
        let limits = Arc::new(Limits::new());
        (0..HALF_SENT).for_each(|_| send_half(&limits, sent));
        let more = Arc::clone(&limits);
        let trickle = tokio::spawn(async move {
            loop {
                send_half(&more, sent);
                sleep(TRICKLE).await;
            }
        });
        // They all are there first.
        sleep(TRICKLE).await;
        let longest = longest_wait(&limits, from).await;
        trickle.abort();
        assert!(longest < ANSWER_MAX, "{sent} bytes sent, {from}: {longest:?}");
    }
}
