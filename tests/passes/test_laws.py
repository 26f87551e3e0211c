"""What holds for every pass over float graphs, and for every pass as text."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.ir.compare import difference
from snc.ir.dialects import default_context
from snc.ir.dialects.builtin import ModuleOp
from snc.ir.parser import parse_module
from snc.ir.printer import print_module, resources
from snc.ir.verifier import verify
from snc.passes.legality import check_legality
from snc.passes.pipeline import parse_pass, parse_pipeline
from snc.passes.registry import PASSES, load

from ..strategies import modules, nn_modules
from .drawn_options import passes
from .nets import after, assert_same_values

every_pass = pytest.mark.parametrize("name", PASSES)
graph_pass = pytest.mark.parametrize("name", [name for name, where in PASSES.items() if where.startswith("graph.")])
few = settings(max_examples=30, deadline=None)

ROUNDING = {"fold-constants": 0.0, "fold-batch-norm": 1e-5, "fuse-activations": 1e-5}
"""Bound of the change of an output, in parts of the largest magnitude on the way.

A 32 bit float keeps 6e-8 of its magnitude; the sums of up to some hundred products here lose a hundred times that at
most, and the layers do not enlarge it.
"""

HASH_SEED_SCRIPT = """
import sys
from snc.ir.parser import parse_module
from snc.ir.printer import print_module
from snc.passes.pipeline import parse_pipeline
module = parse_module(sys.stdin.read())
parse_pipeline(sys.argv[1]).run(module)
print(print_module(module), end="")
"""

BRANCHES = """module {
  func @main(%x: tensor<1x2x4x4xf32>) -> (tensor<1x4x4x4xf32>, tensor<1x2xf32>) {
    %g = builtin.constant {value = dense<[1.5, 0.5]> : tensor<2xf32>} : () -> tensor<2xf32>
    %s = builtin.constant {value = dense<[[[2.0]], [[3.0]]]> : tensor<2x1x1xf32>} : () -> tensor<2x1x1xf32>
    %h = builtin.constant {value = dense<[6.0]> : tensor<1xf32>} : () -> tensor<1xf32>
    %a = nn.batch_norm %x, %g, %g, %g, %g : (tensor<1x2x4x4xf32>, tensor<2xf32>, tensor<2xf32>, tensor<2xf32>, tensor<2xf32>) -> tensor<1x2x4x4xf32> loc("bn")
    %b = nn.mul %x, %s : (tensor<1x2x4x4xf32>, tensor<2x1x1xf32>) -> tensor<1x2x4x4xf32> loc("mul")
    %c = nn.minimum %h, %b : (tensor<1xf32>, tensor<1x2x4x4xf32>) -> tensor<1x2x4x4xf32> loc("min")
    %d = nn.sigmoid %a : (tensor<1x2x4x4xf32>) -> tensor<1x2x4x4xf32> loc("gate")
    %e = nn.mul %d, %a : (tensor<1x2x4x4xf32>, tensor<1x2x4x4xf32>) -> tensor<1x2x4x4xf32> loc("swish")
    %f = nn.concat %c, %e {axis = 1} : (tensor<1x2x4x4xf32>, tensor<1x2x4x4xf32>) -> tensor<1x4x4x4xf32> loc("join")
    %m = nn.reduce %e {kind = "mean", axes = [2, 3], keep_dims = false} : (tensor<1x2x4x4xf32>) -> tensor<1x2xf32>
    return %f, %m : tensor<1x4x4x4xf32>, tensor<1x2xf32>
  }
}
"""  # noqa: E501


class TestEveryPass:
    @every_pass
    def test_loads_under_its_name_and_says_what_it_does(self, name: str) -> None:
        pass_class = load(name)
        assert pass_class.name == name
        assert pass_class.__doc__ and len(pass_class.__doc__.splitlines()) > 2

    @every_pass
    @few
    @given(data=st.data())
    def test_reads_back_from_its_text(self, name: str, data: st.DataObject) -> None:
        drawn = data.draw(passes(load(name)))
        assert parse_pass(str(drawn)) == drawn

    @few
    @given(data=st.data())
    def test_pipelines_read_back_from_their_text(self, data: st.DataObject) -> None:
        drawn = data.draw(st.lists(st.sampled_from(sorted(PASSES)).map(load).flatmap(passes), max_size=4))
        manager = parse_pipeline(",".join(map(str, drawn)))
        assert manager.passes == tuple(drawn)
        assert str(parse_pipeline(str(manager))) == str(manager)


class TestEveryGraphPass:
    @graph_pass
    @few
    @given(module=modules())
    def test_leaves_a_legal_module_that_verifies_and_reads_back(self, name: str, module: ModuleOp) -> None:
        rewritten = after(module, load(name)())
        verify(rewritten, default_context())
        assert check_legality(rewritten, "graph") == []
        text = print_module(rewritten)
        again = parse_module(text, resources(rewritten))
        assert difference(rewritten, again, locations=True) is None
        assert print_module(again) == text

    @graph_pass
    @few
    @given(module=nn_modules(), seed=st.integers(0, 2**32 - 1))
    def test_keeps_the_values_of_networks(self, name: str, module: ModuleOp, seed: int) -> None:
        rewritten = after(module, load(name)())
        assert_same_values(module, rewritten, rounding=ROUNDING[name], seed=seed)

    @graph_pass
    @few
    @given(module=modules())
    def test_changes_nothing_in_a_second_run_if_it_says_so(self, name: str, module: ModuleOp) -> None:
        run = load(name)()
        if run.idempotent:
            once = after(module, run)
            assert difference(once, after(once, run), locations=True) is None

    @graph_pass
    @few
    @given(module=modules())
    def test_gives_the_same_text_twice(self, name: str, module: ModuleOp) -> None:
        run = load(name)()
        assert print_module(after(module, run)) == print_module(after(module, run))

    def test_gives_the_same_text_under_every_hash_seed(self) -> None:
        pipeline = ",".join(name for name, where in PASSES.items() if where.startswith("graph."))
        texts = {
            subprocess.run(
                [sys.executable, "-c", HASH_SEED_SCRIPT, pipeline],
                input=BRANCHES,
                capture_output=True,
                text=True,
                check=True,
                env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            ).stdout
            for seed in ("0", "1", "2")
        }
        assert len(texts) == 1
        assert "nn.batch_norm" not in texts.pop()


class TestFoldConstants:
    @few
    @given(module=modules(), seed=st.integers(0, 2**32 - 1))
    def test_keeps_the_values_of_any_graph_bit_for_bit(self, module: ModuleOp, seed: int) -> None:
        assert_same_values(module, after(module, load("fold-constants")()), seed=seed)
