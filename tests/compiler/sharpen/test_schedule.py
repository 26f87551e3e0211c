"""When layers are sharpened."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.compiler.sharpen.schedule import (
    FINISH,
    SHARPEN,
    SOFT,
    AdaptiveSharpener,
    ScheduledSharpener,
    Sharpener,
    Stretch,
    finish_stretches,
)

SHARPENERS = st.one_of(
    st.builds(
        ScheduledSharpener, layers=st.integers(1, 5), soft=st.integers(0, 3), each=st.sampled_from([0.25, 1, 1.5, 3])
    ),
    st.builds(AdaptiveSharpener, layers=st.integers(1, 5), soft=st.integers(0, 3)),
)
LOSSES = st.lists(st.floats(0.0, 3.0), min_size=1, max_size=20)


def walk(sharpener: Sharpener, losses: list[float]) -> list[Stretch]:
    """All stretches, for losses that begin again where they end."""
    found: list[Stretch] = []
    loss = None
    while len(found) < 1000:
        sharpener, stretch = sharpener.next(loss)
        if stretch is None:
            return found
        loss = losses[len(found) % len(losses)]
        found.append(stretch)
    raise AssertionError("sharpening never ends")


class TestSharpeners:
    @settings(max_examples=60, deadline=None)
    @given(SHARPENERS, LOSSES)
    def test_end_with_steps_in_every_layer(self, sharpener: Sharpener, losses: list[float]) -> None:
        assert set(walk(sharpener, losses)[-1].end) == {1.0}

    @settings(max_examples=60, deadline=None)
    @given(SHARPENERS, LOSSES)
    def test_begin_soft_and_only_sharpen_one_layer_at_a_time(self, sharpener: Sharpener, losses: list[float]) -> None:
        before = None
        for stretch in walk(sharpener, losses):
            assert before is None or stretch.start == before
            changed = [
                index for index, pair in enumerate(zip(stretch.start, stretch.end, strict=True)) if len(set(pair)) > 1
            ]
            assert len(changed) <= 1
            assert all(stretch.end[index] >= stretch.start[index] for index in changed)
            # Layers in front of the one that is sharpened are steps, those behind it soft.
            assert sorted(stretch.end, reverse=True) == list(stretch.end)
            assert sum(0 < each < 1 for each in stretch.end) <= 1
            before = stretch.end

    @settings(max_examples=60, deadline=None)
    @given(SHARPENERS, LOSSES, st.integers(0, 8))
    def test_go_on_from_their_state(self, sharpener: Sharpener, losses: list[float], stop: int) -> None:
        other, loss = sharpener, None
        for number in range(stop):
            other, stretch = other.next(loss)
            if stretch is None:
                break
            loss = losses[number % len(losses)]
        restored = sharpener.restored(json.loads(json.dumps(other.state)))
        assert restored == other
        assert restored.next(loss) == other.next(loss)


class TestScheduledSharpener:
    def test_takes_the_epochs_that_it_is_given(self) -> None:
        found = walk(ScheduledSharpener(layers=2, soft=1, each=2), [1.0])
        assert [stretch.phase for stretch in found] == [SOFT, *[SHARPEN] * 4]
        assert [stretch.end for stretch in found] == [(0, 0), (0.5, 0), (1, 0), (1, 0.5), (1, 1)]
        assert all(stretch.share == 1 for stretch in found)

    def test_takes_a_share_of_an_epoch(self) -> None:
        found = walk(ScheduledSharpener(layers=2, soft=0, each=0.5), [1.0])
        assert [(stretch.end, stretch.share) for stretch in found] == [((1, 0), 0.5), ((1, 1), 0.5)]


class TestAdaptiveSharpener:
    def test_waits_while_the_loss_falls(self) -> None:
        found = walk(AdaptiveSharpener(layers=1, soft=1), [1.0, 0.5, 0.45, 0.45, 0.45, 0.45, 0.45])
        assert [stretch.phase for stretch in found[:3]] == [SOFT, SHARPEN, SHARPEN]
        falling = walk(AdaptiveSharpener(layers=1, soft=2), [1.0, 0.5, 0.25, 0.24, 0.24, 0.24, 0.24])
        assert [stretch.phase for stretch in falling[:4]] == [SOFT, SOFT, SOFT, SOFT]

    def test_waits_when_the_loss_rises(self) -> None:
        found = walk(AdaptiveSharpener(layers=2, soft=1), [1.0, 1.5, 1.5, 1.5])
        assert found[1].end == (0.5, 0)
        assert found[2].start == found[2].end == (0.5, 0)


class TestStretch:
    def test_goes_straight_from_start_to_end(self) -> None:
        stretch = Stretch(SHARPEN, (1.0, 0.5), (1.0, 1.0), rate_from=1.0, rate_to=0.5)
        assert stretch.sharpness(0) == (1, 0.5)
        assert stretch.sharpness(0.5) == (1, 0.75)
        assert stretch.sharpness(1) == (1, 1)
        assert [stretch.rate(share) for share in (0, 0.5, 1)] == pytest.approx([1, 0.75, 0.5])

    def test_finishes_at_a_rate_of_zero(self) -> None:
        found = finish_stretches(2, 4)
        assert [(each.rate_from, each.rate_to) for each in found] == [(1, 0.75), (0.75, 0.5), (0.5, 0.25), (0.25, 0)]
        assert {each.phase for each in found} == {FINISH}
