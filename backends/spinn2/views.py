"""Other ways to see the maps of a block, under which the MAC array has less to do."""

from __future__ import annotations

import attrs

from ...passes.tile.geometry import Plan, Source, Stage, View, Window
from .maps import FeatureMap


def better_view(plan: Plan, inputs: list[FeatureMap], output: FeatureMap) -> Plan:
    """The plan of the same block, seen so that it is computed in fewer clocks; `plan` itself when there is no such way.

    A 1x1 convolution works on positions, whatever rows they form: with stride 1 all rows become one, so that no column
    of the array idles at the end of each. With a greater stride the rows that nobody needs join the row before them and
    are not computed.
    """
    window = plan.stages[0].window
    if plan.core != "conv" or window.kernel != (1, 1) or window.before != (0, 0):
        return plan
    if any(stage.window != Window() for stage in plan.stages[1:]):
        return plan
    found = _thinned(plan) if window.stride != (1, 1) else _flattened(plan)
    if found is None or not inputs[found.first.index].seen_as(found.first.view):
        return plan
    sources = [stage.source for stage in found.stages if stage.source is not None]
    seen = all(inputs[source.index].seen_as(source.view) for source in sources) and output.seen_as(found.view)
    return found if seen else plan


def _flat(view: View) -> View:
    return View(view.channels, 1, view.rows * view.columns)


def _flattened(plan: Plan) -> Plan | None:
    def flat_source(source: Source | None, view: View) -> Source | None:
        return None if source is None else attrs.evolve(source, view=_flat(source.view))

    def flat_stage(stage: Stage) -> Stage:
        return attrs.evolve(stage, view=_flat(stage.view), source=flat_source(stage.source, stage.view))

    if plan.view.rows == 1 or plan.first.view.shape[1:] != plan.view.shape[1:]:
        return None
    if any(stage.source is not None and stage.source.view != plan.view for stage in plan.stages):
        return None
    first = attrs.evolve(plan.first, view=_flat(plan.first.view))
    return attrs.evolve(plan, stages=tuple(flat_stage(stage) for stage in plan.stages), first=first)


def _thinned(plan: Plan) -> Plan | None:
    view, window = plan.first.view, plan.stages[0].window
    down, right = window.stride
    if down == 1 or view.rows % down:
        return None
    first = attrs.evolve(plan.first, view=View(view.channels, view.rows // down, view.columns * down))
    head = attrs.evolve(plan.stages[0], window=attrs.evolve(window, stride=(1, right)))
    return attrs.evolve(plan, stages=(head, *plan.stages[1:]), first=first)
