"""uid 0 is never a mail user: no password, no program and no configuration makes it one."""
import os
import subprocess

import pytest

from pyqmail.auth import accounts
from pyqmail.base import prot
from pyqmail.base.errors import Temporary

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def test_no_process_becomes_root():
    with pytest.raises(Temporary):
        prot.become(0, 0)
    with pytest.raises(Temporary):
        prot.become(0, 1000, groups=[1000])


@pytest.mark.parametrize("name", [b"root", b"toor"])
def test_no_password_is_roots(tmp_path, name):
    """Whatever its name: the uid counts."""
    (tmp_path / "shadow").write_bytes(name + b":$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1:19000:0:99999:7:::\n")
    account = accounts.Account(name, 0, 0, b"/root", b"/bin/sh")
    assert accounts.of_system(name, b"secret", account, b"x", shadow_file=tmp_path / "shadow", verify=lambda *_: True) is None


@pytest.mark.root
def test_the_mailbox_program_refuses_root(tmp_path):
    for part in ("tmp", "new", "cur"):
        (tmp_path / part).mkdir()
    done = subprocess.run([f"{ROOT}/bin/qmail-pop3d", str(tmp_path)], input=b"QUIT\r\n", capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"qmail-pop3d invoked as uid 0, terminating\n")


@pytest.mark.root
def test_the_checker_refuses_root(tmp_path):
    (tmp_path / "login").write_bytes(b"root\0any\0x\0")
    done = subprocess.run(["/bin/sh", "-c", f'exec "{ROOT}/bin/checkpassword" id 3<"{tmp_path}/login"'], capture_output=True)
    assert (done.returncode, done.stdout) == (1, b"")
