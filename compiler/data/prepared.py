"""Columns after a preprocessing."""

from __future__ import annotations

from collections.abc import Generator

from attrs import frozen

from ...ir.diagnostics import Diagnostic, UsageError
from .columns import Column, check_finite
from .dataset import Array, Field
from .recipe import Recipe
from .steps import Sample


@frozen(eq=False)
class PreparedColumn:
    """The column `name` of `source` after the steps of a recipe; `sample` is what is known of its samples before."""

    source: str
    name: str
    column: Column
    recipe: Recipe
    sample: Sample
    field: Field

    @property
    def count(self) -> int:
        """The number of samples."""
        return self.column.count

    def chunks(self, size: int) -> Generator[Array, None, None]:
        """The samples, `size` at a time; raises UsageError for values that a step does not take."""
        start = 0
        where = f"{self.source} {self.name}".rstrip()
        for chunk in self.column.chunks(size):
            # Here, because a threshold would make a number of NaN.
            check_finite(chunk, self.source, self.name, start)
            yield self.recipe.apply(chunk, self.sample, where)
            start += len(chunk)


def prepared(source: str, name: str, column: Column, recipe: Recipe, layout: str = "") -> Column:
    """The column after a preprocessing; raises UsageError where a step does not fit its samples."""
    if not recipe.steps:
        return column
    sample = Sample(column.field.shape, column.field.dtype, layout)
    result = recipe.after(sample, f"{source} {name}".rstrip())
    shape = tuple(extent for extent in result.shape if extent is not None)
    return PreparedColumn(source, name, column, recipe, sample, Field(shape, result.dtype))


def check_arrays(recipe: Recipe, source: str) -> None:
    """Raises UsageError where a recipe says how images are decoded, and there are arrays."""
    if recipe.color:
        raise UsageError(
            Diagnostic(
                "SNC0837",
                "the step color does not fit the samples",
                found="arrays",
                expected="a folder of images, which are decoded",
                node=source,
            )
        )
