"""An installation has every page and document, and `man` finds them there."""
import os
import shutil
import stat
import subprocess

import pytest

from .test_pages import PAGES, ROOT

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def home(open_place, install):
    return install(f"{open_place}/manual/home", "--smtp", "127.0.0.1:2597", "--pop3", "127.0.0.1:2197")


def test_every_page_and_document_is_there(home):
    for path in [f"man/man{page[-1]}/{page}" for page in PAGES] + [f"doc/{name}" for name in os.listdir(f"{ROOT}/doc")]:
        found = os.stat(f"{home}/{path}")
        assert (stat.S_IMODE(found.st_mode), found.st_uid) == (0o644, 0), path
        with open(f"{home}/{path}", "rb") as installed, open(f"{ROOT}/{path}", "rb") as source:
            assert installed.read() == source.read()


def test_a_changed_mode_is_told(home):
    page = f"{home}/man/man8/qmail-send.8"
    os.chmod(page, 0o666)
    done = subprocess.run([f"{home}/bin/qmailctl", "doctor"], capture_output=True, text=True)
    os.chmod(page, 0o644)
    assert f"{page} has mode 0666, should be 0644\n" in done.stdout


@pytest.mark.parametrize("page", ["qmail-send.8", "qmail-log.5", "qmail-log.8", "tcprules.1", "qmail.7"])
def test_man_finds_it(home, page):
    if not shutil.which("man"):
        pytest.skip("man is not installed")
    name, _, section = page.rpartition(".")
    done = subprocess.run(["man", "-M", f"{home}/man", "-w", section, name], capture_output=True, text=True)
    assert done.stdout == f"{home}/man/man{section}/{page}\n"
