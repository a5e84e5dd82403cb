"""Actors of the load who read mail, and take it away."""
import poplib
import random
import socket

from tests.powercut import world
from tests.powercut.ledger import promised

LEFT = 0.2                          # of the sessions delete nothing: what was read is moved to cur
ELSEWHERE = 0.2                     # of the sessions come from another address, from which mail may be relayed then


class Pop3(poplib.POP3):
    """Comes from an address of 127/8."""

    def __init__(self, source):
        self.source = source
        super().__init__("127.0.0.1", world.POP3, timeout=60)

    def _create_socket(self, timeout):
        return socket.create_connection((self.host, self.port), timeout, (self.source, 0))


def pop3(load):
    """Fetch and delete all that is in a reader's mailbox."""
    reader = random.choice((*world.READERS, world.SYSTEM_READER))
    virtual = reader in world.READERS
    source = "127.0.0.1" if random.random() > ELSEWHERE else f"127.1.{random.randrange(256)}.{random.randrange(1, 255)}"
    mailbox = Pop3(source)
    mailbox.user(f"{reader}@{world.VIRTUAL}" if virtual else reader)
    mailbox.pass_(world.PASSWORD)
    numbers, deletes = [], random.random() > LEFT
    for at in range(1, mailbox.stat()[0] + 1):
        number = promised(b"\n".join(mailbox.retr(at)[1]))[0]
        if deletes:
            numbers.append(number)
            mailbox.dele(at)
    entry = load.ledger.take("POP3, virtual users" if virtual else "POP3, users of the system",
                             f"virtual/{reader}" if virtual else reader, numbers)
    mailbox.quit()
    if numbers:
        load.ledger.give(entry)
    load.over.wait(0.3)


def move(load):
    """Move a Maildir's mail into an mbox on another file system."""
    mbox = f"{load.world.homes}/{world.MOVER}/Mailbox"
    load.over.wait(1)               # maildir2mbox leaves what has just come
    done = load.world.run("maildir2mbox", environ={"MAIL": mbox, "MAILTMP": f"{mbox}.tmp", "MAILDIR": load.world.spool},
                          **load.world.as_user(world.MOVER))
    if done.returncode:
        load.troubles.append(f"maildir2mbox: {done}")
