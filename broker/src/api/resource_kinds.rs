//! The kinds of what has settings, by their numbers on the wire. Source: `ConfigResource.Type`.

pub(super) const TOPIC: i8 = 2;
/// One broker, or all of them where the name is empty.
pub(super) const BROKER: i8 = 4;
/// What one broker logs.
pub(super) const BROKER_LOGGER: i8 = 8;
/// A subscription to clients' metrics.
pub(super) const CLIENT_METRICS: i8 = 16;
pub(super) const GROUP: i8 = 32;
