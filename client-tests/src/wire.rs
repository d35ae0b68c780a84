//! Raw frames on a TCP connection, and requests that no well-behaved client would send.
//!
//! Encoding is the `kafka-protocol` crate's; [`batch`] builds record batches whose bytes a test then damages.

pub mod batch;
pub mod fetch;

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::{BufMut as _, Bytes, BytesMut};
use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{
    BrokerId, CreateTopicsRequest, ListOffsetsRequest, MetadataRequest, ProduceRequest, RequestHeader,
    ResponseHeader, TopicName,
};
use kafka_protocol::protocol::{Decodable as _, Encodable as _, HeaderVersion as _, Request, StrBytes};

/// The longest a broker may take for one answer, or to close a connection.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// The time that a request allows the broker, in milliseconds.
const TIMEOUT_MS: i32 = 60_000;
/// The largest answer that a test asks for, in bytes.
const LARGEST_ANSWER: usize = 64 * 1024 * 1024;

/// A connection that can be misused.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    correlation_id: i32,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When the broker does not accept.
    pub fn open(bootstrap: &str) -> Result<Connection> {
        Connection::over(TcpStream::connect(bootstrap)?, ANSWER_LIMIT)
    }

    /// Connects to a broker that may hang or be cut off: neither this nor any answer may take longer than `limit`.
    ///
    /// # Errors
    /// When the broker does not accept in time.
    pub fn open_within(address: &str, limit: Duration) -> Result<Connection> {
        let address = address.to_socket_addrs()?.next().context("the name has no address")?;
        Connection::over(TcpStream::connect_timeout(&address, limit)?, limit)
    }

    /// Takes over a stream on which requests were sent; no answer may take longer than `limit`.
    ///
    /// # Errors
    /// When the stream is closed.
    pub fn of(stream: TcpStream, limit: Duration) -> Result<Connection> {
        Connection::over(stream, limit)
    }

    fn over(stream: TcpStream, limit: Duration) -> Result<Connection> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(limit))?;
        stream.set_write_timeout(Some(limit))?;
        Ok(Connection { stream, correlation_id: 0 })
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// When the connection closes, the answer does not decode, or answers another request.
    pub fn call<R: Request>(&mut self, version: i16, request: &R) -> Result<R::Response> {
        self.send(version, request)?;
        self.receive::<R>(version)
    }

    /// Sends a request and does not wait.
    ///
    /// # Errors
    /// When the connection is closed.
    pub fn send<R: Request>(&mut self, version: i16, request: &R) -> Result<()> {
        self.correlation_id += 1;
        let frame = frame(self.correlation_id, version, request)?;
        self.send_bytes(&frame)
    }

    /// Reads the answer to the earliest request of the kind `R` that has none yet.
    ///
    /// # Errors
    /// As [`Connection::call`].
    pub fn receive<R: Request>(&mut self, version: i16) -> Result<R::Response> {
        let mut answer = self.receive_frame()?;
        ResponseHeader::decode(&mut answer, R::Response::header_version(version))?;
        R::Response::decode(&mut answer, version)
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the connection is closed.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// Reads one answer frame, without its size.
    ///
    /// # Errors
    /// When the connection closes, or nothing comes in time.
    pub fn receive_frame(&mut self) -> Result<Bytes> {
        let mut size = [0; 4];
        self.stream.read_exact(&mut size).context("no answer came")?;
        let size = usize::try_from(i32::from_be_bytes(size)).context("the answer's size is negative")?;
        ensure!(size <= LARGEST_ANSWER, "the answer announces {size} bytes");
        let mut answer = vec![0; size];
        self.stream.read_exact(&mut answer).context("the answer is cut off")?;
        Ok(answer.into())
    }

    /// Reads until the broker closes the connection, and returns how many bytes it sent before.
    ///
    /// # Errors
    /// When it stays open.
    pub fn read_to_close(&mut self) -> Result<usize> {
        let mut ignored = Vec::new();
        match self.stream.read_to_end(&mut ignored) {
            Ok(_) => Ok(ignored.len()),
            // Bytes that the broker never read make the kernel answer with a reset: closed all the same.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(ignored.len()),
            Err(error) => bail!("the broker keeps the connection: {error}"),
        }
    }
}

/// A whole request frame, its size included.
///
/// # Errors
/// When the request cannot be written at this version.
pub fn frame<R: Request>(correlation_id: i32, version: i16, request: &R) -> Result<Bytes> {
    let mut body = BytesMut::new();
    RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(StrBytes::from_static_str("client-tests")))
        .encode(&mut body, R::header_version(version))?;
    request.encode(&mut body, version)?;
    Ok(sized(&body))
}

