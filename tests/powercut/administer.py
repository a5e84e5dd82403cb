"""Actors of the load who change accounts, domains, tables, and messages in the queue."""
import contextlib
import os
import random
import signal
import threading

from pyqmail.vpopmail import files
from tests.powercut import states, ways_in, world
from tests.powercut.ledger import WAITING, Expected

DOMAINS = (world.VIRTUAL, world.VIRTUAL, world.IN_SQL, world.LARGE)
KEPT = 6                            # accounts, domains, aliases that are there at a time, before one goes
PATIENCE = 20                       # s for qmail-send to do its part


def change(load, what, name, value, program, *words, verbs=(), before=lambda: None, **options):
    """Run a program that changes something, before() first; True if it said that it has."""
    entry = load.ledger.state(" ".join((program, *verbs)), what, name, value)
    before()
    done = load.world.run(program, *words, **options)
    if done.returncode == 0:
        load.ledger.give(entry)
    else:
        load.troubles.append(f"{program}: {done}")
    return done.returncode == 0


def new_name(load, letter):
    return f"{letter}{len(load.ledger.states)}x{random.randrange(1000)}"


# ---------------------------------------------------------------- accounts, domains, aliases

def accounts(load):
    """A new user; mail for him, or he goes again some time."""
    domain = random.choice(load.domains or DOMAINS)
    user = new_name(load, "u")
    address = f"{user}@{domain}"
    if change(load, "account", address, world.PASSWORD, "vadduser", address, world.PASSWORD):
        stays = domain == world.VIRTUAL and random.random() < 0.6
        if stays:
            with ways_in.connected() as client:
                ways_in.by_smtp(load, client, to=(address, f"virtual/{user}"))
        (load.users if stays else load.leaving).append(address)
    if len(load.leaving) > KEPT:
        address = load.leaving.popleft()
        change(load, "account", address, None, "vdeluser", address)
    load.over.wait(0.3)


def passwords(load):
    """A user who is there gets another password."""
    elsewhere = load.domains and world.VIRTUAL not in load.domains
    address, owner = f"{random.choice(world.RECEIVERS)}@{world.VIRTUAL}", None
    for others in (load.users, load.leaving):
        if elsewhere or random.random() < 0.3:
            with contextlib.suppress(IndexError):
                address, owner = others.pop(), others
                break
    if elsewhere and owner is None:
        return
    value = f"Pw-{random.randrange(1 << 40)}"
    change(load, "account", address, value, "vpasswd", address, value)
    if owner is not None:
        owner.append(address)
    load.over.wait(0.3)


def domains(load):
    """A new domain, or one goes; now and then an alias domain, or a line in users/assign."""
    if len(load.made) > KEPT:
        name = load.made.popleft()
        change(load, "domain", name, None, "vdeldomain", name)
    elif random.random() < 0.25:
        assign(load)
    else:
        name = f"{new_name(load, 'd')}.example"
        if random.random() < 0.3:
            change(load, "alias domain", name, True, "vaddaliasdomain", world.VIRTUAL, name)
        elif change(load, "domain", name, True, "vadddomain", name, world.PASSWORD):
            load.made.append(name)
    load.over.wait(0.7)


def assign(load):
    """An administrator edits users/assign, sees to it that it is on the disk, and runs qmail-newu."""
    name, path = new_name(load, "s"), os.fsencode(f"{load.world.home}/users/assign")
    uid = load.world.uid("joe")
    with files.Locked(path + b".lock"):
        line = f"={name}:joe:{uid}:{uid}:{load.world.homes}/joe:::\n".encode()
        done = change(load, "assignment", name, True, "qmail-newu", before=lambda: files.replace(
            path, line + files.read(path), 0o644))
    if done:
        ways_in.by_program(load, "sendmail", kind="maildir", to=(f"{name}@{world.DOMAIN}", "joe"))


