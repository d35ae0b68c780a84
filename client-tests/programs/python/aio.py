"""aiokafka: the asynchronous client."""

import asyncio
import sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from contract import from_hex, headers_of, serve, stored

TIMEOUT = 30


class Client:
    def __init__(self, bootstrap):
        self.bootstrap = bootstrap

    def create_topic(self, topic, partitions, configs):
        new = NewTopic(topic, partitions, 1, topic_configs=configs)
        asyncio.run(self._administer(lambda admin: admin.create_topics([new])))

    def delete_topic(self, topic):
        asyncio.run(self._administer(lambda admin: admin.delete_topics([topic])))

    def create_partitions(self, topic, partitions):
        asyncio.run(self._with_admin(lambda admin: admin.create_partitions({topic: NewPartitions(partitions)})))

    def alter_topic(self, topic, configs):
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, configs=configs)
        for response in asyncio.run(self._with_admin(lambda admin: admin.alter_configs([resource]))):
            for code, message, *_rest in response.resources:
                if code != 0:
                    raise RuntimeError(f"error code {code}: {message}")

    def describe_topic(self, topic, keys):
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, configs=dict.fromkeys(keys))
        [response] = asyncio.run(self._with_admin(lambda admin: admin.describe_configs([resource])))
        [(code, message, _kind, _name, entries, *_rest)] = response.resources
        if code != 0:
            raise RuntimeError(f"error code {code}: {message}")
        return {"configs": {name: value for name, value, *_rest in entries}}

    def delete_records(self, topic, partition, before):
        places = {TopicPartition(topic, partition): RecordsToDelete(before)}
        asyncio.run(self._with_admin(lambda admin: admin.delete_records(places)))

    def produce(self, **command):
        return asyncio.run(self._produce(**command))

    def consume(self, **command):
        return asyncio.run(asyncio.wait_for(self._consume(**command), TIMEOUT))

    async def _administer(self, act):
        response = await self._with_admin(act)
        # Its answers are the protocol's own structures: topic, error code, and more from some version on.
        for _topic, code, *_rest in getattr(response, "topic_errors", None) or response.topic_error_codes:
            if code != 0:
                raise RuntimeError(f"error code {code}")

    async def _with_admin(self, act):
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            return await act(admin)
        finally:
            await admin.close()

    async def _produce(self, topic, partition, codec, acks, idempotent, records):
        producer = AIOKafkaProducer(
            bootstrap_servers=self.bootstrap,
            compression_type=None if codec == "none" else codec,
            acks=acks if acks == "all" else int(acks),
            enable_idempotence=idempotent,
            linger_ms=100,
            max_request_size=2_000_000,
        )
        await producer.start()
        try:
            sent = [
                await producer.send(
                    topic,
                    partition=partition,
                    key=from_hex(record["key"]),
                    value=from_hex(record["value"]),
                    headers=headers_of(record),
                    timestamp_ms=record["timestamp"],
                )
                for record in records
            ]
            await producer.flush()
            delivered = [await future for future in sent]
        finally:
            await producer.stop()
        return {"offsets": [-1 if acks == "0" else metadata.offset for metadata in delivered]}

    async def _consume(self, topic, partition, position, end, **start):
        consumer = AIOKafkaConsumer(bootstrap_servers=self.bootstrap, group_id=None, auto_offset_reset="none")
        await consumer.start()
        try:
            place = TopicPartition(topic, partition)
            consumer.assign([place])
            if start["from"] == "timestamp":
                position = (await consumer.offsets_for_times({place: position}))[place].offset
            if start["from"] == "beginning":
                await consumer.seek_to_beginning(place)
            else:
                consumer.seek(place, position)
            records = []
            while not records or records[-1]["offset"] < end - 1:
                message = await consumer.getone()
                records.append(stored(
                    message.topic, message.partition, message.offset, message.key, message.value,
                    message.headers, message.timestamp,
                ))
        finally:
            await consumer.stop()
        return {"records": records}


serve(Client(sys.argv[1]))
