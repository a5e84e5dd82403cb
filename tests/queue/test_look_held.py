"""What `qmailctl queue` says of messages that qmail-send leaves alone."""
from pyqmail.queue import look, suspects


def test_why_messages_are_left_alone(tmp_path, monkeypatch):
    (tmp_path / "suspects").write_bytes(b"todo 1 5 3\nhold 2 5 3\nnobody-knows 3 5 3\nlocal 4 5 1\n")
    monkeypatch.setattr(suspects.home, "path", lambda *parts: str(tmp_path))
    assert look.held() == {1: "set aside, qmail-send died of it", 2: "held", 3: "set aside, something died of it"}
