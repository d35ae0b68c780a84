"""confluent-kafka as a member of a group: librdkafka's classic and consumer protocols."""

from confluent_kafka import Consumer, KafkaException, TopicPartition

import member
from member import settings

# What this member holds now; only that is committed, for another may be ahead in what was taken away.
owned = set()


def on_assign(_consumer, partitions):
    added = {partition.partition for partition in partitions}
    owned.update(added)
    member.assigned(added)


def on_revoke(_consumer, partitions):
    removed = {partition.partition for partition in partitions}
    owned.difference_update(removed)
    member.revoked(removed)


def commit(consumer, ends):
    offsets = [TopicPartition(settings["topic"], partition, end) for partition, end in ends.items()]
    try:
        done = consumer.commit(offsets=offsets, asynchronous=False)
        member.committed((place.partition, place.offset) for place in done if place.error is None)
    except KafkaException as error:
        member.trouble(error)


configuration = {
    "bootstrap.servers": settings["bootstrap"],
    "group.id": settings["group"],
    "enable.auto.commit": False,
    "auto.offset.reset": "earliest",
    "fetch.wait.max.ms": 100,
    "error_cb": member.trouble,
}
if settings["protocol"] == "consumer":
    configuration["group.protocol"] = "consumer"
else:
    configuration["partition.assignment.strategy"] = settings["protocol"]
    configuration["session.timeout.ms"] = settings["session_timeout_ms"]
    configuration["heartbeat.interval.ms"] = settings["heartbeat_interval_ms"]

consumer = Consumer(configuration)
consumer.subscribe([settings["topic"]], on_assign=on_assign, on_revoke=on_revoke, on_lost=on_revoke)
while not member.stop_asked():
    ends = {}
    for message in consumer.consume(100, 0.2):
        if message.error():
            member.trouble(message.error())
        else:
            member.record(message.partition(), message.offset(), message.value())
            ends[message.partition()] = message.offset() + 1
    ends = {partition: end for partition, end in ends.items() if partition in owned}
    if ends:
        commit(consumer, ends)
consumer.close()
