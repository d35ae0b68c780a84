//! What operators watch: one table of names, from which the handles, the descriptions and the README's list follow.
//!
//! Handles are made once; counting through one takes a few nanoseconds and no lock. What is known of single topics and
//! groups has no handles, since they come and go: `exporter` writes it when somebody asks.

pub(crate) mod exporter;

use crate::api::{APIS, Api};
use metrics::{Counter, Gauge, counter, gauge};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use std::collections::BTreeMap;

/// One metric as the table has it.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name in the Prometheus text format.
    pub name: &'static str,
    /// `counter` or `gauge`.
    pub kind: &'static str,
    /// Its labels, comma-separated.
    pub labels: &'static str,
    /// What it counts, in one sentence.
    pub help: &'static str,
}

macro_rules! metrics_table {
    (
        kept { $($field:ident: $kind:ident $name:literal [$labels:literal] $help:literal;)* }
        written_when_asked {
            $($written:ident: $written_name:literal [$written_labels:literal] $written_help:literal;)*
        }
    ) => {
        /// Every metric that this node exports, but for the one that counts requests by API.
        pub const METRICS: &[Metric] = &[
            Metric { name: REQUESTS, kind: "counter", labels: "api", help: "Requests that were read, by API." },
            $(Metric { name: $name, kind: stringify!($kind), labels: $labels, help: $help },)*
            $($written,)*
        ];

        $(const $written: Metric = Metric {
            name: $written_name,
            kind: "gauge",
            labels: $written_labels,
            help: $written_help,
        };)*

        /// The handles, made once.
        #[derive(Debug)]
        pub struct Metrics {
            requests: BTreeMap<i16, Counter>,
            $(#[doc = $help] pub(crate) $field: metrics_table!(@type $kind),)*
        }

        impl Metrics {
            /// Registers every metric with the recorder that is installed.
            #[must_use]
            pub fn register() -> Self {
                metrics::describe_counter!(REQUESTS, "Requests that were read, by API.");
                $(metrics_table!(@describe $kind, $name, $help);)*
                Self {
                    requests: APIS.iter().map(|api| (api.key, counter!(REQUESTS, "api" => api.name))).collect(),
                    $($field: metrics_table!(@make $kind, $name),)*
                }
            }
        }
    };
    (@type counter) => { Counter };
    (@type gauge) => { Gauge };
    (@make counter, $name:literal) => { counter!($name) };
    (@make gauge, $name:literal) => { gauge!($name) };
    (@describe counter, $name:literal, $help:literal) => { metrics::describe_counter!($name, $help) };
    (@describe gauge, $name:literal, $help:literal) => { metrics::describe_gauge!($name, $help) };
}

const REQUESTS: &str = "ottla_requests_total";

metrics_table! {
    kept {
        produced_bytes: counter "ottla_produced_bytes_total" [""] "Bytes of record batches that were appended.";
        produced_records: counter "ottla_produced_records_total" [""] "Records that were appended.";
        produced_batches: counter "ottla_produced_batches_total" [""] "Record batches that were appended.";
        fetched_bytes: counter "ottla_fetched_bytes_total" [""] "Bytes of record batches that were sent to consumers.";
        replicated_bytes: counter "ottla_replicated_bytes_total" [""]
            "Bytes of record batches that were fetched from leaders.";
        sent_to_followers_bytes: counter "ottla_sent_to_followers_bytes_total" [""]
            "Bytes of record batches that were sent to followers.";
        flush_rounds: counter "ottla_flush_rounds_total" [""] "Rounds of the group commit.";
        flushed_partitions: counter "ottla_flushed_partitions_total" [""] "Partitions flushed, summed over the rounds.";
        cleaner_rounds: counter "ottla_cleaner_rounds_total" [""] "Rounds of compaction.";
        cleaner_read_bytes: counter "ottla_cleaner_read_bytes_total" [""] "Bytes that compaction read.";
        cleaner_written_bytes: counter "ottla_cleaner_written_bytes_total" [""] "Bytes that compaction wrote.";
        cleaner_removed_records: counter "ottla_cleaner_removed_records_total" [""] "Records that compaction removed.";
        cleaner_dirtiest_ratio: gauge "ottla_cleaner_dirtiest_ratio" [""]
            "The dirty part of the compacted log where it is largest, 0 to 1.";
        cleaner_uncleanable_partitions: gauge "ottla_cleaner_uncleanable_partitions" [""]
            "Partitions that are not compacted until the next start, since a round over them failed.";
        connections: gauge "ottla_connections" [""] "Client connections that are open.";
        connections_refused_limit: counter "ottla_connections_refused_limit_total" [""]
            "Connections refused by max.connections or max.connections.per.ip.";
        connections_refused_input: counter "ottla_connections_refused_input_total" [""]
            "Connections closed because what came over them was no request that is served.";
        connections_held_back: counter "ottla_connections_held_back_total" [""]
            "Connections that were turned away since their address is over its connection_creation_rate.";
        connections_delayed: counter "ottla_connections_delayed_total" [""]
            "Connections that waited since max.connection.creation.rate was reached.";
        http_connections: gauge "ottla_http_connections" [""] "Connections of the HTTP listener that are open, 64 at most.";
        requests_in_flight: gauge "ottla_requests_in_flight" [""]
            "Requests that are being read, or are read and not answered.";
        requests_waiting_for_memory: gauge "ottla_requests_waiting_for_memory" [""]
            "Requests that are not read on until others are read or answered, since there is no memory for them.";
        small_request_memory: gauge "ottla_small_request_memory_bytes" [""]
            "What requests of up to 64 KiB take, 6 MiB at most while they are being read and 64 MiB until they are answered.";
        request_memory: gauge "ottla_request_memory_bytes" [""]
            "What larger requests take: while they are being read 12 MiB at most, and beside that one of any size as far as it is there; decoded, 256 MiB until they are answered.";
        parked_requests: gauge "ottla_parked_requests" [""]
            "Members of groups that wait for others, 50,000 at most.";
        parked_memory: gauge "ottla_parked_memory_bytes" [""]
            "What those members say of protocols and assignments, 256 MiB at most.";
        awaited_memory: gauge "ottla_awaited_memory_bytes" [""]
            "What fetches keep while they wait for records, 256 MiB at most; what they took as requests is given back.";
        cold_reads: gauge "ottla_cold_reads" [""] "Fetches that read from the disk right now, 16 at most.";
        busy_partitions: gauge "ottla_busy_partitions" [""]
            "Partitions that clients wrote to in the last ten seconds or so; each has a file open and mapped.";
        slow_requests: counter "ottla_slow_requests_total" [""]
            "Requests that took longer than ottla.slow.request.ms.";
        decode_panics: counter "ottla_decode_panics_total" [""]
            "Requests whose decoding panicked, each a defect that closed one connection.";
        throttled_requests: counter "ottla_throttled_requests_total" [""]
            "Requests whose client was told to keep quiet for a while, since it is over a quota.";
        quota_rates: gauge "ottla_quota_rates" [""] "Users, client ids and addresses whose rates this node measures, by kind of quota.";
        client_metrics_clients: gauge "ottla_client_metrics_clients" [""]
            "Clients that are asked to push metrics, 10,000 at most.";
        client_metrics_pushes: counter "ottla_client_metrics_pushes_total" [""]
            "Pushes of metrics that were taken in; kafka_client_ metrics show the last of each client.";
        client_metrics_left_out: counter "ottla_client_metrics_left_out_total" [""]
            "Values that clients pushed and that are not shown: a client has 1,000 series at most, all together 50,000.";
        fetch_sessions: gauge "ottla_fetch_sessions" [""] "Fetch sessions that are kept.";
        topics: gauge "ottla_topics" [""] "Topics of the cluster.";
        partitions: gauge "ottla_partitions" [""] "Partitions that this node serves.";
        isolated: gauge "ottla_isolated" [""]
            "1 while no controller answers this node: it serves nothing of what it leads.";
        log_directory_failed: gauge "ottla_log_directory_failed" [""] "1 once the log directory has failed.";
        disk_full: gauge "ottla_disk_full" [""]
            "1 while less than ottla.free.space.floor.bytes are free, and records are refused.";
        led_partitions: gauge "ottla_led_partitions" [""] "Partitions that this node leads.";
        under_replicated_partitions: gauge "ottla_under_replicated_partitions" [""]
            "Partitions that this node leads with a replica that is not in sync.";
        under_min_isr_partitions: gauge "ottla_under_min_isr_partitions" [""]
            "Partitions that this node leads with fewer in-sync replicas than min.insync.replicas: acks=all is refused.";
        leaderless_partitions: gauge "ottla_leaderless_partitions" [""]
            "Partitions of the cluster that nobody leads, since every replica that may is gone.";
        left_out: gauge "ottla_exporter_left_out" [""]
            "Topics and groups that the kafka_ metrics leave out: they have at most 100,000 samples.";
    }
    written_when_asked {
        TOPIC_PARTITIONS: "kafka_topic_partitions" ["topic"] "Partitions of the topic.";
        PARTITION_CURRENT_OFFSET: "kafka_topic_partition_current_offset" ["topic, partition"]
            "The high watermark: the offset after the last record that consumers may read.";
        PARTITION_OLDEST_OFFSET: "kafka_topic_partition_oldest_offset" ["topic, partition"]
            "The offset of the first record that is kept.";
        PARTITION_LEADER: "kafka_topic_partition_leader" ["topic, partition"]
            "The broker that leads the partition, -1 where nobody does.";
        PARTITION_REPLICAS: "kafka_topic_partition_replicas" ["topic, partition"] "Replicas of the partition.";
        PARTITION_IN_SYNC: "kafka_topic_partition_in_sync_replica" ["topic, partition"]
            "Replicas of the partition that are in sync.";
        PARTITION_UNDER_REPLICATED: "kafka_topic_partition_under_replicated_partition" ["topic, partition"]
            "1 where a replica of the partition is not in sync.";
        FOLLOWER_LAG: "ottla_follower_lag_records" ["follower"]
            "How far the follower is behind, in the partition that this node leads where it is most: offsets that are flushed here and not there.";
        GROUP_MEMBERS: "kafka_consumergroup_members" ["consumergroup"] "Members of the group.";
        GROUP_CURRENT_OFFSET: "kafka_consumergroup_current_offset" ["consumergroup, topic, partition"]
            "The offset that the group has committed, -1 where it has read other partitions of the topic only.";
        GROUP_CURRENT_OFFSET_SUM: "kafka_consumergroup_current_offset_sum" ["consumergroup, topic"]
            "The offsets that the group has committed, over the partitions of the topic.";
        GROUP_LAG: "kafka_consumergroup_lag" ["consumergroup, topic, partition"]
            "How far the committed offset is behind the high watermark, -1 where the group has committed none.";
        GROUP_LAG_SUM: "kafka_consumergroup_lag_sum" ["consumergroup, topic"]
            "The lag of the group over the partitions of the topic.";
    }
}

impl Metrics {
    pub(crate) fn request(&self, api: &Api) {
        if let Some(counter) = self.requests.get(&api.key) {
            counter.increment(1);
        }
    }

    pub(crate) fn appended(&self, bytes: usize, records: i32) {
        self.produced_bytes.increment(bytes as u64);
        self.produced_records.increment(u64::try_from(records).unwrap_or(0));
        self.produced_batches.increment(1);
    }

    pub(crate) fn replicated(&self, bytes: usize) {
        self.replicated_bytes.increment(bytes as u64);
    }

    pub(crate) fn sent_to_followers(&self, bytes: usize) {
        self.sent_to_followers_bytes.increment(bytes as u64);
    }

    pub(crate) fn fetched(&self, bytes: usize) {
        self.fetched_bytes.increment(bytes as u64);
    }
}

/// Installs the recorder of this process and returns what renders it.
///
/// # Errors
/// When a recorder is installed already.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    PrometheusBuilder::new().install_recorder()
}

#[cfg(test)]
mod tests {
    use super::METRICS;

    #[test]
    fn names_follow_the_conventions_of_prometheus() {
        for metric in METRICS {
            // Those under kafka_exporter's names have its prefix too.
            assert!(
                metric.name.starts_with("ottla_") || metric.name.starts_with("kafka_"),
                "{}",
                metric.name
            );
            assert_eq!(metric.name.ends_with("_total"), metric.kind == "counter", "{}", metric.name);
            assert!(metric.help.ends_with('.'), "{}", metric.name);
        }
    }
}
