"""aiokafka as a member of a group."""

import asyncio

from aiokafka import AIOKafkaConsumer
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import KafkaError

import member
from member import settings


class Listener(ConsumerRebalanceListener):
    async def on_partitions_assigned(self, assigned):
        member.assigned(place.partition for place in assigned)

    async def on_partitions_revoked(self, revoked):
        member.revoked(place.partition for place in revoked)


async def main():
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings["bootstrap"],
        group_id=settings["group"],
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=100,
        partition_assignment_strategy=[RangePartitionAssignor],
        session_timeout_ms=settings["session_timeout_ms"],
        heartbeat_interval_ms=settings["heartbeat_interval_ms"],
    )
    consumer.subscribe([settings["topic"]], listener=Listener())
    await consumer.start()
    while not member.stop_asked():
        ends = {}
        for place, messages in (await consumer.getmany(timeout_ms=200)).items():
            for message in messages:
                member.record(message.partition, message.offset, message.value)
                ends[place] = message.offset + 1
        ends = {place: end for place, end in ends.items() if place in consumer.assignment()}
        if ends:
            try:
                await consumer.commit(ends)
                member.committed((place.partition, end) for place, end in ends.items())
            except KafkaError as error:
                member.trouble(error)
    await consumer.stop()


asyncio.run(main())
