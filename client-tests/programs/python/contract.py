"""The contract of ../README.md: commands in, answers out, bytes as hexadecimal."""

import json
import sys


def from_hex(text):
    return None if text is None else bytes.fromhex(text)


def to_hex(data):
    return None if data is None else bytes(data).hex()


def headers_of(record):
    return [(name, from_hex(value)) for name, value in record["headers"]]


def stored(topic, partition, offset, key, value, headers, timestamp):
    return {
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "key": to_hex(key),
        "value": to_hex(value),
        "headers": [[name, to_hex(data)] for name, data in headers or []],
        "timestamp": timestamp,
    }


def serve(client):
    """Answers each command with the method of `client` that it names."""
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = getattr(client, command.pop("do"))(**command) or {}
        except Exception as error:  # Whatever a client raises is the test's to judge.
            answer = {"error": repr(error)}
        print(json.dumps(answer), flush=True)
