//! Gives up a connection over which nothing comes.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// A reader that fails with [`io::ErrorKind::TimedOut`] once nothing came for a while, however long a message takes that
/// comes piece by piece.
#[derive(Debug)]
pub(crate) struct NoSilence<R> {
    reader: R,
    silence_max: Duration,
    silent: Pin<Box<Sleep>>,
    /// Whether the time runs since something came.
    is_waiting: bool,
}

impl<R: AsyncRead + Unpin> NoSilence<R> {
    /// Reads from `reader`, which may be silent for `silence_max`.
    pub(crate) fn new(reader: R, silence_max: Duration) -> Self {
        Self { reader, silence_max, silent: Box::pin(sleep(silence_max)), is_waiting: false }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for NoSilence<R> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Poll::Ready(read) = Pin::new(&mut this.reader).poll_read(context, buffer) {
            this.is_waiting = false;
            return Poll::Ready(read);
        }
        if !this.is_waiting {
            this.is_waiting = true;
            this.silent.as_mut().reset(Instant::now() + this.silence_max);
        }
        this.silent.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::NoSilence;
    use std::io::ErrorKind;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn what_comes_is_read_and_silence_ends_it() {
        let (mut sender, receiver) = tokio::io::duplex(64);
        let mut receiver = NoSilence::new(receiver, Duration::from_millis(10));
        for byte in 0..3 {
            sender.write_all(&[byte]).await.unwrap();
            assert_eq!(receiver.read_u8().await.unwrap(), byte);
        }
        assert_eq!(receiver.read_u8().await.unwrap_err().kind(), ErrorKind::TimedOut);
    }
}
