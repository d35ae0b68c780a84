//! The commands' client: it finds the brokers, and asks the one that knows.
//!
//! It speaks Kafka's protocol alone, so the commands work on Apache Kafka as they do on Ottla. One request is under way
//! at a time; who calls bounds the whole by a deadline, and [`Client::trouble`] says what it was waiting for then.
//!
//! Absent: TLS, SASL, and brokers before Kafka 3.0 (a version that this client cannot speak is an error that says so).

mod bootstrap;
mod connection;
mod coordinator;
mod meaning;
mod offsets;
mod topics;
mod waits;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::clock;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{BrokerId, MetadataRequest, MetadataResponse};
use kafka_protocol::protocol::{Request, StrBytes};
use tokio::time::timeout;

pub(crate) use bootstrap::bootstrap;
use connection::Connection;
pub(crate) use meaning::meaning;
pub(crate) use offsets::{OffsetAt, Offsets, PartitionId};
pub(crate) use topics::{PartitionState, TopicState, wire_name};
use waits::{Asked, Waits};

/// How long the client waits before it asks again. Larger: a command is slow while a cluster starts. Smaller: a broker
/// that is starting is asked for nothing.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// How long a broker may be silent before the next of several addresses is asked. Longer: a command waits for a machine that is
/// gone while others are there. Shorter: a busy broker is passed over.
const SILENCE_MAX: Duration = Duration::from_secs(3);

/// Why a broker could not be asked, or what it answered instead.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// None of the addresses answers.
    #[error("no broker answers at {bootstrap} ({reason}); --bootstrap names another address")]
    Unreachable {
        /// The addresses.
        bootstrap: String,
        /// What the last one failed with.
        reason: String,
    },
    /// The connection broke.
    #[error("the connection to the broker at {address} failed: {source}{}", why_there(told_by.as_deref()))]
    Io {
        /// The broker's address.
        address: String,
        /// The address of the broker that says that it is there, where nobody reached it.
        told_by: Option<String>,
        /// What failed.
        source: std::io::Error,
    },
    /// The answer is none of Kafka's.
    #[error("what listens at {address} answers something that is not the Kafka protocol ({reason})")]
    Malformed {
        /// The address.
        address: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// The broker speaks other versions, or none.
    #[error("the broker at {address} does not serve {api} in a version from {min} to {max}")]
    Unsupported {
        /// The broker's address.
        address: String,
        /// The API's name.
        api: &'static str,
        /// The first version that this client speaks.
        min: i16,
        /// The last.
        max: i16,
    },
    /// The broker refused.
    #[error("{what}: {}", meaning(error))]
    Refused {
        /// What was asked of it.
        what: String,
        /// Its answer.
        error: ResponseError,
    },
}

/// One of the brokers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub(crate) struct Node {
    /// Its `node.id`.
    pub(crate) node_id: i32,
    /// Where it listens.
    pub(crate) address: String,
}

/// A request that the client knows how to write, by name.
pub(crate) trait Call: Request {
    /// The API's name.
    const NAME: &'static str;
    /// The versions in which the client fills the request and reads the response.
    const SPOKEN: RangeInclusive<i16>;
}

macro_rules! calls {
    ($($name:ident: $request:ident $spoken:expr;)*) => {
        $(impl Call for kafka_protocol::messages::$request {
            const NAME: &'static str = stringify!($name);
            const SPOKEN: RangeInclusive<i16> = $spoken;
        })*
    };
}

calls! {
    Metadata: MetadataRequest 4..=12;
    ListOffsets: ListOffsetsRequest 2..=10;
    FindCoordinator: FindCoordinatorRequest 4..=6;
    ListGroups: ListGroupsRequest 3..=5;
    DescribeGroups: DescribeGroupsRequest 4..=6;
    ConsumerGroupDescribe: ConsumerGroupDescribeRequest 0..=1;
    OffsetFetch: OffsetFetchRequest 8..=9;
    OffsetCommit: OffsetCommitRequest 7..=9;
    OffsetDelete: OffsetDeleteRequest 0..=0;
    DeleteGroups: DeleteGroupsRequest 1..=2;
    DescribeCluster: DescribeClusterRequest 0..=2;
    DescribeTopicPartitions: DescribeTopicPartitionsRequest 0..=0;
    ElectLeaders: ElectLeadersRequest 1..=2;
    AlterPartitionReassignments: AlterPartitionReassignmentsRequest 0..=0;
    ListPartitionReassignments: ListPartitionReassignmentsRequest 0..=0;
    CreateTopics: CreateTopicsRequest 5..=7;
    DeleteTopics: DeleteTopicsRequest 6..=6;
    CreatePartitions: CreatePartitionsRequest 2..=3;
    DescribeConfigs: DescribeConfigsRequest 1..=4;
    IncrementalAlterConfigs: IncrementalAlterConfigsRequest 0..=1;
    InitProducerId: InitProducerIdRequest 2..=5;
    Produce: ProduceRequest 7..=12;
    Fetch: FetchRequest 4..=12;
    ConsumerGroupHeartbeat: ConsumerGroupHeartbeatRequest 0..=1;
}

