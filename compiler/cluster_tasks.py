"""Work dealt to the workers of a cluster, such that workers may die."""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
from attrs import define

from ..ir.diagnostics import Diagnostic, UsageError
from .cluster import SharedFiles

if TYPE_CHECKING:
    from distributed import Client

TASKS_FOR_EACH_THREAD = 2
"""One that runs, and one that waits for it."""
POLL_SECONDS = 0.5
RESULT_SECONDS = 60
"""How long the few bytes of a result may take to come."""
PATIENCE_SECONDS = 60
"""How long a cluster may be without workers."""

Task = TypeVar("Task")


def dispatch(
    files: SharedFiles, tasks: Sequence[Task], submit: Callable[[Task, str], Any]
) -> Generator[tuple[Task, Any]]:
    """Each task and its result, as they come; None for a task whose workers died.

    `submit` makes the future of a task, under the key that it is given, of contents of `files`. A worker that dies may
    take several tasks along. Each of these is done once more, with nothing beside it, so that only one that kills
    workers is lost twice. Tasks without a result are called back when the iterator ends. Raises UsageError when the
    scheduler or all workers are gone, or a worker cannot run the function of a task.
    """
    client = files.client
    waiting, suspects = deque(enumerate(tasks)), deque[tuple[int, Task]]()
    flying: dict[Any, tuple[int, Task]] = {}
    run = f"snc-{secrets.token_hex(4)}"
    watch = _Watch(client)
    try:
        while waiting or suspects or flying:
            threads = watch.threads()
            alone = bool(suspects)
            if alone and not flying and threads:
                files.send_again()
                flying[submit(suspects[0][1], f"{run}-{suspects[0][0]}-alone")] = suspects[0]
            while waiting and not alone and len(flying) < TASKS_FOR_EACH_THREAD * threads:
                numbered = waiting.popleft()
                flying[submit(numbered[1], f"{run}-{numbered[0]}")] = numbered
            _wait(client, list(flying))
            for future in [each for each in flying if each.status != "pending"]:
                numbered = flying.pop(future)
                result = _result_of(future)
                watch.check()
                if alone and suspects[0] is numbered:
                    suspects.popleft()
                elif result is None:
                    suspects.append(numbered)
                    continue
                yield numbered[1], result
    except OSError as error:
        raise _lost(f"the scheduler went away: {error}") from None
    finally:
        with suppress(Exception):
            client.cancel(list(flying))  # type: ignore[no-untyped-call]


@define
class _Watch:
    """Looks at a cluster from time to time."""

    client: Client
    seen: float = attrs.field(factory=time.monotonic)

    def threads(self) -> int:
        """The threads of all workers; raises UsageError when there have been none for long, or no scheduler."""
        self.check()
        workers = self.client.scheduler_info(n_workers=-1)["workers"].values()
        found = sum(worker["nthreads"] for worker in workers)
        if found:
            self.seen = time.monotonic()
        elif time.monotonic() - self.seen > PATIENCE_SECONDS:
            raise _lost(f"there were no workers for {PATIENCE_SECONDS} s")
        return found

    def check(self) -> None:
        """Raises UsageError when the client has lost its scheduler."""
        if self.client.status != "running":
            raise _lost("the scheduler went away")


def _wait(client: Client, futures: list[Any]) -> None:
    """Until one of them is no longer pending, or a while has passed."""
    from distributed import CancelledError, wait

    if not futures:
        time.sleep(POLL_SECONDS)
        return
    with client.as_current(), suppress(TimeoutError, CancelledError):
        wait(futures, timeout=POLL_SECONDS, return_when="FIRST_COMPLETED")  # type: ignore[no-untyped-call]


def _result_of(future: Any) -> Any:
    """What a future holds; None where its workers died, or what it needs died with them."""
    from distributed import CancelledError, KilledWorker

    try:
        return future.result(timeout=RESULT_SECONDS)
    except (CancelledError, KilledWorker, TimeoutError, OSError):
        return None
    except Exception as error:
        raise UsageError(
            Diagnostic(
                "SNC0652",
                "a worker of the cluster could not do its work",
                found=f"{type(error).__name__}: {error}",
                help="do all workers have the same Python and the same version of snc?",
            )
        ) from None


def _lost(found: str) -> UsageError:
    return UsageError(
        Diagnostic(
            "SNC0652",
            "the cluster is gone",
            found=found,
            help="start again when it is back; a sweep goes on where it was",
        )
    )
