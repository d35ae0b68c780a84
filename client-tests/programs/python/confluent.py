"""confluent-kafka: the newest librdkafka."""

import sys

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic,
)

from contract import from_hex, headers_of, serve, stored

TIMEOUT = 30


class Client:
    def __init__(self, bootstrap):
        self.bootstrap = bootstrap
        self.admin = AdminClient({"bootstrap.servers": bootstrap})

    def create_topic(self, topic, partitions, configs):
        for created in self.admin.create_topics([NewTopic(topic, partitions, 1, config=configs)]).values():
            created.result(TIMEOUT)

    def delete_topic(self, topic):
        for deleted in self.admin.delete_topics([topic]).values():
            deleted.result(TIMEOUT)

    def create_partitions(self, topic, partitions):
        for created in self.admin.create_partitions([NewPartitions(topic, partitions)]).values():
            created.result(TIMEOUT)

    def alter_topic(self, topic, configs):
        entries = [
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in configs.items()
        ]
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=entries)
        for altered in self.admin.incremental_alter_configs([resource]).values():
            altered.result(TIMEOUT)

    def describe_topic(self, topic, keys):
        [described] = self.admin.describe_configs([ConfigResource(ConfigResource.Type.TOPIC, topic)]).values()
        entries = described.result(TIMEOUT)
        return {"configs": {key: entries[key].value for key in keys}}

    def delete_records(self, topic, partition, before):
        for deleted in self.admin.delete_records([TopicPartition(topic, partition, before)]).values():
            deleted.result(TIMEOUT)

    def produce(self, topic, partition, codec, acks, idempotent, records):
        producer = Producer({
            "bootstrap.servers": self.bootstrap,
            "compression.type": codec,
            "acks": acks,
            "enable.idempotence": idempotent,
            "linger.ms": 100,
            # librdkafka's own limit is smaller than the broker's.
            "message.max.bytes": 2_000_000,
        })
        offsets = [None] * len(records)

        def delivered(index):
            def report(error, message):
                offsets[index] = error or (-1 if acks == "0" else message.offset())
            return report

        for index, record in enumerate(records):
            producer.produce(
                topic,
                partition=-1 if partition is None else partition,
                key=from_hex(record["key"]),
                value=from_hex(record["value"]),
                headers=headers_of(record),
                timestamp=record["timestamp"],
                on_delivery=delivered(index),
            )
            producer.poll(0)
        producer.flush(TIMEOUT)
        failed = [str(offset) for offset in offsets if not isinstance(offset, int)]
        if failed:
            raise RuntimeError(f"{len(failed)} records were not delivered: {failed[0]}")
        return {"offsets": offsets}

    def consume(self, topic, partition, position, end, **start):
        consumer = Consumer({
            "bootstrap.servers": self.bootstrap,
            "group.id": "never-used-by-an-assigning-consumer",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
        })
        if start["from"] == "beginning":
            position = OFFSET_BEGINNING
        if start["from"] == "timestamp":
            [found] = consumer.offsets_for_times([TopicPartition(topic, partition, position)], TIMEOUT)
            position = found.offset
        consumer.assign([TopicPartition(topic, partition, position)])
        records = []
        while not records or records[-1]["offset"] < end - 1:
            message = consumer.poll(TIMEOUT)
            if message is None:
                raise TimeoutError(f"only {len(records)} records came")
            if message.error():
                raise RuntimeError(str(message.error()))
            records.append(stored(
                message.topic(), message.partition(), message.offset(), message.key(), message.value(),
                message.headers(), message.timestamp()[1],
            ))
        consumer.close()
        return {"records": records}


serve(Client(sys.argv[1]))
