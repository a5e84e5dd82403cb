"""What each process can do, tried by each: it is what tests/privileges/promised.py says, cell by cell."""
import os
import smtplib

import pytest

from pyqmail.base import sandbox
from tests.conftest import ROOT
from tests.privileges import promised

pytestmark = pytest.mark.system


def test_the_document_is_the_table():
    """tests/privileges/generate makes it."""
    with open(os.path.join(ROOT, "doc", "PRIVILEGES.md"), encoding="utf-8") as f:
        assert f.read() == promised.text()


@pytest.mark.root
def test_everything_was_tried(measured):
    assert set(measured) == set(promised.ROLES)
    for role, found in measured.items():
        assert set(found) == {*promised.TARGETS, *(f"process {other}" for other in promised.ROLES)}, role


@pytest.mark.root
def test_nobody_can_do_anything_else(measured, anybody):
    """Where the kernel gives nobody what depends on it, our processes need not have it either; where it has not all
    that confines them, they have no more than their uids give."""
    differing, missing = [], sandbox.missing()
    for role, found in measured.items():
        for target, letters in found.items():
            expected = promised.letters(role, target)
            most = promised.letters(role, target, promised.BY_UID) if missing else expected
            least = "" if target in promised.DEPENDS and target not in anybody else expected
            if set(least) <= set(letters) <= set(most):
                continue
            differing.append(f"{role}: {target}: {letters or 'nothing'}, and not {expected or 'nothing'}")
    assert not differing, "\n".join(differing)


@pytest.mark.root
def test_mail_flows_where_it_was_tried(measured, place):
    """What is around the processes is not in their way."""
    before = len(place.other.messages())
    with smtplib.SMTP("127.0.0.1", place.mail.smtp, timeout=60) as smtp:
        smtp.sendmail("s@a.example", [f"{place.other.name}@localhost", place.joe], "Subject: y\r\n\r\ny\r\n")
    place.mail.wait(lambda: len(place.other.messages()) > before and len(place.mail.messages(place.joe)) > 1)
