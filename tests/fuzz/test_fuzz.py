"""Every target with every input of its corpus, and with inputs made of them: always the same ones. The long form,
guided by coverage, is `python -m tests.fuzz`."""
import os
import subprocess
import sys

import pytest

from tests.fuzz import models, reading, targets

MADE = 600                          # inputs for each target
ROOT = os.path.dirname(os.path.dirname(targets.HERE))


@pytest.mark.parametrize("name", targets.TARGETS)
def test_promises_are_kept(name):
    inputs = targets.corpus(name)
    assert inputs, "a target without a corpus"
    with targets.world():
        for file, data in inputs:
            check(name, data, file)
        for number, data in enumerate(targets.mutations(name, MADE)):
            check(name, data, f"made, number {number}")


def check(name, data, what):
    try:
        targets.TARGETS[name].run(data)
    except Exception as why:
        raise AssertionError(f"{name}: {what}: {data!r}") from why


def test_corpus_is_small_and_all_of_it_is_used():
    found = {name: targets.corpus(name) for name in os.listdir(targets.CORPUS)}
    assert set(found) == set(targets.TARGETS)
    assert sum(len(data) for inputs in found.values() for _, data in inputs) < 500_000


def test_long_form_runs(tmp_path):
    """Guided by coverage, a moment only."""
    pytest.importorskip("atheris")
    command = [sys.executable, "-m", "tests.fuzz", "netstrings", "--seconds", "1", "--keep", str(tmp_path / "kept")]
    environ = {**os.environ, "PYTHONPATH": ROOT}
    done = subprocess.run(command, capture_output=True, cwd=tmp_path, env=environ, check=False)
    assert done.returncode == 0, done
    found = done.stdout.split()
    assert found[0] == b"netstrings" and int(found[1]) > 0 and int(found[5]) > 10, done.stdout


def test_pieces_are_the_whole():
    data = bytes(range(256)) * 9
    assert all(b"".join(reading.pieces(data, seed)) == data for seed in range(256))


# The models are what everything is compared with: they must say no to what nobody may take.

SMUGGLED = (b"MAIL FROM:<a@c>\r\nRCPT TO:<b@a.example>\r\nDATA\r\nhi%b"
            b"MAIL FROM:<evil@c>\r\nRCPT TO:<b@a.example>\r\nDATA\r\n%b\r\n.\r\n")


@pytest.mark.parametrize("end", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\n.\r", b"\r.\r\n",
                                 b"\r\r\n.\r\n"])
def test_model_takes_no_other_end_of_a_message(end):
    policy = models.Policy(relay=None, check=None, accept=lambda number: b"")
    codes, accepted = models.smtp(SMUGGLED % (end, b"x"), policy)
    assert accepted == [] and codes[-1] == 451


def test_model_takes_two_messages():
    policy = models.Policy(relay=None, check=None, accept=lambda number: b"")
    codes, accepted = models.smtp(SMUGGLED % (b"\r\n.\r\n", b"..x"), policy)
    assert codes == [220, 250, 250, 354, 250, 250, 250, 354, 250]
    assert accepted == [(b"a@c", [b"b@a.example"], b"hi\n"), (b"evil@c", [b"b@a.example"], b".x\n")]


@pytest.mark.parametrize("broken", ["smtp-dot", "netstring", "mbox", "duplicate", "packet"])
def test_a_seeded_bug_is_found(broken, monkeypatch):
    """The harness sees what it is there for."""
    from pyqmail.base import mbox
    from pyqmail.qmtp import wire
    from pyqmail.queue import wire as queue
    from pyqmail.smtp import client, data
    if broken == "smtp-dot":        # a dot between LFs ends the message
        name, real = "smtp", data.DataReader.feed
        monkeypatch.setattr(data.DataReader, "feed",
                            lambda self, piece: real(self, piece.replace(b"\n.\n", b"\r\n.\r\n")))
    elif broken == "netstring":     # one byte of the length is not looked at
        name = "qmtp"
        monkeypatch.setattr(wire.Input, "comma", lambda self: self.byte())
    elif broken == "duplicate":     # a message that the server may have begins anew
        name = "kept-connections"
        never = property(lambda self: False, lambda self, value: None)
        monkeypatch.setattr(client.Session, "_critical", never, raising=False)
    elif broken == "packet":        # the envelope of a whole message is looked for one byte further on
        name = "submissions"
        monkeypatch.setattr(queue, "HEAD", queue.HEAD + 1)
    else:
        name = "mbox"
        monkeypatch.setattr(mbox, "mark", lambda window: window)
    with targets.world(), pytest.raises(Exception):
        for data_ in [each for _, each in targets.corpus(name)] + list(targets.mutations(name, MADE)):
            targets.TARGETS[name].run(data_)
