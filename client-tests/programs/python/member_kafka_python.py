"""kafka-python as a member of a group."""

from kafka import ConsumerRebalanceListener, KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.errors import KafkaError

import member
from member import settings

ASSIGNORS = {"range": RangePartitionAssignor, "cooperative-sticky": CooperativeStickyAssignor}


class Listener(ConsumerRebalanceListener):
    def on_partitions_assigned(self, assigned):
        member.assigned(place.partition for place in assigned)

    def on_partitions_revoked(self, revoked):
        member.revoked(place.partition for place in revoked)


consumer = KafkaConsumer(
    bootstrap_servers=settings["bootstrap"],
    group_id=settings["group"],
    enable_auto_commit=False,
    auto_offset_reset="earliest",
    fetch_max_wait_ms=100,
    partition_assignment_strategy=[ASSIGNORS[settings["protocol"]]],
    session_timeout_ms=settings["session_timeout_ms"],
    heartbeat_interval_ms=settings["heartbeat_interval_ms"],
)
consumer.subscribe([settings["topic"]], listener=Listener())
# kafka-python 3.0.12 forgets an assignment that arrives between two polls: `join_group_async` gives up when the poll's time
# is over, and the next poll finds that nothing needs to be joined any more. So a poll lasts longer than a join does, also on
# a busy machine; it returns at once where there are records.
POLL_TIMEOUT_MS = 5_000
while not member.stop_asked():
    ends = {}
    for place, messages in consumer.poll(timeout_ms=POLL_TIMEOUT_MS).items():
        for message in messages:
            member.record(message.partition, message.offset, message.value)
            ends[place] = OffsetAndMetadata(message.offset + 1, "", -1)
    if ends:
        try:
            consumer.commit(ends)
            member.committed((place.partition, end.offset) for place, end in ends.items())
        except KafkaError as error:
            member.trouble(error)
consumer.close(autocommit=False)
