"""Changing IR: uses, order, names and locations stay right, and the greedy driver comes to an end."""

from __future__ import annotations

import pytest

from snc.ir.attributes import FloatAttr
from snc.ir.builder import Builder
from snc.ir.core import Block, Operation, Value
from snc.ir.dialects.builtin import FuncOp, ModuleOp, ReturnOp
from snc.ir.dialects.nn import AbsOp, AddOp, ClampOp, NegOp
from snc.ir.dialects.tile import BlockOp, YieldOp
from snc.ir.location import Location
from snc.ir.parser import parse_module
from snc.ir.rewriter import NoFixpoint, RewritePattern, Rewriter, apply_patterns
from snc.ir.types import F32, TensorType
from snc.ir.verifier import verify

VECTOR = TensorType((2,), F32)


def chain(*ops: type[AbsOp] | type[NegOp]) -> ModuleOp:
    """@main applies one operation after the other to its input; operation n stands at /n and is called vn."""
    body = Block([VECTOR], ["x"])
    build = Builder(body)
    value: Value = body.arguments[0]
    for index, op_class in enumerate(ops):
        op = build.insert(op_class(x=value, location=Location((f"/{index}",))))
        op.out.hint = f"v{index}"
        value = op.out
    build.insert(ReturnOp(values=(value,)))
    module = ModuleOp(body=Block())
    Builder(module.body).insert(FuncOp(sym_name="main", body=body))
    return module


def ops_of(module: ModuleOp) -> list[Operation]:
    return list(module.main.body.ops)


def op_names(module: ModuleOp) -> list[str]:
    return [op.name for op in ops_of(module)]


class TestRewriter:
    def test_replace_moves_uses_and_hands_the_name_on(self) -> None:
        module = chain(AbsOp, NegOp)
        first, second, end = ops_of(module)
        new = Rewriter().insert_before(first, NegOp(x=module.main.body.arguments[0]))
        Rewriter().replace(first, new.out)
        assert second.operands == (new.out,) and new.out.hint == "v0"
        assert ops_of(module) == [new, second, end]
        verify(module)

    def test_replace_keeps_the_name_that_the_new_value_has(self) -> None:
        module = chain(AbsOp, NegOp)
        first, *_ = ops_of(module)
        Rewriter().replace(first, module.main.body.arguments[0])
        assert module.main.body.arguments[0].hint == "x"

    def test_replace_with_fuses_locations_in_order(self) -> None:
        module = chain(AbsOp, NegOp)
        first, second, _ = ops_of(module)
        new = Rewriter().replace_with(second, NegOp(x=first.operands[0]), first)
        assert new.location.names == ("/0", "/1")

    def test_replace_refuses_another_number_of_values(self) -> None:
        first, *_ = ops_of(chain(AbsOp))
        with pytest.raises(ValueError, match="has 1 results, found 0 values"):
            Rewriter().replace(first, [])

    def test_erase_refuses_what_is_used(self) -> None:
        first, *_ = ops_of(chain(AbsOp))
        with pytest.raises(ValueError, match=r"still used by <builtin\.return"):
            Rewriter().erase(first)

    def test_erase_gives_operands_back_and_looks_at_their_makers_again(self) -> None:
        module = chain(AbsOp, NegOp)
        first, second, end = ops_of(module)
        rewriter = Rewriter()
        rewriter.set_operand(end, 0, first.results[0])
        rewriter.erase(second)
        assert first.results[0].users == (end,)
        assert set(rewriter.touched) == {first, end}

    def test_erase_takes_the_inside_of_regions_apart(self) -> None:
        module = chain(AbsOp)
        first, _ = ops_of(module)
        body = Block([VECTOR])
        inner = Builder(body).insert(AbsOp(x=first.results[0]))
        Builder(body).insert(YieldOp(values=(inner.out,)))
        block = Builder.before_op(module.main.return_op).insert(
            BlockOp(inputs=(first.results[0],), core="rows", body=body)
        )
        Rewriter().erase(block)
        assert inner.parent is None and inner not in first.results[0].users
        verify(module)

    def test_move_keeps_uses(self) -> None:
        module = parse_module("""module { func @main(%x: tensor<2xf32>) -> tensor<2xf32> {
          %a = nn.abs %x : (tensor<2xf32>) -> tensor<2xf32>
          %b = nn.neg %x : (tensor<2xf32>) -> tensor<2xf32>
          return %a : tensor<2xf32> } }""")
        first, second, end = ops_of(module)
        Rewriter().move_before(second, first)
        assert ops_of(module) == [second, first, end]
        Rewriter().move_before(first, second)
        assert ops_of(module) == [first, second, end]
        verify(module)

    def test_knows_whether_anything_changed(self) -> None:
        module = chain(ClampOp)  # type: ignore[arg-type]
        first, end = ops_of(module)
        rewriter = Rewriter()
        rewriter.set_operand(end, 0, first.results[0])
        rewriter.set_attribute(first, "high", FloatAttr(float("inf")))
        assert not rewriter.changed and not rewriter.touched
        rewriter.set_attribute(first, "high", FloatAttr(6.0))
        assert rewriter.changed and set(rewriter.touched) == {first}


