"""Actors of the load who send mail, each way there is to hand a message in."""
import random
import smtplib
import socket

from tests.powercut import world
from tests.powercut.ledger import Expected, envelope, message

SENDERS = ("sendmail", "qmail-inject", "qmail-queue", "qmail-queue of root")


def submit(load, by, take, kind=None, to=None):
    """Hand a message in; its number, and whether take(sender, recipients, text) was a yes. to: (address, place) of its
    only recipient."""
    kind = kind or ("virtual" if to else random.choice(load.kinds))
    number, entry = load.ledger.message(kind, by)
    sender, recipients, entry["expected"] = envelope(kind, number)
    if to:
        recipients, entry["expected"] = [to[0]], [Expected(to[1], kind)]
    load.ledger.ask(entry)
    taken = take(sender, recipients, message(number))
    if taken:
        load.ledger.give(entry)
    return number, taken


def several():
    return range(random.choice((1, 1, 3)))


# ---------------------------------------------------------------- protocols

def smtp(load):
    with connected() as client:
        for _ in several():
            by_smtp(load, client)


def connected():
    return smtplib.SMTP("127.0.0.1", world.SMTP, local_hostname="client.example", timeout=60)


def by_smtp(load, client, **about):
    return submit(load, "SMTP", lambda sender, recipients, text: not client.sendmail(
        sender, recipients, text.replace(b"\n", b"\r\n")), **about)


def qmtp(load):
    with socket.create_connection(("127.0.0.1", world.QMTP), 60) as sock, sock.makefile("rb") as answers:
        def take(sender, recipients, text):
            sock.sendall(netstring(b"\n" + text) + netstring(sender.encode())
                         + netstring(b"".join(netstring(each.encode()) for each in recipients)))
            said = [read_netstring(answers)[:1] for _ in recipients]
            return all(letter == b"K" for letter in said)
        for _ in several():
            submit(load, "QMTP", take)


def qmqp(load):
    with socket.create_connection(("127.0.0.1", world.QMQP), 60) as sock, sock.makefile("rb") as answers:
        def take(sender, recipients, text):
            words = text, sender.encode(), *(each.encode() for each in recipients)
            sock.sendall(netstring(b"".join(map(netstring, words))))
            return read_netstring(answers)[:1] == b"K"
        submit(load, "QMQP", take)


def netstring(data):
    return b"%d:%b," % (len(data), data)


def read_netstring(stream):
    digits = b""
    while (byte := stream.read(1)).isdigit():
        digits += byte
    if byte != b":":
        raise ConnectionError("no netstring")
    data = stream.read(int(digits) + 1)
    if len(data) != int(digits) + 1:
        raise ConnectionError("the answer is cut off")
    return data[:-1]


def network(load):
    """QMTP or QMQP."""
    random.choice((qmtp, qmqp))(load)


# ---------------------------------------------------------------- programs

def program(load):
    by_program(load, random.choice(load.programs or SENDERS))


def by_program(load, name, **about):
    """A program that somebody runs: joe, or root."""
    return submit(load, name, lambda sender, recipients, text: run(load, name, sender, recipients, text), **about)


def run(load, name, sender, recipients, text):
    who = load.world.as_user("joe")
    if name == "sendmail":
        done = load.world.run("sendmail", "-f", sender, *recipients, input=text, **who)
    elif name == "qmail-inject":
        done = load.world.run("qmail-inject", f"-f{sender}", "-a", "--", *recipients, input=text, **who)
    else:
        words = b"F%b\0" % sender.encode() + b"".join(b"T%b\0" % each.encode() for each in recipients) + b"\0"
        done = load.world.enqueue(text, words, **({} if name.endswith("root") else who))
    if done.returncode:
        load.troubles.append(f"{name}: {done}")
    return done.returncode == 0
