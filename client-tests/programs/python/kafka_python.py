"""kafka-python: an independent reading of the protocol in pure Python."""

import sys

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic

from contract import from_hex, headers_of, serve, stored

TIMEOUT = 30


class Client:
    def __init__(self, bootstrap):
        self.bootstrap = bootstrap
        self.admin = KafkaAdminClient(bootstrap_servers=bootstrap)

    def create_topic(self, topic, partitions, configs):
        self.admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=configs)])

    def delete_topic(self, topic):
        self.admin.delete_topics([topic])

    def create_partitions(self, topic, partitions):
        self.admin.create_partitions({topic: partitions})

    def alter_topic(self, topic, configs):
        answer = self.admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=configs)])
        if answer["topic"][topic] != "OK":
            raise RuntimeError(answer)

    def describe_topic(self, topic, keys):
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, configs=dict.fromkeys(keys))
        described = self.admin.describe_configs([resource], config_filter="all")["topic"][topic]
        return {"configs": {key: described[key]["value"] for key in keys}}

    def delete_records(self, topic, partition, before):
        self.admin.delete_records({TopicPartition(topic, partition): before})

    def produce(self, topic, partition, codec, acks, idempotent, records):
        producer = KafkaProducer(
            bootstrap_servers=self.bootstrap,
            compression_type=None if codec == "none" else codec,
            acks=acks if acks == "all" else int(acks),
            enable_idempotence=idempotent,
            linger_ms=100,
            max_request_size=2_000_000,
        )
        sent = [
            producer.send(
                topic,
                partition=partition,
                key=from_hex(record["key"]),
                value=from_hex(record["value"]),
                headers=headers_of(record),
                timestamp_ms=record["timestamp"],
            )
            for record in records
        ]
        producer.flush(TIMEOUT)
        offsets = [future.get(TIMEOUT).offset for future in sent]
        producer.close()
        return {"offsets": [-1] * len(offsets) if acks == "0" else offsets}

    def consume(self, topic, partition, position, end, **start):
        consumer = KafkaConsumer(
            bootstrap_servers=self.bootstrap,
            group_id=None,
            auto_offset_reset="none",
            consumer_timeout_ms=TIMEOUT * 1000,
        )
        place = TopicPartition(topic, partition)
        consumer.assign([place])
        if start["from"] == "timestamp":
            position = consumer.offsets_for_times({place: position})[place].offset
        if start["from"] == "beginning":
            consumer.seek_to_beginning(place)
        else:
            consumer.seek(place, position)
        records = []
        for message in consumer:
            records.append(stored(
                message.topic, message.partition, message.offset, message.key, message.value,
                message.headers, message.timestamp,
            ))
            if message.offset >= end - 1:
                break
        consumer.close()
        return {"records": records}


serve(Client(sys.argv[1]))
