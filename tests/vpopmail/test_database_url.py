"""The file that says where the SQL accounts are, as vpopmail wrote it."""
import pytest

from pyqmail.base.errors import Temporary
from pyqmail.vpopmail import database_url


@pytest.mark.parametrize("line, url", [
    (b"h|5432|u|p@:/w|d", "postgresql://u:p%40%3A%2Fw@h:5432/d"), (b"h||||", "postgresql://postgres:@h/vpopmail"),
    (b"h||u|p\xe4|d", "postgresql://u:p%E4@h/d")])           # a password that is no UTF-8
def test_line_of_vpopmail(line, url):
    assert database_url.from_vpopmail(line) == url


def test_line_that_is_none():
    with pytest.raises(Temporary):
        database_url.from_vpopmail(b"h|u|p")
