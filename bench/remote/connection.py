"""Commands on another machine, by the system's ``ssh``: its configuration, keys and agent hold."""

from __future__ import annotations

import shlex
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO

from bench.errors import CaseError, RemoteFailed

__all__ = ["Connection", "Finished", "Machine", "probe"]

CONNECT_SECONDS = 15
KEPT_LINES = 20
_UNREACHABLE = 255  # ssh's own exit status

_PROBE = """
echo "machine $(uname -m)"
echo "cache ${XDG_CACHE_HOME:-$HOME/.cache}"
check='import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))'
for program in python3 python3.14 python3.13 python3.12 python3.11; do
  if "$program" -c "$check" 2>/dev/null; then
    echo "python $program"
    break
  fi
done
for program in gcc make tar; do
  if command -v "$program" >/dev/null; then echo "$program $program"; fi
done
"""


@dataclass(frozen=True)
class Finished:
    """A command that has ended.

    Parameters
    ----------
    status
        Its exit status.
    output
        What it wrote to standard output.
    complaints
        The last lines of its standard error.
    """

    status: int
    output: bytes
    complaints: list[str]


@dataclass(frozen=True)
class Machine:
    """What another machine is and has.

    Parameters
    ----------
    name
        What `platform.machine` says there.
    cache
        The user's cache folder.
    programs
        Those found of ``python`` (3.11 or later, with venv), ``gcc``,
        ``make`` and ``tar``, and what they are called.
    """

    name: str
    cache: str
    programs: Mapping[str, str]


class Connection:
    """A way to run commands on a host.

    Parameters
    ----------
    host
        As ssh takes it: ``user@board``, a name of its configuration, or
        ``ssh://user@board:port``.

    Raises
    ------
    CaseError
        If `host` can't be one.
    """

    def __init__(self, host: str) -> None:
        if not host or host.startswith("-") or any(c.isspace() for c in host):
            raise CaseError(f"host: expected user@name, got {host!r}")
        self.host = host

    def run(
        self, script: str, source: bytes = b"", show: Callable[[str], None] | None = None
    ) -> Finished:
        """Run a script of the POSIX shell there.

        Parameters
        ----------
        script
            The script.
        source
            Its standard input.
        show
            Called with each line of its standard error.

        Raises
        ------
        RemoteFailed
            If there is no ssh, or the host can't be reached.
        """
        command = (
            "ssh", "-o", "BatchMode=yes", "-o", f"ConnectTimeout={CONNECT_SECONDS}",
            "-o", f"ServerAliveInterval={CONNECT_SECONDS}",
            "--", self.host, f"exec sh -c {shlex.quote(script)}",
        )  # fmt: skip
        try:
            process = subprocess.Popen(  # noqa: S603 -- the host is checked above
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        except OSError as error:
            raise RemoteFailed(f"host: ssh is needed: {error.strerror}") from error
        complaints: deque[str] = deque(maxlen=KEPT_LINES)
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        threads = (
            threading.Thread(target=_feed, args=(process.stdin, source)),
            threading.Thread(target=_follow, args=(process.stderr, complaints, show)),
        )
        with process:
            for thread in threads:
                thread.start()
            output = process.stdout.read()
            for thread in threads:
                thread.join()
        if process.returncode == _UNREACHABLE:
            raise RemoteFailed(
                f"host {self.host} can't be reached by ssh: "
                f"{complaints[-1] if complaints else 'no message'}"
            )
        return Finished(process.returncode, output, list(complaints))

    def require(
        self, what: str, script: str, source: bytes = b"", show: Callable[[str], None] | None = None
    ) -> bytes:
        """Run a script that must succeed, and return its output.

        Raises
        ------
        RemoteFailed
            If it doesn't: says `what` failed, and its last lines.
        """
        finished = self.run(script, source, show)
        if finished.status:
            lines = "".join(f"\n  {line}" for line in finished.complaints)
            raise RemoteFailed(
                f"host {self.host}: {what} failed with status {finished.status}:{lines}"
            )
        return finished.output


def _feed(stream: IO[bytes], source: bytes) -> None:
    try:
        with stream:
            stream.write(source)
    except BrokenPipeError:
        pass  # the command has ended; its status says more


def _follow(stream: IO[bytes], kept: deque[str], show: Callable[[str], None] | None) -> None:
    for line in stream:
        text = line.decode("utf-8", "replace").rstrip()
        if text:
            kept.append(text)
            if show is not None:
                show(text)


def probe(connection: Connection) -> Machine:
    """Ask a machine what it is and has."""
    output = connection.require("asking for its programs", _PROBE).decode("utf-8", "replace")
    facts = dict(line.split(" ", 1) for line in output.splitlines() if " " in line)
    if "machine" not in facts or "cache" not in facts:
        raise RemoteFailed(
            f"host {connection.host}: expected what it is and where its cache is, got {output!r}"
        )
    return Machine(facts.pop("machine"), facts.pop("cache"), facts)
