"""How many samples each part of an evaluation looks at: as many as the work of the network allows."""

from __future__ import annotations

from attrs import frozen

from .sampling import Stride, affordable
from .subject import Subject

WHOLE_WORK = 1 << 38
"""A stage that needs no more multiplications than this for all samples is run on all of them."""
STAGE_WORK = 1 << 34
"""Multiplications that a stage may cost that is run on some samples."""
INTEGER_WORK = 1 << 35
"""Likewise for a stage of integers, of which few remain to be run."""
OBSERVED_WORK = 1 << 34
"""What looking at the layers may cost."""
CONGESTION_WORK = 1 << 27
"""Synapses that the model of late packets may go through, roughly."""
LEAST_SAMPLES = 64
LEAST_CONGESTED = 16
MOST_OBSERVED = 256
MOST_CONGESTED = 2048


@frozen
class Policy:
    """`floats`: samples of the float stages behind the import, which runs on all where `import_whole`.

    `integer_share` of these are run on the integer stages. The layers are looked at for `observed`, late packets for
    `congested`. The choice depends on the network and the number of samples alone.
    """

    floats: Stride
    integer_share: float
    import_whole: bool
    observed: Stride
    congested: Stride

    @classmethod
    def of(cls, subject: Subject, count: int, samples_per_stage: int | None) -> Policy:
        """The policy for `count` samples; `samples_per_stage` overrules what is chosen by the work of the network."""
        first, *middle = [stage.work for stage in subject.floats] or [0]
        integers = max(stage.work for stage in subject.integers)
        synapses = subject.congestion.work if subject.congestion is not None else 1
        observed = affordable(subject.observed_work, OBSERVED_WORK, MOST_OBSERVED, LEAST_CONGESTED)
        if samples_per_stage is not None:
            few = Stride(min(samples_per_stage, count), count)
            return cls(few, 1.0, True, Stride(min(observed, count), count), few)
        congested = affordable(synapses, CONGESTION_WORK, MOST_CONGESTED, LEAST_CONGESTED)
        slow = affordable(integers, INTEGER_WORK, count, LEAST_SAMPLES)
        fast = affordable(max(middle, default=integers), STAGE_WORK, count, LEAST_SAMPLES)
        return cls(
            floats=Stride(max(fast, slow), count),
            integer_share=slow / max(fast, slow),
            import_whole=first * count <= WHOLE_WORK,
            observed=Stride(min(observed, count), count),
            congested=Stride(min(congested, count), count),
        )
