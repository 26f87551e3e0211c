"""Random programs of many steps: every row reads buffers of earlier steps and writes a buffer of its own."""

from __future__ import annotations

import numpy as np
from attrs import define, field

from snc.ir.dialects.spinn2_tables import END, Copy, Element, Kernel
from snc.runtime.spinn2.program import Program

from .spinn2_programs import Builder, gather_box


@define
class Network:
    """A program in the making: what each buffer holds bytes of, and until when it is read."""

    rng: np.random.Generator
    builder: Builder = field(init=False)
    ready: list[int] = field(factory=list)
    fresh: list[int] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.builder = Builder(rng=self.rng)

    def size(self, buffer: int) -> int:
        """Bytes of a buffer."""
        return int(self.builder.rows["buffers"][buffer]["bytes"])

    def read(self, step: int) -> int:
        """Some buffer of an earlier step; it lives until this one."""
        buffer = int(self.rng.choice(self.ready))
        self.builder.rows["buffers"][buffer]["last"] = step
        return buffer

    def write(self, step: int, size: int) -> int:
        """A new buffer anywhere."""
        buffer = self.builder.buffer(int(self.rng.integers(0, 4)), size, first=step, last=step)
        self.fresh.append(buffer)
        return buffer

    def extent(self, size: int) -> tuple[int, int, int]:
        """An extent of at most `size` elements."""
        width = int(self.rng.integers(1, min(size, 40) + 1))
        height = int(self.rng.integers(1, min(size // width, 20) + 1))
        return int(self.rng.integers(1, min(size // width // height, 8) + 1)), height, width

    def box(self, step: int) -> None:
        """Copy rows, dropping a few bytes of each."""
        source = self.read(step)
        n0, n1, run = self.extent(self.size(source))
        keep = int(self.rng.integers(1, run + 1))
        target = self.write(step, n0 * n1 * keep)
        fields = {"src_0": n1 * run, "src_1": run, "dst_0": n1 * keep, "dst_1": keep}
        self.builder.transfer(
            step, self.builder.add("boxes", copy=Copy.BOX, n0=n0, n1=n1, bytes=keep, **fields), target, source
        )

    def gather(self, step: int) -> None:
        """Collect elements from everywhere."""
        source = self.read(step)
        size = int(self.rng.integers(1, min(self.size(source), 20) + 1))
        counts = tuple(int(n) for n in self.rng.integers(1, 7, 3))
        box = gather_box(self.builder, self.rng, self.size(source), (counts[0], counts[1], counts[2]), size)
        self.builder.transfer(step, box, self.write(step, int(np.prod(counts)) * size), source)

    def fill(self, step: int) -> None:
        """Set elements to one value."""
        element = int(self.rng.choice([1, 2, 4]))
        n0, n1, run = self.extent(2000)
        fields = {"dst_0": n1 * run * element, "dst_1": run * element, "value": int(self.rng.integers(-(2**31), 2**31))}
        box = self.builder.add("boxes", copy=Copy.FILL, n0=n0, n1=n1, bytes=run * element, element=element, **fields)
        self.builder.transfer(step, box, self.write(step, n0 * n1 * run * element))

    def _pitches(self, name: str, extent: tuple[int, int, int], size: int) -> dict[str, int]:
        column = {} if name == "y" else {f"{name}_column": size}
        return {f"{name}_channel": extent[1] * extent[2] * size, f"{name}_row": extent[2] * size, **column}

    def add(self, step: int) -> None:
        """Add two tiles."""
        a, b = self.read(step), self.read(step)
        extent = self.extent(min(self.size(a), self.size(b)))
        shape = self.builder.add(
            "shapes",
            kernel=Kernel.ADD,
            a_type=Element.I8,
            b_type=Element.U8,
            y_type=Element.I8,
            low=-128,
            high=127,
            **dict(zip(("channels", "height", "width"), extent, strict=True)),
            **self._pitches("a", extent, 1),
            **self._pitches("b", extent, 1),
            **self._pitches("y", extent, 1),
        )
        p = self.builder.constant(0, np.array([1 << 20, 3 << 19, 21], np.int32))
        self.builder.task(step, shape, a=a, b=b, p=p, y=self.write(step, int(np.prod(extent))))

    def conv(self, step: int) -> None:
        """Two filters over a whole tile; the same tile may serve several tasks."""
        a = self.read(step)
        channels, height, width = self.extent(self.size(a))
        kernel = min(height, width, int(self.rng.integers(1, 4)))
        extent = 6, height - kernel + 1, width - kernel + 1
        shape = self.builder.add(
            "shapes",
            kernel=Kernel.CONV,
            a_type=int(self.rng.choice([0, 1])),
            b_type=Element.I8,
            y_type=Element.I32,
            channels_in=channels,
            kernel_h=kernel,
            kernel_w=kernel,
            stride_h=1,
            stride_w=1,
            dilation_h=1,
            dilation_w=1,
            **dict(zip(("channels", "height", "width"), extent, strict=True)),
            **self._pitches("a", (channels, height, width), 1),
            **self._pitches("y", extent, 4),
        )
        for _ in range(int(self.rng.integers(1, 3))):
            block = self.rng.integers(-128, 128, 2 * -(-channels // 4) * kernel * kernel * 16).astype(np.int8)
            b = self.builder.constant(0, block)
            self.builder.task(step, shape, a=a, b=b, y=self.write(step, int(np.prod(extent)) * 4))

    def end(self, step: int) -> None:
        """What this step wrote can be read from now on."""
        self.ready += self.fresh
        self.fresh = []


def random_network(rng: np.random.Generator, steps: int = 6, rows: int = 5) -> tuple[Program, np.ndarray]:
    """A program without faults, one input and two outputs; and an input for it."""
    network = Network(rng)
    data = rng.integers(0, 256, 3000, dtype=np.uint8)
    source = network.builder.buffer(3, data.size)
    network.builder.port(source, output=False)
    network.ready.append(source)
    kinds = (network.box, network.box, network.gather, network.fill, network.add, network.conv)
    for step in range(1, steps + 1):
        for _ in range(int(rng.integers(1, rows + 1))):
            kinds[int(rng.integers(len(kinds)))](step)
        network.end(step)
    for index, buffer in enumerate(network.ready[-2:]):
        network.builder.rows["buffers"][buffer]["last"] = END
        network.builder.port(buffer, output=True, index=index)
    network.builder.rows["depends"] = [{"before": step, "after": step + 1} for step in range(1, steps)]
    return network.builder.build(), data
