"""Fixtures for tests of the account store."""
import os
import tempfile

import pytest

from pyqmail.vpopmail import database, database_url, home, onchange
from tests.peers.accounts import make_site
from tests.peers.postgres import Postgres, present


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL of our own, for the whole run. root gets one from tests/run; whoever cannot have it does without."""
    if os.geteuid() != 0 and not present():
        pytest.skip("no PostgreSQL here: apt-get install postgresql")
    with Postgres() as server:
        yield server


@pytest.fixture
def place():
    """A directory that the domain's owner can reach."""
    with tempfile.TemporaryDirectory(prefix="pyqmail-accounts.", dir="/tmp") as path:
        os.chmod(path, 0o755)
        yield path


@pytest.fixture
def site(place, monkeypatch):
    """A domain example.com, with its accounts in files."""
    yield make_site(place, monkeypatch)
    home._known.clear()


@pytest.fixture
def sqlite(site):
    """etc/vpopmail.sql names a file of SQLite that has the tables."""
    database_url.write(f"sqlite:///{os.fsdecode(home.path(b'db'))}/accounts")
    database.prepare()


@pytest.fixture
def run(site, capfd):
    """run(program, *words): (exit code, standard output)"""
    def once(program, *words):
        onchange._told.clear()
        status = program.main([os.fsencode(word) for word in words]) or 0
        return status, capfd.readouterr().out
    return once
