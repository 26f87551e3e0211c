"""An evaluation as a sum over batches: what is measured of one of them, and what follows from all."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ..data.dataset import Array
from .blas import one_blas_thread
from .estimate import Counted, Estimate, estimated, losses, subset_note
from .feed import Fed
from .partial import Partial
from .policy import Policy
from .record import Stage
from .sampling import Mask, spread
from .scores import Scorer, check_labels
from .subject import IMPORT, Executed, StageRun, Subject

SAME, OTHER = 0, 1
"""Strata: samples for which the first and the last stage give the same, and the others."""
STRATA = 2
LEAST_OTHERS = 64
"""Samples of a batch for which first and last stage differ that all stages run on, where they are as many."""
AHEAD_BYTES = 1 << 26
"""Samples that wait for the artefact, while the reference runs ahead."""

Numbers = NDArray[np.float64]


@frozen(eq=False)
class Machine:
    """What the artefact gave for a batch: its run, and what it is worth."""

    executed: Executed
    worth: Numbers
    sums: Partial


@frozen(eq=False)
class Measurement:
    """What is measured of each batch, and how the sums become stages.

    `measure` depends on nothing but its batch, and what it gives adds up (`partial.merged`): batches may be dealt to
    any number of workers, in any order, and the evaluation is the same.
    """

    subject: Subject
    scorer: Scorer
    policy: Policy
    stages: bool = True

    def measure(self, fed: Fed) -> Partial:
        """The sums of one batch; raises UsageError for samples or labels that do not fit."""
        return self._joined(fed, self._machine(fed), self._first(fed))

    def measure_all(self, batches: Iterable[Fed]) -> Iterator[tuple[Fed, Partial]]:
        """The sums of each batch in order; artefact and reference run beside each other."""
        waiting: deque[tuple[Fed, Future[Machine], Array | None]] = deque()
        with one_blas_thread(), ThreadPoolExecutor(1, "snc-eval") as pool:
            for fed in batches:
                waiting.append((fed, pool.submit(self._machine, fed), self._first(fed)))
                held = sum(array.nbytes for each, _, _ in waiting for array in each.inputs)
                while waiting and (held > AHEAD_BYTES or waiting[0][1].done()):
                    done, machine, first = waiting.popleft()
                    held -= sum(array.nbytes for array in done.inputs)
                    yield done, self._joined(done, machine.result(), first)
            for fed, machine, first in waiting:
                yield fed, self._joined(fed, machine.result(), first)

    def _machine(self, fed: Fed) -> Machine:
        """The artefact on a batch."""
        assert fed.labels is not None
        check_labels(fed.labels, fed.first)
        sums = Partial()
        executed = self.subject.execute(fed.inputs)
        worth = self.scorer.worth(executed.outputs, fed.labels)
        sums.add("samples", len(fed))
        sums.add("worth", worth.sum(axis=0))
        sums.add_all(executed.sums)
        if self.stages:
            self._congested(fed, fed.labels, worth, sums)
        return Machine(executed, worth, sums)

    def _first(self, fed: Fed) -> Array | None:
        """The outputs of the reference as imported, where that runs on all samples."""
        if not self.stages or not self.subject.floats or not self.policy.import_whole:
            return None
        return self.subject.floats[0].run(fed.inputs)

    def _joined(self, fed: Fed, machine: Machine, outputs: Array | None) -> Partial:
        """All sums of a batch: the stages between the reference and the artefact run on some samples."""
        sums, labels = machine.sums, fed.labels
        if not self.stages:
            return sums
        assert labels is not None
        strata = np.zeros(len(fed), np.int64)
        floats = self.subject.floats
        if outputs is not None:
            floats = floats[1:]
            first = self.scorer.worth(outputs, labels)
            sums.add(f"{IMPORT}/worth", first.sum(axis=0))
            if self.scorer.rises:
                same = self.scorer.predictions(outputs) == self.scorer.predictions(machine.executed.outputs)
                strata[~same | (first != machine.worth).any(axis=1)] = OTHER
        agrees = self._observe(fed, machine.executed, sums)
        open_stages = [
            stage for stage in self.subject.integers if stage.name not in machine.executed.settled or not agrees
        ]
        for stage in self.subject.integers:
            sums.add(f"{stage.name}/open", 0 if stage not in open_stages else len(fed))
        sums.add("strata", np.bincount(strata, minlength=STRATA))
        taken = self._taken(fed, strata)
        few = self._few(taken, strata)
        for label, mask in (("floats", taken), ("integers", few)):
            sums.add(f"taken/{label}", np.bincount(strata[mask], minlength=STRATA))
        for stage in floats:
            change = self._change(stage, fed, taken, labels, machine.worth)
            sums.add(f"{stage.name}/floats", _by_stratum(change, strata[taken]))
            sums.add(f"{stage.name}/integers", _by_stratum(change[few[taken]], strata[few]))
        for stage in open_stages:
            change = self._change(stage, fed, few, labels, machine.worth)
            sums.add(f"{stage.name}/integers", _by_stratum(change, strata[few]))
        return sums

    def _change(self, stage: StageRun, fed: Fed, mask: Mask, labels: Array, last: Numbers) -> Numbers:
        """By how much the worth of a stage lies from the artefact's, for the marked samples."""
        if not mask.any():
            return np.zeros((0, last.shape[1]))
        outputs = stage.run([array[mask] for array in fed.inputs])
        return self.scorer.worth(outputs, labels[mask]) - last[mask]

    def _taken(self, fed: Fed, strata: NDArray[np.int64]) -> Mask:
        """The samples that the float stages in the middle run on: evenly spread ones, and others that differ."""
        even = self.policy.floats.mask(fed.first, len(fed))
        if self.policy.floats.whole:
            return even
        wanted = strata == OTHER
        return np.asarray((even & ~wanted) | spread(wanted, max(LEAST_OTHERS, int(even.sum()))))

    def _few(self, taken: Mask, strata: NDArray[np.int64]) -> Mask:
        """Those of the samples taken that the integer stages run on too, evenly spread over each stratum."""
        share = self.policy.integer_share
        if share >= 1:
            return taken
        masks = [taken & (strata == stratum) for stratum in range(STRATA)]
        parts = [spread(mask, int(np.ceil(share * int(mask.sum())))) for mask in masks]
        return np.asarray(np.logical_or.reduce(parts))

    def _observe(self, fed: Fed, executed: Executed, sums: Partial) -> bool:
        """Looks at the layers; gives whether interpreter and artefact agree."""
        some = self.policy.observed.mask(fed.first, len(fed))
        if not some.any():
            return True
        found = self.subject.observe([array[some] for array in fed.inputs], executed.raw[some])
        sums.add("observed", int(some.sum()))
        sums.add_all(found)
        return not found["mismatches"]

    def _congested(self, fed: Fed, labels: Array, worth: Numbers, sums: Partial) -> None:
        some = self.policy.congested.mask(fed.first, len(fed))
        if self.subject.congestion is None or not some.any():
            return
        outputs, found = self.subject.execute_congested([array[some] for array in fed.inputs])
        change = self.scorer.worth(outputs, labels[some]) - worth[some]
        sums.add("congested", int(some.sum()))
        sums.add(f"{self.subject.congestion.name}/change", change.sum(axis=0))
        sums.add_all(found)

    def finish(self, sums: Partial) -> tuple[Stage, ...]:
        """The stages, from the sums of all batches."""
        subject, metrics = self.subject, self.scorer.metrics
        count, worth = sums.count("samples"), sums.total("worth")
        found: list[Estimate] = []
        if self.stages:
            found += self._before(sums, count, worth)
        found.append(Estimate(subject.schedule, worth / count, count, subject.schedule.note))
        if self.stages and subject.congestion is not None:
            taken = sums.count("congested")
            change = sums.total(f"{subject.congestion.name}/change", (len(metrics),))
            scores = (worth + change * (count / max(1, taken))) / count
            found.append(Estimate(subject.congestion, scores, taken, subset_note(taken, count)))
        taken_by = losses([float(each.scores[0]) for each in found], rises=self.scorer.rises)
        return tuple(
            Stage(
                name=each.stage.name,
                title=each.stage.title,
                scores={metric: float(score) for metric, score in zip(metrics, each.scores, strict=True)},
                loss=loss,
                samples=each.samples,
                note=each.note,
            )
            for each, loss in zip(found, taken_by, strict=True)
        )

    def _before(self, sums: Partial, count: int, worth: Numbers) -> list[Estimate]:
        """The stages before the artefact, all on the same samples."""
        integers = self.subject.integers
        left = {stage.name: sums.count(f"{stage.name}/open") for stage in integers}
        kind = "integers" if any(left.values()) else "floats"
        counted = Counted(count, sums.total("strata"), sums.total(f"taken/{kind}"), worth)
        found = []
        for stage in (*self.subject.floats, *integers):
            if f"{stage.name}/worth" in sums.parts:
                exact = sums.total(f"{stage.name}/worth") / count
                found.append(Estimate(stage, exact, count, ""))
            elif left.get(stage.name) == 0:
                found.append(Estimate(stage, worth / count, count, stage.note))
            else:
                change = sums.total(f"{stage.name}/{kind}", (STRATA, len(worth)))
                found.append(estimated(stage, change, counted))
        return found


def _by_stratum(change: Numbers, strata: NDArray[np.int64]) -> Numbers:
    """The sums [strata, metrics] of changes [N, metrics]."""
    return np.asarray(np.eye(STRATA)[strata].T @ change)
