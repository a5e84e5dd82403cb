"""Functions of the C library that os has not, by what lies below the package ctypes: 0.4 ms and no memory to speak of,
instead of 3 ms and 2 MB. So programs that are started for each message can afford it, too.

    call("prctl", 38, 1, 0, 0, 0)
"""
import _ctypes

RTLD_NOW = 2
LIBRARY = _ctypes.dlopen(None, RTLD_NOW)


class Byte(_ctypes._SimpleCData):
    _type_ = "b"


class Int(_ctypes._SimpleCData):
    _type_ = "i"


class Long(_ctypes._SimpleCData):
    _type_ = "l"


class Function(_ctypes.CFuncPtr):
    _flags_, _restype_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO, Int


_known = {}


def call(name, *arguments):
    """The int that the C function returns. Arguments: an int is a C long, bytes are a pointer to them, None is NULL.
    Raises AttributeError: no such function."""
    return function(name)(*(Long(word) if isinstance(word, int) else word for word in arguments))


def function(name):
    """It is looked up once."""
    if name not in _known:
        try:
            _known[name] = Function(_ctypes.dlsym(LIBRARY, name))
        except OSError:
            raise AttributeError(name) from None
    return _known[name]


def errno():
    """Of the last call()."""
    return _ctypes.get_errno()


def address(data):
    """Where a copy of these bytes is, as (int, what keeps it there)."""
    kept = type("Bytes", (_ctypes.Array,), {"_type_": Byte, "_length_": len(data)}).from_buffer_copy(data)
    return _ctypes.addressof(kept), kept
