"""One of the places of tests.death, by itself in namespaces: not part of the ordinary tests.

Descriptor DEATH_ORDERS: a JSON list a line, [role, at, error, log]; DEATH_REPORTS: for each the Result, or {"failed":
why}. Ends with the orders. DEATH_FINISH: another qmail-send that finishes what deaths leave, or nothing.
"""
import json
import os

import pytest

from pyqmail.base import errors
from tests.death.lives import Place
from tests.peers import namespaces
from tests.peers.virtual import Virtual
from tests.system.conftest import make_system, people     # noqa: F401

pytestmark = [pytest.mark.root, pytest.mark.system]


def test_labour(make_system, people, vpophome):      # noqa: F811
    mail = make_system()
    virtual = Virtual(mail.system, vpophome)
    assert mail.ctl("vpopmail")[0] == 0
    mail.control("pop3checker", None)       # the system's users read their mail here
    address = virtual.add_user(f"reader@{virtual.add_domain()}")
    finisher = os.environ.get("DEATH_FINISH")
    if finisher:
        namespaces.lay(mail.home, "/var/qmail")         # where such a program looks for its home
    place = Place(mail, people, (address, f"{virtual.user_directory(address)}/Maildir"), finisher)
    place.warm_up()
    with open(int(os.environ["DEATH_ORDERS"]), encoding="utf-8") as orders, \
            open(int(os.environ["DEATH_REPORTS"]), "w", encoding="utf-8") as reports:
        print(json.dumps({"ready": True}), file=reports, flush=True)
        for line in orders:
            role, at, error, log = json.loads(line)
            try:
                report = vars(place.trial(role, at, error, log=log))
            except Exception as why:        # this life is told of; whether there is another one is not for us to say
                report = {"failed": f"{type(why).__name__}: {why}{errors.where(why)}\n{mail.log()[-2000:]}"}
            print(json.dumps(report), file=reports, flush=True)
    place.close()
