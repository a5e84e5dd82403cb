"""Asking a program: what its exit code says about the message on descriptor 0."""
from . import child
from .errors import PERMANENT, TEMPORARY, Temporary, passing, text

def cannot_run(why):
    """The exit code of a child that cannot be executed: temporary trouble or none that will go away."""
    return TEMPORARY if passing(why) else PERMANENT


def agrees(argv):
    """Run argv, looked up along PATH, with our descriptors. True if it exits 0, False for other codes
    and for a program that does not exist. Raises Temporary for code 111 and for a crash."""
    environ = child.environment()
    try:
        pid = child.start(argv[0], argv, {}, env=environ, search=child.search_path(environ), failed=cannot_run)
    except OSError as why:
        raise Temporary(f"unable to fork: {text(why)}") from None
    code = child.wait(pid)
    if code < 0:
        raise Temporary("child crashed")
    if code == TEMPORARY:
        raise Temporary("temporary child error")
    return code == 0
