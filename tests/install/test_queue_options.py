"""What the options of `qmailctl queue` mean."""
import pytest

from pyqmail.base.errors import Permanent
from pyqmail.install import queue
from pyqmail.queue.look import Filter


@pytest.mark.parametrize("options, wanted", [
    ({"words": ["1", "2"]}, Filter({1, 2})), ({"words": ["3"], "message": "4,5"}, Filter({3, 4, 5})),
    ({"words": [], "sender": ""}, Filter(sender=b"")), ({"words": [], "all": True}, Filter()),
    ({"words": [], "held": True}, Filter()), ({"words": [], "older": "3d"}, Filter(older=259200)),
    ({"words": ["7"], "recipient": "a*", "older": "90"}, Filter({7}, None, b"a*", 90))])
def test_wanted(options, wanted):
    assert queue.wanted(options) == wanted


@pytest.mark.parametrize("options", [
    {"words": []}, {"words": ["x"]}, {"words": ["1"], "older": "x"}, {"words": ["1"], "older": ""},
    {"words": [], "yes": True}, {"words": [], "message": "1,y"}, {"words": ["1"], "older": "-1d"}])
def test_not_told_which(options):
    """Nothing that was not meant: all of it must be said."""
    with pytest.raises(Permanent):
        queue.wanted(options)


@pytest.mark.parametrize("seconds, words", [(0, "0s"), (119, "119s"), (120, "2m"), (7200, "2h"), (200000, "2d")])
def test_in_words(seconds, words):
    assert queue.in_words(seconds) == words