/// The bytes with their size before them.
#[must_use]
pub fn sized(body: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(4 + body.len());
    frame.put_i32(i32::try_from(body.len()).unwrap_or(i32::MAX));
    frame.put_slice(body);
    frame.freeze()
}

/// A topic name as the crate has it.
#[must_use]
pub fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

/// Creates a topic with one replica and returns the error code.
///
/// # Errors
/// When no answer comes.
pub fn create_topic(
    connection: &mut Connection,
    name: &str,
    partitions: i32,
    settings: &[(&str, &str)],
) -> Result<i16> {
    create_replicated_topic(connection, name, (partitions, 1), settings)
}

/// Creates a topic with so many partitions and replicas (-1: the broker's default) and returns the error code.
///
/// # Errors
/// When no answer comes.
pub fn create_replicated_topic(
    connection: &mut Connection,
    name: &str,
    (partitions, replicas): (i32, i16),
    settings: &[(&str, &str)],
) -> Result<i16> {
    let configs = settings.iter().map(|(key, value)| {
        CreatableTopicConfig::default()
            .with_name(StrBytes::from_string((*key).to_owned()))
            .with_value(Some(StrBytes::from_string((*value).to_owned())))
    });
    let topic = CreatableTopic::default()
        .with_name(topic_name(name))
        .with_num_partitions(partitions)
        .with_replication_factor(replicas)
        .with_configs(configs.collect());
    let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(TIMEOUT_MS);
    let response = connection.call(7, &request)?;
    Ok(response.topics.first().context("the answer names no topic")?.error_code)
}

/// Creates a topic with one partition on these brokers, which keeps records whatever their age, and returns the error code.
///
/// # Errors
/// When no answer comes.
pub fn create_assigned_topic(connection: &mut Connection, name: &str, replicas: &[i32]) -> Result<i16> {
    let brokers = replicas.iter().map(|&id| BrokerId(id)).collect();
    let assignment = CreatableReplicaAssignment::default().with_partition_index(0).with_broker_ids(brokers);
    let topic = CreatableTopic::default()
        .with_name(topic_name(name))
        .with_num_partitions(-1)
        .with_replication_factor(-1)
        .with_assignments(vec![assignment])
        .with_configs(vec![
            CreatableTopicConfig::default()
                .with_name(StrBytes::from_static_str("retention.ms"))
                .with_value(Some(StrBytes::from_static_str("-1"))),
        ]);
    let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(TIMEOUT_MS);
    let response = connection.call(7, &request)?;
    Ok(response.topics.first().context("the answer names no topic")?.error_code)
}

/// A Produce request with one partition's records.
#[must_use]
pub fn produce_request(topic: &str, partition: i32, acks: i16, records: Bytes) -> ProduceRequest {
    let partition = PartitionProduceData::default().with_index(partition).with_records(Some(records));
    let topic = TopicProduceData::default().with_name(topic_name(topic)).with_partition_data(vec![partition]);
    ProduceRequest::default().with_acks(acks).with_timeout_ms(TIMEOUT_MS).with_topic_data(vec![topic])
}

/// Produces and returns the one partition's answer.
///
/// # Errors
/// When no answer comes, or it names no partition.
pub fn produce(
    connection: &mut Connection,
    version: i16,
    request: &ProduceRequest,
) -> Result<PartitionProduceResponse> {
    let response = connection.call(version, request)?;
    let partitions = response.responses.into_iter().next().map(|topic| topic.partition_responses);
    partitions.and_then(|partitions| partitions.into_iter().next()).context("the answer names no partition")
}

/// The end offset (exclusive) that consumers may read to.
///
/// # Errors
/// When no answer comes, or it is an error.
pub fn end_offset(connection: &mut Connection, topic: &str, partition: i32) -> Result<i64> {
    const LATEST: i64 = -1;
    let partition = ListOffsetsPartition::default()
        .with_partition_index(partition)
        .with_timestamp(LATEST)
        .with_current_leader_epoch(-1);
    let topic = ListOffsetsTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic]);
    let response = connection.call(7, &request)?;
    let partition = response.topics.first().and_then(|topic| topic.partitions.first());
    let partition = partition.context("the answer names no partition")?;
    ensure!(partition.error_code == 0, "ListOffsets answered {}", partition.error_code);
    Ok(partition.offset)
}

/// The cluster's id, once the broker knows it.
///
/// # Errors
/// When no answer comes.
pub fn cluster_id(connection: &mut Connection) -> Result<Option<String>> {
    let response = connection.call(9, &MetadataRequest::default().with_topics(Some(Vec::new())))?;
    Ok(response.cluster_id.map(|id| id.to_string()))
}
