"""Pipelines as text, and what is said about text that is none."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.ir.diagnostics import ParseError, UsageError
from snc.passes.graph.fold_constants import FoldConstants
from snc.passes.graph.fuse_activations import FuseActivations
from snc.passes.pipeline import MAX_TEXT, parse_pass, parse_pipeline
from snc.passes.registry import load

ALIASES = {
    "clean": "fold-constants{max-bytes=9},fuse-activations",
    "graph": "clean, fold-batch-norm ,clean",
    "left": "fold-constants,right",
    "right": "left",
    "broken": "fold-constants,\n  fold-constant",
}


class TestParsePipeline:
    def test_reads_passes_in_order_whatever_the_spaces(self) -> None:
        manager = parse_pipeline(" fold-constants { max-bytes = 12 } ,\n fuse-activations{}")
        assert manager.passes == (FoldConstants(max_bytes=12), FuseActivations())
        assert str(manager) == "fold-constants{max-bytes=12},fuse-activations"

    def test_empty_text_is_an_empty_pipeline(self) -> None:
        assert parse_pipeline(" ").passes == ()

    def test_expands_aliases_in_aliases(self) -> None:
        once = "fold-constants{max-bytes=9},fuse-activations"
        assert str(parse_pipeline("graph", aliases=ALIASES)) == f"{once},fold-batch-norm,{once}"

    def test_refuses_aliases_that_use_each_other(self) -> None:
        with pytest.raises(UsageError, match="left uses itself: left -> right -> left"):
            parse_pipeline("left", aliases=ALIASES)

    def test_refuses_aliases_that_expand_without_measure(self) -> None:
        doubling = {f"a{i}": f"a{i + 1},a{i + 1}" for i in range(40)} | {"a40": "fold-constants"}
        with pytest.raises(ParseError, match="at most 1000 passes"):
            parse_pipeline("a0", aliases=doubling)

    @pytest.mark.parametrize(
        ("text", "where", "what"),
        [
            ("fold-constants fold-constants", "line 1, column 16", "expected ',' or '{' or the end"),
            ("fold-constants,", "line 1, column 16", "expected a name, found the end"),
            ("fold-constants{max-bytes=", "line 1, column 26", "expected a value, found the end"),
            ("fold-constants{\nmax-bytes 3}", "line 2, column 11", "expected '=', found '3'"),
            ("fold-constants,Fold", "line 1, column 16", "expected a name, found 'Fold'"),
            ("fold-constants{max-bytes=}", "line 1, column 26", "expected a value, found '}'"),
            ("fold-constants[", "line 1, column 15", "unexpected '['"),
            ("fold-constants,\n\nfuse", "line 3, column 1", "there is no pass fuse"),
            ("fold-constants{max-byte=3}", "line 1, column 16", "did you mean max-bytes?"),
            ("fold-batch-norm{eps=3}", "line 1, column 17", "fold-batch-norm takes no options"),
            ("fold-constants{max-bytes=many}", "line 1, column 16", "expected an integer at least 0, found many"),
            ("fold-constants{max-bytes=-1}", "line 1, column 16", "expected an integer at least 0, found -1"),
            ("fold-constants{max-bytes=1 max-bytes=2}", "line 1, column 28", "stands twice"),
            ("graph{a=1}", "line 1, column 7", "graph is a pipeline and takes no options"),
            ("broken", "pipeline broken, line 2, column 3", "did you mean fold-constants?"),
            ("," * (MAX_TEXT + 1), "line 1, column 1", "at most 65536 characters"),
        ],
    )
    def test_says_where_the_text_is_wrong(self, text: str, where: str, what: str) -> None:
        with pytest.raises(ParseError) as caught:
            parse_pipeline(text, aliases=ALIASES)
        assert where in str(caught.value)
        assert what in str(caught.value)

    @settings(deadline=None)
    @given(st.text(st.sampled_from('fold-constants,{}=["\\ \n1ü\0'), max_size=20) | st.text(max_size=10))
    def test_any_text_is_a_pipeline_or_a_parse_error(self, text: str) -> None:
        try:
            manager = parse_pipeline(text)
        except ParseError:
            return
        assert parse_pipeline(str(manager)).passes == manager.passes


class TestParsePass:
    def test_refuses_none_and_several(self) -> None:
        assert parse_pass("fold-constants") == FoldConstants()
        for text in ("", "fold-constants,fold-constants"):
            with pytest.raises(ParseError, match="expected one pass"):
                parse_pass(text)


class TestLoad:
    def test_names_the_nearest_pass(self) -> None:
        with pytest.raises(UsageError, match="did you mean fold-constants"):
            load("fold-constant")
