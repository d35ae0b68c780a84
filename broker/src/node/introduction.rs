//! What the metadata quorum is told about this node: which directory it has, where it is reached, and of which set it is.

use crate::coordinators::OFFSETS_TOPIC;
use crate::node::StartError;
use crate::peer::{PeerSockets, PeerTls};
use crate::quorum::{QuorumSettings, SetSettings, Upkeep};
use crate::settings::Settings;
use crate::stopping::Stopping;
use crate::topics;
use config::broker::{BrokerConfig, Durability, Endpoint, Listener, PeerSecurity, ReplicaSet};
use replication::controller::brokers::RegisterBroker;
use replication::controller::growth::GrowReplicas;
use replication::metadata::image::MetadataImage;
use replication::metadata::record::{BrokerEndpoint, PEER_ENDPOINT};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use storage::disk::os::OsDisk;
use storage::error::OpenError;
use storage::ids::BrokerId;
use storage::log_dir::LogDir;

/// Where the metadata quorum keeps its log, within the log directory. It is no name of a partition.
const QUORUM_DIRECTORY: &str = "metadata";

/// The number of the security protocol PLAINTEXT. Source: `SecurityProtocol.java`.
const PLAINTEXT: i16 = 0;

/// The number of the security protocol SSL. Source: `SecurityProtocol.java`.
const SSL: i16 = 1;

/// What a node has of the world outside before its quorum starts.
#[derive(Debug)]
pub(super) struct Outside {
    /// Where the other nodes will reach it; `None` for a node alone.
    pub(super) peers: Option<Peers>,
    /// The port of its first Kafka listener.
    pub(super) kafka_port: u16,
    /// Ends a start that waits for others.
    pub(super) stopping: Stopping,
}

/// How a node of a set is reached by the others.
#[derive(Debug)]
pub(super) struct Peers {
    sockets: PeerSockets,
    tls: Option<PeerTls>,
}

/// Takes the address at which the other nodes of a set reach this one, and reads its certificate.
pub(super) async fn bind(config: &BrokerConfig) -> Result<Option<Peers>, StartError> {
    let Some(set) = &config.replica_set else { return Ok(None) };
    let tls = match &set.security {
        PeerSecurity::Plaintext => None,
        PeerSecurity::Tls(files) => Some(PeerTls::load(files, BrokerId(config.node_id))?),
    };
    Ok(Some(Peers { sockets: PeerSockets::bind(&set.listener).await?, tls }))
}

/// How the quorum of this node is started.
pub(super) fn quorum_settings(
    settings: &Settings,
    log_dir: &Arc<LogDir<OsDisk>>,
    outside: Outside,
) -> QuorumSettings {
    let config = &settings.broker;
    let Outside { peers, kafka_port, stopping } = outside;
    let broker_id = BrokerId(config.node_id);
    let incarnation = uuid::Uuid::new_v4();
    let registration = RegisterBroker {
        broker_id,
        incarnation,
        endpoints: endpoints(config, kafka_port),
        rack: config.broker_rack.clone(),
        directory_id: uuid::Uuid::nil(),
        starts_fenced: config.replica_set.is_some(),
        was_clean: config.durability == Durability::Flushed,
    };
    QuorumSettings {
        directory: config.log_dir.join(QUORUM_DIRECTORY),
        broker_id,
        incarnation,
        known_cluster_id: log_dir.meta_properties().map(|known| known.cluster_id),
        introduce: Box::new({
            let log_dir = Arc::clone(log_dir);
            move |image| introduce(registration, &log_dir, image)
        }),
        random: Box::new(|| uuid::Uuid::new_v4().as_u128()),
        config_rules: topics::config_rules(settings),
        mutation_burst: mutation_burst(config),
        set: config.replica_set.as_ref().zip(peers).map(|(set, peers)| set_settings(config, set, peers)),
        stopping,
    }
}

fn mutation_burst(config: &BrokerConfig) -> Duration {
    let windows = u32::try_from(config.controller_quota_window_num).unwrap_or(1);
    let seconds = u64::try_from(config.controller_quota_window_size_seconds).unwrap_or(1);
    Duration::from_secs(seconds).saturating_mul(windows)
}

/// Makes the directory that of the cluster, and says which one it is.
fn introduce(
    registration: RegisterBroker,
    log_dir: &LogDir<OsDisk>,
    image: &MetadataImage,
) -> Result<RegisterBroker, OpenError> {
    let broker_id = registration.broker_id;
    let meta = log_dir.write_meta_properties(image.cluster_id().unwrap_or_default(), broker_id)?;
    let registered = image.broker(broker_id).map(|known| known.broker_epoch);
    let stopped_cleanly = registered.is_some() && log_dir.clean_stop_before() == registered;
    let was_clean = registration.was_clean || stopped_cleanly;
    Ok(RegisterBroker { directory_id: meta.directory_id.0, was_clean, ..registration })
}

fn set_settings(config: &BrokerConfig, set: &ReplicaSet, peers: Peers) -> SetSettings {
    let milliseconds = |value: i32| Duration::from_millis(u64::try_from(value).unwrap_or(0));
    let replication = &config.replication;
    let balance_every = Duration::from_secs(
        u64::try_from(replication.leader_imbalance_check_interval_seconds).unwrap_or(u64::MAX),
    );
    SetSettings {
        nodes: set.nodes.iter().map(|(id, address)| (BrokerId(*id), address.clone())).collect(),
        sockets: peers.sockets,
        tls: peers.tls,
        heartbeat_interval: milliseconds(replication.broker_heartbeat_interval_ms),
        session_timeout: milliseconds(replication.broker_session_timeout_ms),
        upkeep: Upkeep {
            growth: GrowReplicas {
                default_replication_factor: config.default_replication_factor,
                replication_factors: BTreeMap::from([(
                    OFFSETS_TOPIC.to_owned(),
                    config.offsets_topic.offsets_topic_replication_factor,
                )]),
            },
            balance_leaders_every: replication.auto_leader_rebalance_enable.then_some(balance_every),
        },
    }
}

/// Where clients and the other nodes reach this one. Clients of a set that advertises nothing are told the host of its
/// entry in `ottla.replica.set`; a node alone tells each client the address that it came to, and registers none.
fn endpoints(config: &BrokerConfig, kafka_port: u16) -> Vec<BrokerEndpoint> {
    let mut endpoints: Vec<BrokerEndpoint> = config.advertised_listeners.iter().map(of_clients).collect();
    let Some(set) = &config.replica_set else { return endpoints };
    let Some(own) = set.nodes.get(&config.node_id) else { return endpoints };
    if endpoints.is_empty() {
        let name = config.listeners.first().map_or("PLAINTEXT", |listener| &listener.name);
        let host = own.host.clone();
        endpoints.push(of_clients(&Listener {
            name: name.to_owned(),
            endpoint: Endpoint { host, port: kafka_port },
        }));
    }
    endpoints.push(BrokerEndpoint {
        name: PEER_ENDPOINT.to_owned(),
        host: own.host.clone(),
        port: own.port,
        security_protocol: match set.security {
            PeerSecurity::Plaintext => PLAINTEXT,
            PeerSecurity::Tls(_) => SSL,
        },
    });
    endpoints
}

fn of_clients(listener: &Listener) -> BrokerEndpoint {
    BrokerEndpoint {
        name: listener.name.clone(),
        host: listener.endpoint.host.clone(),
        port: listener.endpoint.port,
        security_protocol: PLAINTEXT,
    }
}
