//! Clients on the other end of pipes, in a time that passes only where all of them wait.

use super::{Ending, FRAME_DEADLINE, Incoming};
use crate::limits::Limits;
use std::time::Duration;
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{Instant, sleep};

const MIB: usize = 1024 * 1024;

/// The beginning of a Produce request that announces `announced` bytes, of which `sent` are there.
fn begun(announced: usize, sent: usize) -> Vec<u8> {
    let mut bytes = u32::try_from(announced).expect("small").to_be_bytes().to_vec();
    bytes.extend([0, 0, 0, 9, 0, 0, 0, 1]);
    bytes.resize(4 + sent, 0);
    bytes
}

/// A client that has sent `bytes`.
async fn client(bytes: &[u8]) -> (DuplexStream, Incoming<DuplexStream>) {
    let (mut near, far) = duplex(2 * MIB);
    near.write_all(bytes).await.expect("it fits the pipe");
    (near, Incoming::new(far))
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_not_whole_after_its_deadline_ends_the_connection() {
    for announced in [1000, 10_000, MIB] {
        let limits = Limits::new();
        let (mut near, mut incoming) = client(&begun(announced, 500)).await;
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
    let (mut near, mut incoming) = client(&begun(MIB, MIB - 1)).await;
    let last = tokio::spawn(async move {
        sleep(FRAME_DEADLINE - Duration::from_secs(1)).await;
        near.write_all(&[0]).await.expect("the node reads");
        near
    });
    let (frame, _memory) = incoming.request(&limits, 2 * MIB).await.expect("it is in time");
    assert_eq!(frame.len(), MIB);
    drop(last.await.expect("no panic"));
}