def aliases(load):
    """A new alias, or one goes."""
    if len(load.aliases) > KEPT:
        name = load.aliases.popleft()
        change(load, "alias", name, None, "valias", "-d", f"{name}@{world.VIRTUAL}", verbs=["-d"])
    else:
        name, line = new_name(load, "a"), f"&joe@{world.DOMAIN}"
        if change(load, "alias", name, line, "valias", "-i", line, f"{name}@{world.VIRTUAL}", verbs=["-i"]):
            load.aliases.append(name)
    load.over.wait(0.5)


def tables(load):
    """Rules, and names of domains, that programs compile."""
    load.generation += 1
    number, home = load.generation, load.world.home
    which = random.choice(("tcprules", "qmailctl", "qmail-newmrh"))
    if which == "tcprules":
        rules = f'10.:allow,GENERATION="{number}"\n'.encode()
        change(load, "rules", "own.cdb", number, "tcprules", f"{home}/control/own.cdb", f"{home}/control/own.tmp",
               input=rules)
    elif which == "qmailctl":       # those that logins of virtual users are added to
        change(load, "rules", "tcp.smtp.cdb", number, "qmailctl", "cdb", verbs=["cdb"], before=lambda: write(
            f"{home}/control/tcp.smtp", f'127.:allow,RELAYCLIENT=""\n10.:allow,GENERATION="{number}"\n'))
    else:
        change(load, "morercpthosts", "", number, "qmail-newmrh", before=lambda: write(
            f"{home}/control/morercpthosts", f"generation-{number}.example\n"))
    load.over.wait(0.5)


def write(path, text):
    """As an administrator does who sees to it that it is on the disk."""
    path = os.path.realpath(path).encode()
    files.replace(path, text.encode(), 0o644)


# ---------------------------------------------------------------- the queue by hand

def by_hand(load):
    """A message that waits is held; it is released; it goes, or its time is up."""
    verb = random.choice(load.verbs or ("hold", "hold", "delete", "delete new", "expire"))
    if verb == "delete new":
        pid = load.world.manager()
        os.kill(pid, signal.SIGSTOP)        # so that it is still in todo
        threading.Timer(0.6, os.kill, (pid, signal.SIGCONT)).start()
    half = verb == "delete" and random.random() < 0.5
    number, taken = ways_in.by_program(load, "qmail-queue", kind="half" if half else "later")
    if not taken:
        return
    if verb != "delete new":
        world.until(lambda: load.over.is_set() or states.settled(load.world, number), PATIENCE, 0.05)
        if load.over.is_set():
            return
    if verb == "hold":
        if queue(load, verb, number, load.ledger.state("qmailctl queue hold", "held", str(number), True)) and (
                random.random() < 0.5):
            queue(load, "release", number, load.ledger.state("qmailctl queue release", "held", str(number), None))
    elif verb == "expire":
        queue(load, verb, number, load.ledger.then(number, "qmailctl queue expire", [
            Expected("alias", "double bounce", f"later@{world.DOMAIN}")]))
    else:
        queue(load, "delete", number, load.ledger.then(number, "qmailctl queue delete", []))
    load.over.wait(0.3)


def queue(load, verb, number, entry):
    """Have something done to a message; True if it was."""
    done = load.world.run("qmailctl", "queue", verb, "--sender", f"{WAITING}{number}@*",
                          *(["--yes"] if verb in ("delete", "expire") else []))
    said = {"hold": "held", "release": "released", "delete": "deleted", "expire": "expired"}[verb]
    if done.returncode == 0 and done.stdout.startswith(f"{said} ".encode()):
        load.ledger.give(entry)
        return True
    load.troubles.append(f"qmailctl queue {verb}: {done}")
    return False


def stalls(load):
    """For a moment qmail-send gets no time: what was accepted waits in todo."""
    load.over.wait(1)
    pid = load.world.manager()
    os.kill(pid, signal.SIGSTOP)
    load.over.wait(0.3)
    os.kill(pid, signal.SIGCONT)
