"""Calls of C functions, compared with what os says."""
import errno
import os

import pytest

from pyqmail.base import libc


def test_numbers_and_texts():
    assert libc.call("getpid") == os.getpid()
    assert libc.call("abs", -5) == 5
    assert libc.call("strlen", b"abc") == 3
    assert libc.call("access", b"/", os.F_OK) == 0


def test_failures():
    assert libc.call("access", b"/nonexistent/file", os.F_OK) == -1 and libc.errno() == errno.ENOENT
    assert libc.call("close", -1) == -1 and libc.errno() == errno.EBADF
    with pytest.raises(AttributeError):
        libc.call("there_is_no_such_function")


def test_null():
    assert libc.call("sync_file_range", -1, 0, 0, 0) == -1 and libc.errno() == errno.EBADF
    assert libc.call("chdir", None) == -1 and libc.errno() == errno.EFAULT


def test_address_of_bytes():
    data = b"NUL \0 in it"
    where, kept = libc.address(data)
    assert libc.call("memcmp", where, data, len(data)) == 0
    del kept
