"""Which class output neurons vote for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.compiler.sharpen.keys import NO_CLASS, Key, consecutive_key, key_of_matrix, random_key

SIZES = st.integers(2, 6).flatmap(lambda classes: st.tuples(st.integers(classes, 30), st.just(classes)))


class TestKey:
    @settings(max_examples=30, deadline=None)
    @given(SIZES, st.integers(0, 1000))
    def test_every_class_has_the_same_number_of_votes(self, size: tuple[int, int], seed: int) -> None:
        outputs, classes = size
        for key in (consecutive_key(outputs, classes), random_key(outputs, classes, seed)):
            assert key.counts.tolist() == [outputs // classes] * classes
            assert (key.voters == NO_CLASS).sum() == outputs % classes

    @settings(max_examples=30, deadline=None)
    @given(SIZES, st.integers(0, 1000))
    def test_a_matrix_gives_its_key_back(self, size: tuple[int, int], seed: int) -> None:
        key = random_key(*size, seed)
        for matrix in (key.matrix(), (key.matrix() + 1) / 2, 4 * key.matrix()):
            found = key_of_matrix(matrix)
            assert found is not None and found.voters.tolist() == key.voters.tolist()

    @settings(max_examples=30, deadline=None)
    @given(SIZES, st.integers(0, 1000))
    def test_with_equal_votes_the_most_votes_win(self, size: tuple[int, int], seed: int) -> None:
        outputs, classes = size
        spikes = np.random.default_rng(seed).integers(0, 2, (50, outputs))
        votes = spikes[:, : outputs // classes * classes].reshape(50, classes, -1).sum(axis=2)
        assert consecutive_key(outputs, classes).decode(spikes).tolist() == votes.argmax(axis=1).tolist()

    def test_is_no_other_matrix(self) -> None:
        assert key_of_matrix(np.array([[1.0, -1.0], [-1.0, 0.5]])) is None
        assert key_of_matrix(np.ones((4, 2))) is None
        assert key_of_matrix(np.array([[1.0, 1.0], [-1.0, 1.0]])) is None

    def test_refuses_a_class_without_votes(self) -> None:
        with pytest.raises(ValueError, match="class 1"):
            Key(2, [0, 0])
        with pytest.raises(ValueError, match="2 classes"):
            Key(2, [0, 2])
