"""kafka-python as a producer, for the contract of loads in ../README.md: its defaults, acks=all and idempotence."""

import json
import sys
import threading
import zlib

from kafka import KafkaProducer

settings = json.loads(sys.argv[1])
topic = settings["topic"]
stop_asked = threading.Event()
output = threading.Lock()


def say(event, **fields):
    with output:
        print(json.dumps({"event": event, **fields}), flush=True)


def value(partition, sequence):
    filler = "." * (20 + sequence % 64)
    body = f"{topic} {partition} {settings['producer']} {sequence} {filler}".encode()
    return body + b" %08x" % zlib.crc32(body)


def send(partition, sequence):
    def acknowledged(metadata):
        say("acknowledged", partition=partition, sequence=sequence, offset=metadata.offset)

    def failed(error):
        say("failed", partition=partition, sequence=sequence, message=repr(error))

    try:
        future = producer.send(topic, value(partition, sequence), partition=partition)
    except Exception as error:  # The client's own patience may end before the record is on its way.
        failed(error)
        return
    future.add_callback(acknowledged)
    future.add_errback(failed)


def wait_for_end_of_input():
    sys.stdin.read()
    stop_asked.set()


threading.Thread(target=wait_for_end_of_input, daemon=True).start()
producer = KafkaProducer(bootstrap_servers=settings["bootstrap"].split(","), acks="all", enable_idempotence=True)
sequence = 0
while not stop_asked.is_set():
    for partition in range(settings["partitions"]):
        send(partition, sequence)
    sequence += 1
    stop_asked.wait(settings["step_ms"] / 1000)
producer.flush()
for partition in range(settings["partitions"]):
    say("attempted", partition=partition, end=sequence)
# Closing waits for whatever is left; everything has its outcome by now.
producer.close()
