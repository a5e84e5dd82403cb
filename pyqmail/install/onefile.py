"""All modules of a program in one file, for programs that are started per message or connection (pyqmail/__init__.py
says why, and reads it). Run by the installation, once for each program, with the interpreter that runs the programs:

    python3 -ISXutf8 …/pyqmail/install/onefile.py PROGRAM MODULE …
"""
import importlib
import marshal
import os
import sys

# What a program imports when it starts, and what it then needs in the usual case.
PROGRAMS = {
    "sendmail": ("programs.sendmail", "inject.injection"), "qmail-inject": ("programs.qmail_inject",),
    "forward": ("programs.forward",), "condredirect": ("programs.condredirect",), "preline": ("programs.preline",),
    "bouncesaying": ("programs.bouncesaying",), "except": ("programs.except_",),
    "qmail-queue": ("programs.qmail_queue",), "qmail-local": ("programs.qmail_local",),
    "vdelivermail": ("programs.vdelivermail",),
    "qmail-smtpd": ("programs.qmail_smtpd", "smtp.classic"), "qmail-remote": ("programs.qmail_remote",),
    "qmail-pop3d": ("programs.qmail_pop3d",), "qmail-popup": ("programs.qmail_popup",),
}


def write(package, program, modules):
    """Write the file of `program` into __pycache__ of the package, whose directory has been put on sys.path."""
    for module in ("base.errors", *modules):
        importlib.import_module(f"pyqmail.{module}")
    found = {}
    for name, module in sys.modules.items():
        if name.startswith("pyqmail."):
            status = os.stat(module.__file__)
            found[name] = (os.path.relpath(module.__file__, package), int(status.st_mtime), status.st_size,
                           hasattr(module, "__path__"), module.__spec__.loader.get_code(name))
    import pyqmail
    target = pyqmail.one_file(program)
    with open(f"{target}.new", "wb") as file:
        marshal.dump(((pyqmail.FORMAT, sys.hexversion), found), file)
    os.rename(f"{target}.new", target)


if __name__ == "__main__":
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    home = os.path.dirname(here)
    sys.path[:0] = [home]
    sys.path.append("%s/venv/lib/python%d.%d/site-packages" % (home, *sys.version_info[:2]))     # as the launchers do
    write(here, sys.argv[1], sys.argv[2:])
