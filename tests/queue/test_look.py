"""Which messages somebody means, and what is done to them by hand."""
import os

import pytest

from pyqmail.queue import change, look, names
from pyqmail.queue.look import Filter


@pytest.fixture
def put(tmp_path, monkeypatch):
    """put(number, **files): a message; its mark."""
    for kind in ("bounce", "intd", "todo"):
        (tmp_path / kind).mkdir()
    for kind in names.DIRECTORIES_SPLIT:
        for part in range(names.SPLIT):
            (tmp_path / kind / str(part)).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)

    def make(number, birth=5000, **files):
        for kind, content in {"mess": b"x\n", **files}.items():
            path = names.split(kind, number) if kind in names.DIRECTORIES_SPLIT else names.flat(kind, number)
            with open(path, "wb") as f:
                f.write(content)
            os.utime(path, (birth, birth))
        return os.stat(names.split("mess", number)).st_mtime_ns
    return make


@pytest.fixture
def queue(put):
    put(1, info=b"FAnn@A.example\0", local=b"Tx@b\0Dy@b\0", remote=b"Dz@c\0", bounce=b"text")
    put(2, 8000, info=b"F\0", remote=b"Tr@c\0")
    put(3, 9000, todo=b"u0\0p1\0Fann@other\0Tx@b\0Tw@d\0")
    put(4, info=b"Fbroken", local=b"Tq@b\0")
    put(5)
    return put


@pytest.mark.parametrize("wanted, found", [
    (Filter(), {1, 2, 3, 4}), (Filter(numbers={2, 3, 5, 77}), {2, 3}), (Filter(sender=b"ann@*"), {1, 3}),
    (Filter(sender=b"*@a.EXAMPLE"), {1}), (Filter(sender=b""), {2}), (Filter(sender=b"*"), {1, 2, 3}),
    (Filter(recipient=b"X@B"), {1, 3}), (Filter(recipient=b"z@c"), {1}), (Filter(recipient=b"*@c"), {1, 2}),
    (Filter(older=2000), {1, 2, 4}), (Filter(older=2001), {1, 4}), (Filter(sender=b"ann*", older=2000), {1}),
    (Filter({1}, b"ann*", b"r@c"), set())])
def test_filters(queue, wanted, found):
    assert {message.number for message in look.find(wanted, now=10000)} == found


def test_what_is_told(queue):
    one, three = look.message(1), look.message(3)
    assert one[2:] == (look.QUEUED, b"Ann@A.example", 5000, 2, 1, 3, True)
    assert three[2:] == (look.TODO, b"ann@other", 9000, 2, 2, 2, False)
    assert list(look.recipients(1)) == [("local", False, b"x@b"), ("local", True, b"y@b"), ("remote", True, b"z@c")]


def test_delete_leaves_what_qmail_send_ends(queue):
    change.delete(1, look.message(1).mark)
    assert [done for _, done, _ in look.recipients(1)] == [True] * 3 and not os.path.exists("bounce/1")
    assert os.path.exists("info/1/1") and os.path.exists("mess/1/1")


def test_expire(queue):
    change.expire(1, look.message(1).mark)
    assert look.message(1).birth == change.LONG_AGO


def test_another_message_of_that_number(queue):
    """It is neither expired nor deleted."""
    for function in (change.expire, change.delete, lambda *message: change.delete_new(*message, pytest.fail)):
        with pytest.raises(change.Gone):
            function(1, 4711)
    assert look.message(1).left == 1 and look.message(1).birth == 5000 and os.path.exists("bounce/1")


def test_delete_before_it_is_preprocessed(queue, put):
    put(3, info=b"Fs", local=b"Tx")
    asked = []
    change.delete_new(3, look.message(3).mark, asked.append)
    assert asked == [b"todo/3", b"foop/3"] and not os.path.exists("info/3/3") and not os.path.exists("local/3/3")