/// A client of one cluster.
#[derive(Debug)]
pub(crate) struct Client {
    /// Which address answered first, and told where the others are.
    came_by: String,
    cluster_id: Option<String>,
    nodes: Vec<Node>,
    connections: BTreeMap<String, Connection>,
    trouble: Option<String>,
    waits: Waits,
}

impl Client {
    /// Asks the first of `bootstrap` (comma-separated addresses) that answers who the brokers are. All together may take as
    /// long as `limit`; one that is silent leaves the others their time.
    pub(crate) async fn connect(bootstrap: &str, limit: Duration) -> Result<Self, ClientError> {
        let until = clock::monotonic() + limit;
        let addresses: Vec<&str> =
            bootstrap.split(',').map(str::trim).filter(|address| !address.is_empty()).collect();
        let mut reasons = Vec::new();
        for (place, address) in addresses.iter().enumerate() {
            let rest = until.saturating_sub(clock::monotonic());
            let patience = match u32::try_from(addresses.len() - place) {
                Ok(left @ 2..) => SILENCE_MAX.min(rest / left),
                _last => rest,
            };
            let reason = match timeout(patience, Self::connect_to(address)).await {
                Ok(Ok(client)) => return Ok(client),
                Ok(Err(ClientError::Io { source, .. })) => source.to_string(),
                Ok(Err(other)) => return Err(other),
                Err(_elapsed) => {
                    let seconds = patience.as_secs_f64();
                    format!("no answer within {seconds:.1} s: is it stuck, or a firewall in between?")
                }
            };
            reasons.push((address, reason));
        }
        let reason = match reasons.as_slice() {
            [(_address, reason)] => reason.clone(),
            several => {
                let named = several.iter().map(|(address, reason)| format!("{address}: {reason}"));
                named.collect::<Vec<_>>().join("; ")
            }
        };
        Err(ClientError::Unreachable { bootstrap: bootstrap.to_owned(), reason })
    }

    async fn connect_to(address: &str) -> Result<Self, ClientError> {
        let mut client = Self {
            came_by: address.to_owned(),
            cluster_id: None,
            nodes: Vec::new(),
            connections: BTreeMap::new(),
            trouble: None,
            waits: Waits::default(),
        };
        let metadata = client.metadata_from(address, &[], false).await?;
        client.nodes = nodes(&metadata);
        client.cluster_id = metadata.cluster_id.map(|id| id.to_string());
        Ok(client)
    }

    /// The brokers of the cluster, by their ids.
    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Which cluster this is, as its brokers say.
    pub(crate) fn cluster_id(&self) -> Option<&str> {
        self.cluster_id.as_deref()
    }

    /// What the client is held up by, for who gives up waiting: the brokers that do not answer, else what the last answer said.
    pub(crate) fn trouble(&self) -> String {
        let waits = self.waits.told(self.trouble.is_none(), clock::monotonic());
        match (&self.trouble, waits.is_empty()) {
            (Some(trouble), true) => trouble.clone(),
            (None, true) => "the broker's answers lead no further".to_owned(),
            (Some(trouble), false) => format!("{waits}; before that: {trouble}"),
            (None, false) => waits,
        }
    }

    /// Asks the broker at `address`, in the highest version that both speak.
    pub(crate) async fn call<R: Call>(
        &mut self,
        address: &str,
        request: &R,
    ) -> Result<R::Response, ClientError> {
        let mut connection = self.connection(address).await?;
        self.waits.begin(address, Asked::Request(R::NAME), clock::monotonic());
        let response = connection.call(request).await;
        self.waits.end(address);
        // A connection on which anything failed is not kept.
        let response = response?;
        self.connections.insert(address.to_owned(), connection);
        Ok(response)
    }

    /// The connection to `address`, taken out of those that are kept, or a new one.
    async fn connection(&mut self, address: &str) -> Result<Connection, ClientError> {
        if let Some(kept) = self.connections.remove(address) {
            return Ok(kept);
        }
        self.waits.begin(address, Asked::Connection, clock::monotonic());
        let opened = open(address, &self.came_by).await;
        self.waits.end(address);
        opened
    }

    /// Asks several brokers at once, each its own request. Answers come in the order of the requests.
    pub(crate) async fn call_each<R: Call>(
        &mut self,
        requests: Vec<(String, R)>,
    ) -> Vec<(String, Result<R::Response, ClientError>)> {
        let began = clock::monotonic();
        let mut calls = FuturesUnordered::new();
        for (place, (address, request)) in requests.into_iter().enumerate() {
            let kept = self.connections.remove(&address);
            let came_by = self.came_by.clone();
            self.waits.begin(&address, Asked::Request(R::NAME), began);
            calls.push(async move {
                let answer = async {
                    let mut connection = match kept {
                        Some(connection) => connection,
                        None => open(&address, &came_by).await?,
                    };
                    connection.call(&request).await.map(|response| (response, connection))
                };
                let answer = answer.await;
                (place, address, answer)
            });
        }
        let mut answers = BTreeMap::new();
        while let Some((place, address, answer)) = calls.next().await {
            self.waits.end(&address);
            let response = answer.map(|(response, connection)| {
                self.connections.insert(address.clone(), connection);
                response
            });
            answers.insert(place, (address, response));
        }
        answers.into_values().collect()
    }

