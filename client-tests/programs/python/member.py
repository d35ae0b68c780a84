"""The contract of a group member (../README.md): settings in as one JSON argument, events out as JSON lines."""

import json
import signal
import sys

settings = json.loads(sys.argv[1])
"""What the group is: bootstrap, group, topic, protocol, session_timeout_ms, heartbeat_interval_ms."""

_stop_asked = False


def _on_sigterm(_signal, _frame):
    global _stop_asked
    _stop_asked = True


signal.signal(signal.SIGTERM, _on_sigterm)


def stop_asked():
    return _stop_asked


def say(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


def assigned(partitions):
    say("assigned", partitions=sorted(partitions))


def revoked(partitions):
    say("revoked", partitions=sorted(partitions))


def record(partition, offset, value):
    say("record", partition=partition, offset=offset, value=value.decode())


def committed(offsets):
    """Takes (partition, next offset) pairs that the broker has acknowledged."""
    say("committed", offsets=[list(pair) for pair in offsets])


def trouble(error):
    say("trouble", message=repr(error))
