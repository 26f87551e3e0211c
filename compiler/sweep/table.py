"""The folder of a sweep's results: rows as they come, the table when it is whole.

`rows.csv` is only ever appended to, a row at a time, each on the disk before the next; `table.csv` is written in one
piece at the end. So whatever ends a sweep, every row that was told is there for the next one.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from attrs import define, frozen

from ...ir.diagnostics import Diagnostic, LimitExceeded, SncError, UnsafeInput, UsageError
from ..whole_files import whole_file
from .columns import HEADER, Row, line_of, row_of

ROWS = "rows.csv"
TABLE = "table.csv"
PARQUET = "table.parquet"
LOG = "log.jsonl"
LOCK = "lock"
MAX_BYTES = 1 << 30
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@frozen
class Folder:
    """Where the files of a sweep's results are."""

    path: Path

    @property
    def rows(self) -> Path:
        """Rows as they came, of this sweep and of those before."""
        return self.path / ROWS

    @property
    def table(self) -> Path:
        """The table of the sweep that ended last, in the order of its specification."""
        return self.path / TABLE

    @property
    def parquet(self) -> Path:
        """The same as Parquet."""
        return self.path / PARQUET

    @property
    def log(self) -> Path:
        """How long each point took."""
        return self.path / LOG


@contextmanager
def locked(path: Path) -> Iterator[Folder]:
    """The folder `path`, made where there is none, for this process alone; raises UsageError.

    The lock is the kernel's: it goes with the process, however that ends.
    """
    try:
        path.mkdir(exist_ok=True)
        handle = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise cannot_write(path, error) from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise _in_use(path, handle, error) from None
        with suppress(OSError):
            os.truncate(handle, 0)
            os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield Folder(path)
    finally:
        os.close(handle)


def _in_use(path: Path, handle: int, error: OSError) -> UsageError:
    if error.errno not in (errno.EAGAIN, errno.EACCES):
        return UsageError(
            Diagnostic("SNC0644", "the results cannot be locked", found=error.strerror or "", node=str(path))
        )
    holder = os.pread(handle, 200, 0).decode("utf-8", "replace").strip()
    return UsageError(
        Diagnostic(
            "SNC0644",
            "another sweep writes these results",
            found=holder,
            help="wait for it, or name another folder: -o OTHER",
            node=str(path),
        )
    )


@define(eq=False)
class RowFile:
    """The file of rows, open to be appended to."""

    path: Path
    handle: int
    length: int

    def begin(self) -> None:
        """Puts the names of the columns on the disk, and the file itself."""
        self._write(HEADER.encode())
        # Some file systems cannot; the file is there without it.
        with suppress(OSError):
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def append(self, row: Row) -> None:
        """Puts a row on the disk; where that fails, takes back what was written of it and raises LimitExceeded."""
        self._write(line_of(row).encode())

    def _write(self, line: bytes) -> None:
        try:
            written = 0
            while written < len(line):
                written += os.write(self.handle, line[written:])
            os.fsync(self.handle)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self.handle, self.length)
            raise cannot_write(self.path, error) from None
        self.length += len(line)


@contextmanager
def open_rows(path: Path) -> Iterator[tuple[RowFile, dict[str, Row], list[Diagnostic]]]:
    """The file of rows, those that it has by their keys, and a note where a torn last line was dropped.

    Of rows with one key the last counts. Raises UsageError where the file cannot be opened, UnsafeInput where it is no
    table of this version of snc.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK, 0o666)
    except OSError as error:
        raise cannot_write(path, error) from None
    try:
        try:
            content = _content(path, handle)
            lines, notes = _whole_lines(path, content)
            rows = RowFile(path, handle, sum(map(len, lines)))
            if rows.length != len(content):
                os.ftruncate(handle, rows.length)
        except OSError as error:
            raise cannot_write(path, error) from None
        found = _parsed(path, lines)
        if not lines:
            rows.begin()
        yield rows, found, notes
    finally:
        os.close(handle)


def _content(path: Path, handle: int) -> bytes:
    if os.fstat(handle).st_size > MAX_BYTES:
        limit = f"at most {MAX_BYTES} bytes"
        raise LimitExceeded(Diagnostic("SNC0645", "the rows are too many", expected=limit, node=str(path)))
    with os.fdopen(os.dup(handle), "rb") as file:
        file.seek(0)
        return file.read()


def _whole_lines(path: Path, content: bytes) -> tuple[list[bytes], list[Diagnostic]]:
    """The lines that were written to their ends, and a note of one that was not."""
    lines = content.splitlines(keepends=True)
    if not lines or lines[-1].endswith(b"\n"):
        return lines, []
    note = Diagnostic(
        "SNC0647",
        "the last row was torn when a sweep was ended, and is dropped",
        found=f"{len(lines[-1])} bytes without an end",
        help="its point is measured again",
        node=str(path),
        severity="note",
    )
    return lines[:-1], [note]


def _parsed(path: Path, lines: Sequence[bytes]) -> dict[str, Row]:
    if lines and lines[0] != HEADER.encode():
        raise _damaged(path, "other columns than this version of snc writes", "name another folder: -o OTHER")
    found: dict[str, Row] = {}
    for number, line in enumerate(lines[1:], start=2):
        try:
            row = row_of(line.decode("utf-8"))
        except ValueError as error:
            help = "was the file edited? Remove the line: its point is measured again"
            raise _damaged(path, f"line {number}: {str(error)[:100]}", help) from None
        found[str(row["key"])] = row
    return found


def _damaged(path: Path, found: str, help: str) -> UnsafeInput:
    return UnsafeInput(Diagnostic("SNC0645", "these are no rows of a sweep", found=found, help=help, node=str(path)))


@contextmanager
def open_log(path: Path) -> Iterator[_Log]:
    """The log, to be appended to; raises UsageError or LimitExceeded."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK, 0o666)
    except OSError as error:
        raise cannot_write(path, error) from None
    try:
        yield _Log(path, handle)
    finally:
        os.close(handle)


@frozen
class _Log:
    """A line of JSON for each thing that happened."""

    path: Path
    handle: int

    def write(self, **facts: str | float) -> None:
        """Adds a line."""
        try:
            os.write(self.handle, json.dumps(facts).encode() + b"\n")
        except OSError as error:
            raise cannot_write(self.path, error) from None


def write_table(path: Path, rows: Iterable[Row]) -> None:
    """The whole table in one piece; raises UsageError or LimitExceeded, and then leaves the old one."""
    try:
        with whole_file(path) as file:
            file.write(HEADER.encode())
            for row in rows:
                file.write(line_of(row).encode())
    except OSError as error:
        raise cannot_write(path, error) from None


def read_table(path: str | Path) -> list[Mapping[str, object]]:
    """The rows of a `table.csv` or `rows.csv`, in their order; raises UsageError and UnsafeInput."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise UsageError(
            Diagnostic("SNC0645", "the table cannot be read", found=error.strerror or "", node=str(path))
        ) from None
    lines, _ = _whole_lines(Path(path), content)
    _parsed(Path(path), lines)
    return [row_of(line.decode("utf-8")) for line in lines[1:]]


def cannot_write(path: Path, error: OSError) -> SncError:
    """The error of results that have no place."""
    full = error.errno in _FULL
    help = "free some space and start the sweep again: it goes on where it was" if full else "choose another place: -o"
    finding = Diagnostic(
        "SNC0646", "the results cannot be written", found=error.strerror or "", help=help, node=str(path)
    )
    return LimitExceeded(finding) if full else UsageError(finding)
