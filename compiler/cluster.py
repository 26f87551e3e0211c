"""A running dask.distributed cluster: connecting to it, and files that its workers read."""

from __future__ import annotations

import hashlib
import importlib
import pydoc
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from attrs import field, frozen

from .. import __version__
from ..ir.diagnostics import Diagnostic, UsageError
from .whole_files import whole_file

if TYPE_CHECKING:
    from distributed import Client

CONNECT_SECONDS = 10
WORKER_SECONDS = 10
"""How long the first worker of a cluster is waited for."""
FOLDER = "snc-files"


@contextmanager
def connected(address: str) -> Iterator[Client]:
    """A client of the scheduler at `address` (tcp://HOST:PORT), all of whose workers have this version of snc.

    Raises UsageError when dask.distributed is not installed, nobody answers, there are no workers, or they have another
    version.
    """
    distributed = _distributed()
    try:
        # A plain connection first, which says at once what is wrong; a client goes on trying in the background.
        place = urlsplit(address if "://" in address else f"tcp://{address}")
        if place.hostname is None or place.port is None:
            raise ValueError("no host and port")
        socket.create_connection((place.hostname, place.port), CONNECT_SECONDS).close()
        client = distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise _unreachable(address, reason) from None
    try:
        try:
            client.wait_for_workers(1, timeout=WORKER_SECONDS)
        except TimeoutError:
            raise UsageError(
                Diagnostic(
                    "SNC0648",
                    "the cluster has no workers",
                    node=address,
                    expected=f"one within {WORKER_SECONDS} s",
                    help=f"start some: dask worker {address} --nthreads 1",
                )
            ) from None
        check_versions(client)
        yield client
    finally:
        # A scheduler that is gone cannot be told.
        with suppress(Exception):
            client.close(timeout=CONNECT_SECONDS)


def _distributed() -> Any:
    try:
        return importlib.import_module("distributed")
    except ImportError:
        raise UsageError(
            Diagnostic(
                "SNC0650",
                "a cluster needs dask.distributed, which is not installed",
                help="pip install 'snc[cluster]'",
            )
        ) from None


def _unreachable(address: str, reason: str) -> UsageError:
    return UsageError(
        Diagnostic(
            "SNC0648",
            "the scheduler cannot be reached",
            found=reason,
            expected="the address of a running scheduler, such as tcp://192.168.0.5:8786",
            help="dask scheduler prints its address when it starts",
            node=address,
        )
    )


def check_versions(client: Client) -> None:
    """Raises UsageError unless all workers have the version of snc that runs here."""
    # A function of Python's own, which workers without snc have too.
    versions = client.run(pydoc.locate, "snc.__version__", on_error="return")
    others = {worker: found for worker, found in versions.items() if found != __version__}
    if others:
        first = ", ".join(f"{found or 'no snc'} on {worker}" for worker, found in sorted(others.items())[:5])
        raise UsageError(
            Diagnostic(
                "SNC0649",
                "workers of the cluster have another version of snc",
                found=f"{first}{' ...' * (len(others) > 5)}",
                expected=__version__,
                help=f"install it there: pip install snc=={__version__}",
            )
        )


@frozen(eq=False)
class SharedFiles:
    """Contents that the workers of a cluster hold in memory, each once, by their SHA-256."""

    client: Client
    _held: dict[str, Any] = field(factory=dict)
    _contents: dict[str, bytes] = field(factory=dict)

    def add(self, content: bytes) -> str:
        """Hands a content to all workers; its digest."""
        digest = hashlib.sha256(content).hexdigest()
        if digest not in self._held:
            self._contents[digest] = content
            self._send(digest)
        return digest

    def future(self, digest: str) -> Any:
        """The content, as an argument of what is submitted; handed out again where the workers that had it are gone."""
        if self._held[digest].status != "finished":
            self._send(digest)
        return self._held[digest]

    def send_again(self) -> None:
        """Hands all contents out once more."""
        for digest in self._contents:
            self._send(digest)

    def _send(self, digest: str) -> None:
        # Without a hash: what was lost under a name cannot come back under it.
        self._held[digest] = self.client.scatter(self._contents[digest], broadcast=True, hash=False)  # type: ignore[no-untyped-call]


def local_file(content: bytes, digest: str, suffix: str) -> Path:
    """On a worker: the file of that content in the worker's own folder, written when it is first asked for.

    Raises OSError, and ValueError when the content is not what the digest says.
    """
    if hashlib.sha256(content).hexdigest() != digest:
        raise ValueError("a content was damaged on its way to the worker")
    folder = worker_folder()
    path = folder / f"{digest}{suffix}"
    if not path.exists():
        with whole_file(path) as file:
            file.write(content)
    return path


def worker_folder() -> Path:
    """On a worker: a folder that goes with it."""
    folder = Path(_distributed().get_worker().local_directory) / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    return folder