class DropDoubleNegation(RewritePattern):
    """neg(neg(x)) is x."""

    def match_and_rewrite(self, op: NegOp, rewriter: Rewriter) -> None:
        inner = op.x.owner
        if isinstance(inner, NegOp):
            rewriter.replace(op, inner.x)
            if not inner.out.uses:
                rewriter.erase(inner)


class TurnForEver(RewritePattern):
    """A limit that never rests."""

    def match_and_rewrite(self, op: ClampOp, rewriter: Rewriter) -> None:
        rewriter.set_attribute(op, "high", FloatAttr(op.high + 1))


class AbsToClamp(RewritePattern):
    """abs(x) is clamp(x), for the sake of a pattern that makes operations."""

    def match_and_rewrite(self, op: AbsOp, rewriter: Rewriter) -> None:
        rewriter.replace_with(op, ClampOp(x=op.x, low=0.0, high=1.0))


class TestApplyPatterns:
    def test_reads_the_operation_class_from_the_annotation(self) -> None:
        assert DropDoubleNegation.root is NegOp

    @pytest.mark.parametrize("count", range(7))
    def test_rewrites_until_nothing_matches(self, count: int) -> None:
        """Each rewrite makes the next one possible, so operations that were seen are looked at again."""
        module = chain(*[NegOp] * count)
        assert apply_patterns(module, [DropDoubleNegation()]) is (count >= 2)
        assert op_names(module) == ["nn.neg"] * (count % 2) + ["builtin.return"]
        verify(module)

    def test_looks_at_users_of_what_it_touched(self) -> None:
        module = chain(NegOp, AbsOp, NegOp)
        abs_op = ops_of(module)[1]

        class DropAbs(RewritePattern):
            def match_and_rewrite(self, op: AbsOp, rewriter: Rewriter) -> None:
                rewriter.replace(op, op.x)

        assert apply_patterns(module, [DropDoubleNegation(), DropAbs()])
        assert abs_op.parent is None and op_names(module) == ["builtin.return"]

    def test_says_when_nothing_changed(self) -> None:
        assert not apply_patterns(chain(AbsOp, NegOp), [DropDoubleNegation()])

    def test_names_the_pattern_that_never_ends(self) -> None:
        with pytest.raises(NoFixpoint, match="TurnForEver rewrites without end near /0"):
            apply_patterns(chain(AbsOp), [AbsToClamp(), TurnForEver()])

    def test_visits_regions_and_leaves_erased_ones_alone(self) -> None:
        module = parse_module("""module { func @main(%x: tensor<2xf32>) -> tensor<2xf32> {
          %y = tile.block %x {core = "rows"} ({
            ^(%a: tensor<2xf32>):
            %b = nn.neg %a : (tensor<2xf32>) -> tensor<2xf32>
            %c = nn.neg %b : (tensor<2xf32>) -> tensor<2xf32>
            tile.yield %c : (tensor<2xf32>) -> ()
          }) : (tensor<2xf32>) -> tensor<2xf32>
          %z = nn.add %x, %y : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>
          return %z : tensor<2xf32> } }""")

        class Bypass(RewritePattern):
            def match_and_rewrite(self, op: BlockOp, rewriter: Rewriter) -> None:
                rewriter.replace(op, op.inputs)

        block = ops_of(module)[0]
        assert apply_patterns(block, [DropDoubleNegation()])
        assert [op.name for op in block.regions[0].ops] == ["tile.yield"]
        assert apply_patterns(module, [Bypass(), DropDoubleNegation()])
        (add, _) = ops_of(module)
        assert isinstance(add, AddOp) and add.lhs is add.rhs
        verify(module)
