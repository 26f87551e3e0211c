"""Scores of stages that ran on some samples, such that what the stages lost adds up.

The artefact runs on all samples. A stage before it is judged by how far its worth lies from the artefact's on the
samples that both ran on, and that difference is added to the artefact's score on all samples. Where the first stage ran
on all samples as well, those for which it and the artefact give the same outcome, and those for which they do not, are
counted apart: what happened between the two is then known exactly for the first stage, and best for the others.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from .subject import StageRun

Numbers = NDArray[np.float64]


@frozen(eq=False)
class Counted:
    """Samples: of the data, and of each stratum, all and those that the stages ran on; what the artefact is worth."""

    count: int
    strata: Numbers
    taken: Numbers
    worth: Numbers


@frozen(eq=False)
class Estimate:
    """The scores of a stage, and how many samples they rest on."""

    stage: StageRun
    scores: Numbers
    samples: int
    note: str


def estimated(stage: StageRun, change: Numbers, counted: Counted) -> Estimate:
    """The scores of a stage whose worth lies `change` [strata, metrics] from the artefact's on the samples taken."""
    taken = int(counted.taken.sum())
    shares = np.where(counted.taken > 0, counted.strata / np.maximum(counted.taken, 1), 0.0)
    scores = (counted.worth + shares @ change) / counted.count
    return Estimate(stage, scores, taken, subset_note(taken, counted.count))


def subset_note(taken: int, count: int) -> str:
    """What is said of a stage that did not run on all samples."""
    return "" if taken == count else f"on {taken:,} samples, evenly spread"


def losses(scores: Sequence[float], *, rises: bool) -> list[float]:
    """What each stage took: the score before it less its own, or, where less is better, the other way round.

    Their sum, in the order of the list, is the first score less the last to the last bit; where gains cancel nearly all
    losses, within the last bits of the largest one.
    """
    sign = 1.0 if rises else -1.0
    found = [0.0, *(sign * (before - after) for before, after in itertools.pairwise(scores))]
    wanted = sign * (scores[0] - scores[-1])
    # The largest takes what rounding left; where that skips the sum, the next smaller one takes a step of its own size.
    for place in sorted((place for place, loss in enumerate(found) if loss), key=lambda place: -abs(found[place])):
        for step in (wanted - sum(found), math.copysign(math.ulp(found[place]), wanted - sum(found))):
            nudged = [*found[:place], found[place] + step, *found[place + 1 :]]
            if abs(wanted - sum(nudged)) < abs(wanted - sum(found)):
                found = nudged
    return found
