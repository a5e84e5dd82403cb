"""The table of control files."""
import re
import os

import pytest

from pyqmail.base import controls

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def used():
    """Names of control files in the code: control.line("me"), listen.sockets("smtplisten", …)."""
    pattern = re.compile(r"\b(?:control\.(?:line|number|lines|raw|exists)|sockets)\(\s*\"([a-z0-9.]+)\"")
    for directory, _, files in os.walk(f"{ROOT}/pyqmail"):
        for name in files:
            if name.endswith(".py"):
                with open(f"{directory}/{name}", encoding="utf-8") as f:
                    for found in pattern.findall(f.read()):
                        yield found


@pytest.mark.parametrize("name", sorted(set(used())))
def test_every_control_file_that_is_read_is_in_the_table(name):
    assert name in controls.BY_NAME


def test_the_table_is_complete_in_itself():
    assert len(controls.BY_NAME) == len(controls.CONTROLS)
    for entry in controls.CONTROLS:
        assert entry.programs and entry.meaning
        assert entry.kind != controls.NUMBER or isinstance(entry.default, int)
        assert entry.kind != controls.LINE or entry.default is controls.ME or isinstance(entry.default, str)
