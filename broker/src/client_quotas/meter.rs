//! What one request costs its client, and the quiet that follows.

use super::Client;
use crate::api::{PRODUCE_KEY, RequestContext};
use crate::broker::Broker;
use crate::clock;
use parking_lot::Mutex;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// The user of every request: nobody proves yet who it is. Source: `KafkaPrincipal.ANONYMOUS`.
const ANONYMOUS: &str = "ANONYMOUS";

/// The longest that nothing is read from a connection. Longer: a client that has left meanwhile keeps its place among the
/// connections. Shorter: one that does not keep quiet by itself gets more through than its quota.
const MUTE_MAX: Duration = Duration::from_secs(600);

/// A connection that nothing is read from for a while.
#[derive(Debug, Default)]
pub(crate) struct Mute(Mutex<Duration>);

impl Mute {
    /// Nothing is read before `until`, nor before an earlier call said.
    fn extend(&self, until: Duration) {
        let mut mute = self.0.lock();
        *mute = until.max(*mute);
    }

    /// For how long nothing is read yet.
    pub(crate) fn remaining(&self) -> Duration {
        self.0.lock().saturating_sub(clock::monotonic())
    }

    /// Until when nothing is read, also where that is over; zero where everything ever was.
    #[cfg(test)]
    pub(crate) fn until(&self) -> Duration {
        *self.0.lock()
    }
}

/// A response that can say for how long its client is to keep quiet.
pub(crate) trait Throttled {
    /// Says it, where the response has a field for it.
    fn set_throttle_time_ms(&mut self, milliseconds: i32);

    /// What it says.
    fn throttle_time_ms(&self) -> i32;
}

/// What a request costs, where quotas are set.
pub(crate) struct Meter {
    charged: Option<Charged>,
}

struct Charged {
    broker: Arc<Broker>,
    mute: Arc<Mute>,
    client_id: String,
    /// What the request costs by itself, whatever becomes of it.
    quiet: Duration,
    began: Duration,
}

impl Meter {
    /// A request was read, and is about to be handled.
    pub(crate) fn begin(context: &RequestContext, api_key: i16) -> Self {
        if !context.broker.client_quotas.are_set() {
            return Self { charged: None };
        }
        let mut quiet = Duration::ZERO;
        if api_key == PRODUCE_KEY {
            quiet = context.broker.client_quotas.produced(context.client(), context.request_bytes);
            mute(&context.broker, &context.mute, quiet);
        }
        let charged = Charged {
            broker: Arc::clone(&context.broker),
            mute: Arc::clone(&context.mute),
            client_id: context.client_id.clone(),
            quiet,
            began: clock::monotonic(),
        };
        Self { charged: Some(charged) }
    }

    /// Waits for the response, and says in it for how long the client is to keep quiet.
    pub(crate) async fn finish<R: Throttled>(self, response: impl Future<Output = R>) -> R {
        let Some(charged) = self.charged else { return response.await };
        let handled = clock::monotonic().saturating_sub(charged.began);
        let (mut response, polled) = Timed { future: Box::pin(response), busy: Duration::ZERO }.await;
        let client = Client { user: ANONYMOUS, client_id: &charged.client_id };
        let busy = charged.broker.client_quotas.kept_busy(client, handled + polled);
        mute(&charged.broker, &charged.mute, busy);
        let told = milliseconds(busy.max(charged.quiet)).max(response.throttle_time_ms());
        response.set_throttle_time_ms(told);
        response
    }
}

impl RequestContext {
    /// Who asks, as quotas see it.
    pub(crate) fn client(&self) -> Client<'_> {
        Client { user: ANONYMOUS, client_id: &self.client_id }
    }

    /// The client is to keep quiet for so long: says so in milliseconds, and reads nothing from its connection meanwhile.
    pub(crate) fn keep_quiet(&self, quiet: Duration) -> i32 {
        mute(&self.broker, &self.mute, quiet);
        milliseconds(quiet)
    }

    /// The client is to be sent so many bytes of records: for how long it is to keep quiet instead, in milliseconds, or 0.
    pub(crate) fn fetches(&self, bytes: usize) -> i32 {
        self.keep_quiet(self.broker.client_quotas.fetches(self.client(), bytes))
    }
}

fn mute(broker: &Broker, mute: &Mute, quiet: Duration) {
    if milliseconds(quiet) > 0 {
        broker.metrics.throttled_requests.increment(1);
        mute.extend(clock::monotonic() + quiet.min(MUTE_MAX));
    }
}

fn milliseconds(quiet: Duration) -> i32 {
    i32::try_from(quiet.as_millis()).unwrap_or(i32::MAX)
}

/// A future and the time for which polling it kept a thread busy.
struct Timed<F> {
    future: Pin<Box<F>>,
    busy: Duration,
}

impl<F: Future> Future for Timed<F> {
    type Output = (F::Output, Duration);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let began = clock::monotonic();
        let polled = self.future.as_mut().poll(context);
        self.busy += clock::monotonic().saturating_sub(began);
        polled.map(|output| (output, self.busy))
    }
}
