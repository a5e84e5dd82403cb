import pytest

from pyqmail.base.options import BadOption, Options


@pytest.mark.parametrize("argv, found, rest", [
    ([], [], []),
    ([b"x", b"-a"], [], [b"x", b"-a"]),
    ([b"-ab", b"x"], [(b"a", None), (b"b", None)], [b"x"]),
    ([b"-fjoe", b"x"], [(b"f", b"joe")], [b"x"]),
    ([b"-f", b"joe", b"x"], [(b"f", b"joe")], [b"x"]),
    ([b"-af", b"-b", b"x"], [(b"a", None), (b"f", b"-b")], [b"x"]),
    ([b"-f", b"", b"x"], [(b"f", b"")], [b"x"]),
    ([b"-f", b"--", b"-a"], [(b"f", b"--"), (b"a", None)], []),
    ([b"-a", b"--", b"-b"], [(b"a", None)], [b"-b"]),
    ([b"-a", b"-", b"-b"], [(b"a", None)], [b"-", b"-b"]),
    ([b"--b"], [], []),
])
def test_options(argv, found, rest):
    options = Options(argv, b"abf:")
    assert list(options) == found
    assert options.rest == rest


@pytest.mark.parametrize("argv, line", [
    ([b"-z"], b"illegal option -- z"),
    ([b"-a-"], b"illegal option -- -"),
    ([b"-a:"], b"illegal option -- :"),
    ([b"-\xe9"], b"illegal option -- \xe9"),
    ([b"-af"], b"option requires an argument -- f"),
])
def test_bad_options(argv, line):
    with pytest.raises(BadOption) as raised:
        list(Options(argv, b"abf:"))
    assert raised.value.line == line


def test_the_rest_of_a_word_can_be_skipped():
    options = Options([b"-axyz", b"-b", b"c"], b"ab")
    found = []
    for letter, _ in options:
        found.append(letter)
        if letter == b"a":
            options.skip_word()
    assert (found, options.rest) == ([b"a", b"b"], [b"c"])
