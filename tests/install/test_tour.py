"""What the installer says at its end: whom its examples name."""
import collections

import pytest

from pyqmail.install import tour

User = collections.namedtuple("User", "pw_name pw_uid pw_dir")


@pytest.mark.parametrize("caller, with_maildir, named", [
    ("bob", ("ann", "bob"), "bob"),
    ("bob", ("ann",), "ann"),               # bob has no Maildir
    ("root", ("root", "ann"), "ann"),
    (None, ("ann", "bob"), "ann"),
    (None, (), "alice"),
    ("daemon", ("daemon",), "alice"),       # nobody's account
])
def test_examples_name_somebody_who_can_read_mail(tmp_path, monkeypatch, caller, with_maildir, named):
    users = [User(name, uid, f"{tmp_path}/{name}") for name, uid in
             (("root", 0), ("daemon", 1), ("ann", 1000), ("bob", 1001))]
    monkeypatch.setattr(tour.pwd, "getpwall", lambda: users)
    for name in with_maildir:
        (tmp_path / name / "Maildir").mkdir(parents=True)
    monkeypatch.delenv("SUDO_USER", raising=False)
    if caller:
        monkeypatch.setenv("SUDO_USER", caller)
    assert tour.somebody() == named
