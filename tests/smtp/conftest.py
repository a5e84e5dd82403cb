import pytest

from pyqmail.base import home


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A home of our own and a message in it."""
    monkeypatch.setattr(home, "HOME", str(tmp_path))
    (tmp_path / "control").mkdir()
    (tmp_path / "control/me").write_bytes(b"me.example\n")
    (tmp_path / "message").write_bytes(b"Subject: t\n\n.hello\n")
    return tmp_path
