"""Products take one thread while an evaluation runs, and as many as before behind it."""

from __future__ import annotations

import pytest

from snc.compiler.evaluation import blas
from snc.compiler.evaluation.blas import one_blas_thread


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of threads of a library, all that it ever was."""
    told = [3]
    monkeypatch.setattr(blas, "_calls", lambda: (lambda: told[-1], told.append))
    return told


class TestOneBlasThread:
    def test_holds_until_the_last_one_leaves(self, threads: list[int]) -> None:
        with one_blas_thread():
            with one_blas_thread():
                assert threads == [3, 1]
            assert threads == [3, 1]
        assert threads == [3, 1, 3]

    def test_ends_with_an_error_too(self, threads: list[int]) -> None:
        with pytest.raises(ValueError, match="within"), one_blas_thread():
            raise ValueError("within")
        assert threads == [3, 1, 3]

    def test_reads_what_the_library_was_told(self) -> None:
        calls = blas._calls()
        if calls is None:
            pytest.skip("numpy is linked with a library of another name")
        before = calls[0]()
        with one_blas_thread():
            assert calls[0]() == 1
        assert calls[0]() == before