    /// Whether the broker at `address` serves this request in a version that the client speaks.
    pub(crate) async fn serves<R: Call>(&mut self, address: &str) -> Result<bool, ClientError> {
        let connection = self.connection(address).await?;
        let is_served = connection.version::<R>().is_ok();
        self.connections.insert(address.to_owned(), connection);
        Ok(is_served)
    }

    /// Whether the broker at `address` answers within `limit`.
    pub(crate) async fn is_answered_by(&mut self, address: &str, limit: Duration) -> bool {
        let answer = timeout(limit, self.serves::<MetadataRequest>(address)).await;
        self.waits.end(address);
        matches!(answer, Ok(Ok(true)))
    }

    /// Whether the broker at `address` serves this request in `version` or a later one.
    pub(crate) async fn serves_from<R: Call>(
        &mut self,
        address: &str,
        version: i16,
    ) -> Result<bool, ClientError> {
        if !self.serves::<R>(address).await? {
            return Ok(false);
        }
        let connection = self.connections.get(address);
        Ok(connection.is_some_and(|it| it.version::<R>().is_ok_and(|highest| highest >= version)))
    }

    async fn metadata_from(
        &mut self,
        address: &str,
        topics: &[&str],
        makes_topics: bool,
    ) -> Result<MetadataResponse, ClientError> {
        let topic = |name: &&str| {
            kafka_protocol::messages::metadata_request::MetadataRequestTopic::default()
                .with_name(Some(StrBytes::from_string((*name).to_owned()).into()))
        };
        let request = MetadataRequest::default()
            .with_topics(Some(topics.iter().map(topic).collect()))
            .with_allow_auto_topic_creation(makes_topics);
        self.call(address, &request).await
    }

    /// What the cluster knows of `topics`, from any broker that answers.
    async fn metadata(&mut self, topics: &[&str]) -> Result<MetadataResponse, ClientError> {
        self.metadata_of(topics, false).await
    }

    /// The same; where it is wanted, the cluster makes topics that are not there, if it does so at all.
    async fn metadata_of(
        &mut self,
        topics: &[&str],
        makes_topics: bool,
    ) -> Result<MetadataResponse, ClientError> {
        let mut answer = self.metadata_from(&self.came_by.clone(), topics, makes_topics).await;
        for address in self.others() {
            if answer.is_ok() {
                break;
            }
            answer = self.metadata_from(&address, topics, makes_topics).await;
        }
        let metadata = answer?;
        self.nodes = nodes(&metadata);
        Ok(metadata)
    }

    /// A broker for what any of them can answer or pass on: the one that told of the others, which may be gone, and be named
    /// all the same while no majority is left to notice.
    pub(crate) fn any_address(&self) -> &str {
        &self.came_by
    }

    /// Where else to ask what any broker answers.
    fn others(&self) -> Vec<String> {
        let addresses = self.nodes.iter().map(|node| &node.address);
        addresses.filter(|address| **address != self.came_by).cloned().collect()
    }

    /// Where the node of this id listens, if the cluster names it.
    pub(crate) fn address_of(&self, node_id: i32) -> Option<String> {
        self.node(BrokerId(node_id)).map(|node| node.address.clone())
    }

    fn node(&self, id: BrokerId) -> Option<&Node> {
        self.nodes.iter().find(|node| node.node_id == id.0)
    }

    /// Waits a little before the next attempt, and notes why.
    pub(crate) async fn pause(&mut self, trouble: String) {
        self.trouble = Some(trouble);
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

/// A connection to a broker, of which the one at `came_by` told where it is, unless it is that one itself.
async fn open(address: &str, came_by: &str) -> Result<Connection, ClientError> {
    Connection::open(address).await.map_err(|error| match error {
        ClientError::Io { address, source, .. } => {
            let told_by = (address != came_by).then(|| came_by.to_owned());
            ClientError::Io { address, told_by, source }
        }
        other => other,
    })
}

/// Why the client looked for a broker where it is not.
fn why_there(told_by: Option<&str>) -> String {
    let told = told_by.map(|told_by| {
        format!(
            "; the broker at {told_by} says that a node is there: it is down, which `ottla cluster status -b {told_by}` shows, or \
             its advertised.listeners is wrong, which `ottla doctor` looks into"
        )
    });
    told.unwrap_or_default()
}

fn nodes(metadata: &MetadataResponse) -> Vec<Node> {
    let mut nodes: Vec<Node> = metadata
        .brokers
        .iter()
        .map(|broker| Node { node_id: broker.node_id.0, address: address(broker.host.as_str(), broker.port) })
        .collect();
    nodes.sort();
    nodes
}

/// `host:port`, an IPv6 address in brackets.
pub(crate) fn address(host: &str, port: i32) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests;
