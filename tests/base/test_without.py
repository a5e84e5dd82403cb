"""What is left out stays out only as long as it takes."""
import subprocess
import sys

import pytest

from pyqmail.base.without import Without


def test_within_it_is_not_there_and_afterwards_it_is(monkeypatch):
    monkeypatch.delitem(sys.modules, "this", raising=False)
    monkeypatch.setattr(sys, "stdout", open("/dev/null", "w"))          # it is a talkative module
    with Without("this"):
        with pytest.raises(ImportError):
            import this
    import this                                                        # noqa: F401


def test_what_is_there_already_stays():
    before = sys.modules["sys"]
    with Without("sys"):
        import sys as found
        assert found is before


@pytest.mark.parametrize("library", ["asyncio", "dns.asyncresolver"])
def test_the_libraries_can_do_without_tls(library):
    """They are the ones it is used for; a later version may not be so kind."""
    code = f"""
import sys
from pyqmail.base.without import Without
with Without("ssl"):
    import {library}, asyncio
async def main():
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    print(await reader.read(), "ssl" in sys.modules)
asyncio.run(main())
import ssl
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout == "b'' False\n", done.stderr
