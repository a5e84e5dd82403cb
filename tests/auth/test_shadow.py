"""/etc/shadow: entries and age."""
import pytest

from pyqmail.auth import shadow
from pyqmail.base.errors import Temporary

FILE = b"""root:*:19000:0:99999:7:::
joe:$6$salt$hash:19000:0:99999:7:::
joe:$1$second$entry:19000:0:99999:7:::
short:x
"""


def test_find(tmp_path):
    path = tmp_path / "shadow"
    path.write_bytes(FILE)
    entry, kind = shadow.find(b"joe", path)
    assert (entry.hash, kind) == (b"$6$salt$hash", b"$6$salt$hash")
    assert shadow.find(b"nobody", path) == (None, b"$6$salt$hash")
    assert shadow.find(b"", path)[0] is None
    assert shadow.find(b"jo", path)[0] is None
    assert shadow.find(b"short", path)[0].hash == b"x"
    assert shadow.find(b"joe", tmp_path / "absent") == (None, b"")


def test_trouble_is_temporary(tmp_path):
    with pytest.raises(Temporary):
        shadow.find(b"joe", tmp_path)


@pytest.mark.parametrize("fields, day, expired", [
    (b"19000:0:99999:7::", 20000, False),
    (b"19000:0:99999:7::20001", 20000, False),
    (b"19000:0:99999:7::20000", 20000, True),
    (b"19000:0:99999:7::1", 20000, True),
    (b"0:0:99999:7::", 20000, True),            # must be changed at the first login
    (b"19000:0:999:7::", 20000, True),
    (b"19001:0:999:7::", 20000, False),
    (b"20005:0:1:7::", 20000, False),           # a clock that was set back
    (b":::::", 20000, False),
    (b"9" * 5000 + b":0:1:7::" + b"9" * 5000, 20000, False),    # more than Python converts
])
def test_age(fields, day, expired):
    assert shadow.Entry(b"joe:$6$x$y:" + fields + b":").expired(day) is expired
