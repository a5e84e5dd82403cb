"""Password hashes: every scheme of /etc/shadow, by both libraries."""
import pytest

from pyqmail.auth import hashes

# "secret" in every scheme, made by libcrypt
KNOWN = [
    b"abNANd1rDfiNc",
    b"$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1",
    b"$6$abc$IdWKNKTJEb8LxY7CGg8YBXlvtfZzFw7Mp/r6niK9YB2mdvgY..TKjv1T..8RadRt2qvUHYRLr/TsVArtr91iR1",
    b"$y$j9T$abcdefghijklmnop$3dL1LkYnZM.OVXuVdnnaKVDlLYT92dRwOzDZ5XiVCe.",
    b"$5$abcdefgh$gruCpC7VkOTspMQTTSAR8mtlO9Upms.fwqE5y16JVM.",
    b"$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW",
]


@pytest.fixture(params=["library", "libcrypt"])
def either(request, monkeypatch):
    if request.param == "libcrypt":
        monkeypatch.setattr(hashes, "crypt", hashes._libcrypt)


@pytest.mark.parametrize("stored", KNOWN, ids=lambda stored: stored[:4].decode())
def test_known(either, stored):
    assert hashes.matches(b"secret", stored)
    assert not hashes.matches(b"Secret", stored)
    assert not hashes.matches(b"", stored)
    assert not hashes.matches(b"secret\0", stored)
    assert not hashes.matches(b"secret", b"!" + stored)


@pytest.mark.parametrize("stored", [b"", b"*", b"!", b"!!", b"x", b"*0", b"*1", b"!*", b"ab", b"$", b"$6$", b"$9$unknown$x",
                                    b"\xff\xff\xff", b"secret", b"*LK*", b"$6$a\0b"])
def test_what_nothing_matches(either, stored):
    for password in (b"secret", b"*0", b"*1", b"x", stored):
        assert not hashes.matches(password, stored)


def test_passwords_need_not_be_text():
    stored = hashes.crypt(b"p\xe4ss", b"$6$salt$")
    assert hashes.matches(b"p\xe4ss", stored)
    assert not hashes.matches("päss".encode(), stored)


def test_made_hashes_match_and_differ():
    one, two = hashes.make(b"secret"), hashes.make(b"secret")
    assert one != two and hashes.matches(b"secret", one) and hashes.matches(b"secret", two)


@pytest.mark.parametrize("like", [b"", b"*", KNOWN[1], b"!$6$x$y"])
def test_spending_time_needs_no_valid_hash(like):
    hashes.spend(b"", like)
    hashes.spend(b"a\0b", like)
