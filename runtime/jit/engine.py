"""Compiles LLVM IR to machine code in this process (ORC LLJIT), through the object code cache."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache, wraps
from threading import Lock
from types import ModuleType
from typing import Any

from . import cache
from .features import Features
from .llvm import binding

OPTIMISATION = 2
PASSES = ("sroa", "simplify_cfg", "new_gvn", "instruction_combine", "simplify_cfg")
"""Kernels are written in vectors and with invariants outside their loops, so that a few passes do: stack slots to
registers, common loads once, cheaper forms. LLVM's default pipeline takes four times as long for the same speed."""
_names = itertools.count()
_one_at_a_time = Lock()


class Library:
    """Compiled functions. Addresses stay valid as long as the library lives."""

    def __init__(self, tracker: Any, jit: Any) -> None:
        self._tracker = tracker
        self._jit = jit

    def address(self, name: str) -> int:
        """Address of an exported function."""
        return int(self._tracker[name])


def once(load_: Callable[[str], Library]) -> Callable[[str], Library]:
    """`load_` called once for each mode, whoever asks first; others wait. Its libraries live as long as the process."""
    known: dict[str, Library] = {}
    lock = Lock()

    @wraps(load_)
    def get(mode: str) -> Library:
        with lock:
            if mode not in known:
                known[mode] = load_(mode)
            return known[mode]

    return get


@lru_cache(maxsize=4)
def _jit(target: Features) -> Any:
    return binding.create_lljit_compiler(_target_machine(target, jit=True))


def _target_machine(target: Features, *, jit: bool) -> Any:
    native = binding.Target.from_triple(binding.get_process_triple())
    return native.create_target_machine(
        cpu=target.cpu, features=target.flags, opt=OPTIMISATION, reloc="pic", codemodel="jitdefault", jit=jit
    )


def compile_object(text: str, target: Features) -> bytes:
    """Object code of a module of LLVM IR text. An LLVM error is a bug of ours and raises RuntimeError."""
    module = binding.parse_assembly(text)
    module.verify()
    machine = _target_machine(target, jit=False)
    module.triple, module.data_layout = machine.triple, str(machine.target_data)
    builder = binding.create_pass_builder(machine, binding.create_pipeline_tuning_options(speed_level=OPTIMISATION))
    manager = binding.create_new_module_pass_manager()
    for name in PASSES:
        getattr(manager, f"add_{name}_pass")()
    manager.run(module, builder)
    return bytes(machine.emit_object(module))


def load(
    generate: Callable[[], str],
    modules: Iterable[ModuleType],
    exports: Sequence[str],
    imports: Mapping[str, int],
    target: Features,
) -> Library:
    """Compile the LLVM IR text that `generate` gives (or take its object code from the cache) and link it.

    `modules` are the Python modules that decide the text, together with the target and the names in `exports` and
    `imports`: the functions whose addresses are wanted, and the addresses of functions that the text only declares.
    Threads wait for each other: LLVM must not be entered by two of them at once.
    """
    with _one_at_a_time:
        return _load(generate, modules, exports, imports, target)


def _load(
    generate: Callable[[], str],
    modules: Iterable[ModuleType],
    exports: Sequence[str],
    imports: Mapping[str, int],
    target: Features,
) -> Library:
    try:
        source = cache.source_digest(modules) + repr((sorted(exports), sorted(imports))).encode()
    except OSError:
        source = generate().encode()
    key = cache.cache_key(source, target)
    code = cache.read(key)
    if code is None:
        code = compile_object(generate(), target)
        cache.write(key, code)
    builder = binding.JITLibraryBuilder().add_object_img(code)
    for name, address in imports.items():
        builder = builder.import_symbol(name, address)
    for name in exports:
        builder = builder.export_symbol(name)
    jit = _jit(target)
    return Library(builder.link(jit, f"snc{next(_names)}"), jit)
