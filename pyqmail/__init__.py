"""pyqmail: qmail, written in Python.

Imports point one way: programs -> subsystems (send, spawn, delivery, smtp, pop3, inject,
install) -> shared services (queue, users, auth) -> base -> standard library.

A program that is started for every message has all its modules in one file among the compiled ones, which
the installation makes (install/onefile.py): to look for 27 files, compare and read them takes sendmail 1.9 of
10 ms. A module whose source has changed since, and everything where there is no such file, is imported as ever.
"""
import sys
from _frozen_importlib import ModuleSpec    # what importlib.machinery has, without the cost of importlib
from marshal import loads
from posix import stat              # `os` has it, too, but takes a millisecond that is not needed here

FORMAT = 1                          # of the file; changes whenever Modules reads it differently


def one_file(program):
    """The path of the file with all modules of bin/PROGRAM, for the interpreter that runs."""
    return f"{__path__[0]}/__pycache__/{program}.{sys.implementation.cache_tag}.modules"


class Modules:
    """Finds and loads modules of this package. found: {name: (path below the package, whole seconds of its
    modification, size, is a package, code)}."""

    def __init__(self, found):
        self._found = found

    def find_spec(self, name, path=None, target=None):
        if name not in self._found:
            return None
        where, seconds, size, package, _ = self._found[name]
        origin = f"{__path__[0]}/{where}"
        try:
            status = stat(origin)
        except OSError:
            return None
        if (int(status.st_mtime), status.st_size) != (seconds, size):
            return None
        spec = ModuleSpec(name, self, origin=origin, is_package=package)
        if package:
            spec.submodule_search_locations.append(origin.rpartition("/")[0])
        return spec

    @staticmethod
    def create_module(_):
        return None                 # a usual one

    def exec_module(self, module):
        module.__file__ = module.__spec__.origin
        exec(self._found.pop(module.__name__)[-1], module.__dict__)     # imported once; a daemon need not keep it


def use_one_file():
    try:
        with open(one_file(sys.argv[0].rpartition("/")[2]), "rb", 0) as file:
            mark, found = loads(file.read())
    except (OSError, ValueError, EOFError, TypeError, IndexError):      # there is none, or no whole one
        return
    if mark == (FORMAT, sys.hexversion):
        sys.meta_path.insert(0, Modules(found))


use_one_file()
