"""A profile: a dictionary as its schema says, that a notebook shows as tables."""

from __future__ import annotations

from typing import Any

from .units import amount_text


class Profile(dict[str, Any]):
    """What `profile` gives for either target; it is a dict, and goes into JSON as one."""

    def __repr__(self) -> str:
        return (
            f"<snc profile for {self['target']}: {amount_text(self['latency_s'], 's')} a sample, "
            f"{amount_text(self['throughput_per_s'], 'samples/s')}, {amount_text(self['energy_j'], 'J')} a sample>"
        )

    def _repr_html_(self) -> str:
        from .notebook.views import profile_html

        return profile_html(self)
