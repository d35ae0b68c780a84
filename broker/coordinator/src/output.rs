//! What a core answers: records to append, replies to send.

use crate::record::Record;
use crate::request::Reply;

/// Whom a reply goes to. The shell gives one to every request and remembers who it is; a core only keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplyTo(pub u64);

/// What follows from a request or a deadline.
///
/// The order of duties: append `records` in one batch, apply them, and send `replies` once they, and all that was
/// applied before them, are committed. Where the append fails, every reply is replaced by the error.
#[derive(Debug, Default)]
pub struct Output {
    /// What to persist, in this order, in one batch.
    pub records: Vec<Record>,
    /// What to answer, and to whom; a request may be answered by the handling of a later one.
    pub replies: Vec<(ReplyTo, Reply)>,
}

impl Output {
    /// Adds an answer.
    pub fn reply(&mut self, to: ReplyTo, reply: Reply) {
        self.replies.push((to, reply));
    }
}
