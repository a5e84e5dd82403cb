"""The libraries for accounts in SQL are wanted where there are such accounts, and not before."""
import os

import pytest

from pyqmail.base import home as qmailhome
from pyqmail.base.errors import Temporary
from pyqmail.install import dependencies, doctor, virtual
from pyqmail.vpopmail import database_url, home

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@pytest.fixture
def place(tmp_path, monkeypatch):
    (tmp_path / "etc").mkdir()
    home.use(os.fsencode(tmp_path), os.getuid(), os.getgid())
    monkeypatch.setattr(qmailhome, "HOME", os.fspath(tmp_path))
    yield tmp_path
    home._known.clear()


def names():
    return [dependencies.name_of(requirement) for requirement in dependencies.wanted(ROOT)]


def test_only_where_there_is_a_database(place):
    assert "sqlalchemy" not in names() and "cdb" in "".join(names())
    database_url.write("sqlite:////x")
    assert {"sqlalchemy", "psycopg"} < set(names())
    assert (place / "etc/vpopmail.sql").stat().st_mode & 0o777 == 0o640


def test_a_database_is_made_ready(place, monkeypatch):
    installed, told = [], []
    monkeypatch.setattr(dependencies, "install", lambda *words: installed.append(dependencies.wanted(ROOT)))
    virtual.connect(f"sqlite:///{place}/accounts", told.append)
    assert any("sqlalchemy" in word for word in installed[0]) and told[-1].startswith("the tables are there")
    assert (place / "accounts").stat().st_mode & 0o777 == 0o600
    virtual.connect("", told.append)        # as it is
    with pytest.raises(Temporary):
        virtual.connect("mysql://a:b@c/d", told.append)


def test_the_doctor_misses_them(place, monkeypatch):
    monkeypatch.setattr(dependencies, "wanted", lambda source: ["sqlalchemy>=2.0"])
    (place / "venv/lib").mkdir(parents=True)
    assert "sqlalchemy" in list(doctor.libraries())[0]
