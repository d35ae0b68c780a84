//! Whether anybody still reads what is shown.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use std::io;
use tokio::sync::oneshot;

/// Returns once nobody reads standard output any more: `| head` has seen enough, though no record may ever come that would
/// be written in vain. Where standard output is a file, nobody can leave.
pub(super) async fn reader_left() {
    let (sender, left) = oneshot::channel();
    // A thread of its own, since waiting for this cannot be given up; the process ends without it.
    let watching =
        std::thread::Builder::new().name("standard output".to_owned()).spawn(move || wait_and_tell(sender));
    if watching.is_err() || left.await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn wait_and_tell(left: oneshot::Sender<()>) {
    let output = io::stdout();
    loop {
        // No event is asked for: that the other end is closed is told unasked.
        let mut watched = [PollFd::new(&output, PollFlags::empty())];
        match poll(&mut watched, None) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_closed) => {
                // Who does not listen any more has ended.
                let _unheard = left.send(());
                return;
            }
            Err(_unwatchable) => return,
        }
    }
}
