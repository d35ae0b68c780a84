//! Groups: the classic protocol, the consumer protocol, and what turns one into the other.
