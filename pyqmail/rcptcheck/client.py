"""Asking about recipients and waiting for the answer: for programs that serve one client.

    answers(addresses, size) -> one answer each, as rcptcheck.wire has them

Whatever goes wrong is LATER; one line on descriptor 2 says why.
"""
from ..base import errors
from . import wire

PATIENCE = 20                       # s; more than the service itself takes to give up
NOT_THERE = "warning: recipients cannot be checked: qmail-rcptcheck does not answer"


def answers(addresses, size=0):
    """The answers about these addresses for a message of `size` bytes (0: not known yet)."""
    found = []
    for start in range(0, len(addresses), wire.BATCH):
        found += batch(addresses[start:start + wire.BATCH], size)
    return found


def batch(addresses, size):
    answer = exchange(wire.question(1, size, addresses))
    if answer is None or len(answer) != len(addresses):
        errors.say(NOT_THERE)
        return [wire.LATER] * len(addresses)
    return answer


def exchange(question):
    """The answers to one question; None without an answer."""
    sock = wire.connect()
    if sock is None:
        return None
    try:
        sock.settimeout(PATIENCE)
        sock.send(question)
        packet = sock.recv(wire.PACKET)
    except OSError:
        return None
    finally:
        sock.close()
    found = wire.read_answer(packet)
    return found[1] if found else None
