"""A small language for kernels over llvmlite's IR builder: integers, vectors of integers, loops and addresses.

Values are signed unless a method says otherwise. Addresses are plain 64 bit integers. Mutable variables are stack slots
that LLVM turns into registers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from .llvm import IRFunction, IRType, ir

T = TypeVar("T")

I1 = ir.IntType(1)
I8 = ir.IntType(8)
I16 = ir.IntType(16)
I32 = ir.IntType(32)
I64 = ir.IntType(64)
F32 = ir.FloatType()
F64 = ir.DoubleType()


def vector(element: IRType, lanes: int) -> IRType:
    """Type of a vector."""
    return ir.VectorType(element, lanes)


def constant(type_: IRType, value: int | Sequence[int]) -> Any:
    """An integer constant of a scalar type, or of all (or each) lanes of a vector type."""
    if isinstance(type_, ir.VectorType):
        lanes = [value] * type_.count if isinstance(value, int) else list(value)
        return ir.Constant(type_, [ir.Constant(type_.element, lane) for lane in lanes])
    return ir.Constant(type_, value)


class Value:
    """An integer or a vector of integers while code is written."""

    def __init__(self, code: Code, raw: Any) -> None:
        self.code = code
        self.raw = raw

    @property
    def type(self) -> Any:
        """LLVM type."""
        return self.raw.type

    def _pair(self, other: Value | int) -> Any:
        return other.raw if isinstance(other, Value) else constant(self.type, other)

    def _binary(self, name: str, other: Value | int) -> Value:
        return Value(self.code, getattr(self.code.builder, name)(self.raw, self._pair(other)))

    def __add__(self, other: Value | int) -> Value:
        return self._binary("add", other)

    def __sub__(self, other: Value | int) -> Value:
        return self._binary("sub", other)

    def __mul__(self, other: Value | int) -> Value:
        return self._binary("mul", other)

    def __and__(self, other: Value | int) -> Value:
        return self._binary("and_", other)

    def __or__(self, other: Value | int) -> Value:
        return self._binary("or_", other)

    def __xor__(self, other: Value | int) -> Value:
        return self._binary("xor", other)

    def __lshift__(self, other: Value | int) -> Value:
        return self._binary("shl", other)

    def __rshift__(self, other: Value | int) -> Value:
        return self._binary("ashr", other)

    def __neg__(self) -> Value:
        return self.code.constant(self.type, 0) - self

    def logical_shift(self, other: Value | int) -> Value:
        """Shift right, zeros from above."""
        return self._binary("lshr", other)

    def quotient(self, other: Value | int) -> Value:
        """Quotient truncated towards zero; the divisor is not 0."""
        return self._binary("sdiv", other)

    def remainder(self, other: Value | int) -> Value:
        """Remainder of `quotient`."""
        return self._binary("srem", other)

    def _compare(self, sign: str, other: Value | int) -> Value:
        return Value(self.code, self.code.builder.icmp_signed(sign, self.raw, self._pair(other)))

    def __lt__(self, other: Value | int) -> Value:
        return self._compare("<", other)

    def __le__(self, other: Value | int) -> Value:
        return self._compare("<=", other)

    def __gt__(self, other: Value | int) -> Value:
        return self._compare(">", other)

    def __ge__(self, other: Value | int) -> Value:
        return self._compare(">=", other)

    def equals(self, other: Value | int) -> Value:
        """Lane by lane equality."""
        return self._compare("==", other)

    def differs(self, other: Value | int) -> Value:
        """Lane by lane inequality."""
        return self._compare("!=", other)

    def select(self, yes: Value | int, no: Value | int) -> Value:
        """`yes` where this condition holds, else `no`; at least one of them is a Value."""
        one = yes if isinstance(yes, Value) else no
        assert isinstance(one, Value)
        return Value(self.code, self.code.builder.select(self.raw, one._pair(yes), one._pair(no)))

    def max(self, other: Value | int) -> Value:
        """Lane by lane maximum."""
        return (self > other).select(self, other)

    def min(self, other: Value | int) -> Value:
        """Lane by lane minimum."""
        return (self < other).select(self, other)

    def to(self, element: IRType, *, signed: bool = True) -> Value:
        """Extended or truncated to integers of another width."""
        own = self.type.element if isinstance(self.type, ir.VectorType) else self.type
        target = vector(element, self.type.count) if isinstance(self.type, ir.VectorType) else element
        if own.width == element.width:
            return self
        builder = self.code.builder
        convert = builder.trunc if own.width > element.width else builder.sext if signed else builder.zext
        return Value(self.code, convert(self.raw, target))

    def to_float(self, type_: IRType) -> Value:
        """Signed integers as floats, rounded to nearest, halves to even."""
        return Value(self.code, self.code.builder.sitofp(self.raw, type_))

    def to_int(self, type_: IRType) -> Value:
        """Floats without fraction as integers; they must fit."""
        return Value(self.code, self.code.builder.fptosi(self.raw, type_))

    def resized(self, type_: IRType) -> Value:
        """Floats as floats of another (or the same) width, rounded to nearest, halves to even."""
        if type_ == self.type:
            return self
        widens = type_.element == F64
        builder = self.code.builder
        return Value(self.code, (builder.fpext if widens else builder.fptrunc)(self.raw, type_))

    def float(self, name: str, other: Value) -> Value:
        """`fadd` or `fmul` of floats."""
        return Value(self.code, getattr(self.code.builder, name)(self.raw, other.raw))

    def float_above(self, other: Value) -> Value:
        """Whether these floats are greater; false for NaN."""
        return Value(self.code, self.code.builder.fcmp_ordered(">", self.raw, other.raw))

    def splat(self, lanes: int) -> Value:
        """A vector of this scalar."""
        type_ = vector(self.type, lanes)
        undefined = ir.Constant(type_, ir.Undefined)
        first = self.code.builder.insert_element(undefined, self.raw, ir.Constant(I32, 0))
        mask = ir.Constant(vector(I32, lanes), [ir.Constant(I32, 0)] * lanes)
        return Value(self.code, self.code.builder.shuffle_vector(first, undefined, mask))

    def shuffle(self, other: Value, lanes: Sequence[int]) -> Value:
        """Lanes of this vector followed by `other`, chosen by number."""
        mask = constant(vector(I32, len(lanes)), lanes)
        return Value(self.code, self.code.builder.shuffle_vector(self.raw, other.raw, mask))

    def lane(self, index: int | Value) -> Value:
        """One lane of a vector."""
        raw = index.raw if isinstance(index, Value) else ir.Constant(I32, index)
        return Value(self.code, self.code.builder.extract_element(self.raw, raw))

    def bits(self, type_: IRType) -> Value:
        """The same bits as another type."""
        return Value(self.code, self.code.builder.bitcast(self.raw, type_))


class Variable:
    """A mutable integer or vector."""

    def __init__(self, code: Code, start: Value) -> None:
        self.code = code
        with code.builder.goto_entry_block():
            self._slot = code.builder.alloca(start.type)
        self.type = start.type
        self.set(start)

    def get(self) -> Value:
        """Its value now."""
        return Value(self.code, self.code.builder.load(self._slot, typ=self.type))

    def set(self, value: Value) -> None:
        """Assign."""
        self.code.builder.store(value.raw, self._slot)


class Code:
    """The body of one function of 64 bit integers, open from construction to `end`."""

    def __init__(self, function: IRFunction) -> None:
        self.function = function
        self.module = function.module
        self.builder = ir.IRBuilder(function.append_basic_block("entry"))
        self.parameters = tuple(Value(self, argument) for argument in function.args)

    def end(self, result: Value | None = None) -> None:
        """Return from the function."""
        if result is None:
            self.builder.ret_void()
        else:
            self.builder.ret(result.raw)

    def constant(self, type_: IRType, value: int | Sequence[int]) -> Value:
        """A constant."""
        return Value(self, constant(type_, value))

    def number(self, value: int) -> Value:
        """A 64 bit constant."""
        return self.constant(I64, value)

    def variable(self, start: Value | int) -> Variable:
        """A mutable value, set to `start` here."""
        return Variable(self, start if isinstance(start, Value) else self.number(start))

    def _pointer(self, address: Value, type_: IRType) -> Any:
        return self.builder.inttoptr(address.raw, type_.as_pointer())

    def load(self, address: Value, type_: IRType) -> Value:
        """Read memory at any alignment."""
        return Value(self, self.builder.load(self._pointer(address, type_), align=1))

    def store(self, address: Value, value: Value) -> None:
        """Write memory at any alignment."""
        self.builder.store(value.raw, self._pointer(address, value.type), align=1)

    def store_first(self, address: Value, value: Value, count: Value) -> None:
        """Write the first `count` lanes of a vector and no byte more."""
        lanes, type_ = value.type.count, value.type
        numbers = self.constant(vector(I32, lanes), range(lanes))
        mask = numbers < count.to(I32).splat(lanes)
        pointer = type_.as_pointer()
        name = f"llvm.masked.store.v{lanes}i{type_.element.width}.p0"
        form = ir.FunctionType(ir.VoidType(), [type_, pointer, I32, vector(I1, lanes)])
        self.call_raw(name, form, [value.raw, self._pointer(address, type_), ir.Constant(I32, 1), mask.raw])

    def call_raw(self, name: str, form: IRType, arguments: Sequence[Any]) -> Any:
        """Call a function (or intrinsic) by name, declared on first use."""
        callee = self.module.globals.get(name)
        return self.builder.call(callee if callee is not None else ir.Function(self.module, form, name), arguments)

    def call(self, callee: IRFunction, *arguments: Value | int) -> Value:
        """Call one of our functions."""
        raw = [value.raw if isinstance(value, Value) else ir.Constant(I64, value) for value in arguments]
        return Value(self, self.builder.call(callee, raw))

    @contextmanager
    def loop(self, stop: Value | int, *, start: Value | int = 0, step: Value | int = 1) -> Iterator[Value]:
        """Run the body for start, start + step, ... below `stop` (64 bit); not at all if start is not below."""
        limit = stop if isinstance(stop, Value) else self.number(stop)
        counter = self.variable(start)
        body = self.builder.append_basic_block("body")
        done = self.builder.append_basic_block("done")
        self.builder.cbranch((counter.get() < limit).raw, body, done)
        self.builder.position_at_end(body)
        value = counter.get()
        yield value
        following = value + step
        counter.set(following)
        self.builder.cbranch((following < limit).raw, body, done)
        self.builder.position_at_end(done)

    @contextmanager
    def repeat_while(self, condition: Callable[[], Value]) -> Iterator[None]:
        """Run the body as long as the condition, computed anew each time, holds."""
        head = self.builder.append_basic_block("head")
        body = self.builder.append_basic_block("body")
        done = self.builder.append_basic_block("done")
        self.builder.branch(head)
        self.builder.position_at_end(head)
        self.builder.cbranch(condition().raw, body, done)
        self.builder.position_at_end(body)
        yield
        self.builder.branch(head)
        self.builder.position_at_end(done)

    @contextmanager
    def when(self, condition: Value) -> Iterator[None]:
        """Run the body if the condition holds."""
        with self.builder.if_then(condition.raw):
            yield

    def either(self, condition: Value, yes: Callable[[], None], no: Callable[[], None]) -> None:
        """Run `yes` if the condition holds, else `no`."""
        with self.builder.if_else(condition.raw) as (then, otherwise):
            with then:
                yes()
            with otherwise:
                no()

    def choose(self, selector: Value, cases: Mapping[Any, T], body: Callable[[T], None]) -> None:
        """Run `body` of the case whose number `selector` has; nothing for other numbers."""
        done = self.builder.append_basic_block("chosen")
        switch = self.builder.switch(selector.raw, done)
        for number, case in cases.items():
            block = self.builder.append_basic_block("case")
            switch.add_case(ir.Constant(selector.type, number), block)
            self.builder.position_at_end(block)
            body(case)
            self.builder.branch(done)
        self.builder.position_at_end(done)


class Module:
    """A module of LLVM IR being written."""

    def __init__(self) -> None:
        self.raw = ir.Module()
        self.raw.triple = ""

    def function(self, name: str, parameters: int, *, result: bool = False, exported: bool = False) -> IRFunction:
        """Declare a function of 64 bit integers; its body is written with Code."""
        form = ir.FunctionType(I64 if result else ir.VoidType(), [I64] * parameters)
        function = ir.Function(self.raw, form, name)
        if not exported:
            function.linkage = "internal"
        function.attributes.add("nounwind")
        function.attributes.add("noinline")
        return function

    def vector_function(self, name: str, type_: IRType, parameters: int) -> IRFunction:
        """A function (an intrinsic) of `parameters` vectors that gives such a vector, declared on first use."""
        found = self.raw.globals.get(name)
        return found if found is not None else ir.Function(self.raw, ir.FunctionType(type_, [type_] * parameters), name)

    def text(self) -> str:
        """LLVM IR text."""
        return str(self.raw)
