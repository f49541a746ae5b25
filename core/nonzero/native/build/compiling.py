# mypy: disable-error-code="no-untyped-def,no-untyped-call,misc,attr-defined"
"""A function -> position-independent machine code, by Numba and LLVM."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any, Final

import numba
from numba.core import config as numba_config
from numba.core import typed_passes
from numba.core.codegen import AOTCPUCodegen, JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_lock import global_compiler_lock
from numba.core.compiler_machinery import register_pass
from numba.core.lowering import Lower
from numba.core.registry import CPUDispatcher, cpu_target
from numba.core.types import unliteral
from numba.extending import typeof_impl

from nonzero.native import types
from nonzero.native.build import entries, instructions
from nonzero.native.declaring import Helper, How
from nonzero.native.loading import entry_of

OPTIONS: Final[dict[str, Any]] = {"nopython": True, "nogil": True, "error_model": "numpy", "_nrt": False}
"""Kernels do not allocate, and so need no run time that counts references: it would count every array that is
handed to an inlined function, atomically. Without it a reader of short cells runs six times as fast."""

_config: Any = numba_config  # its settings are made at run time, out of the type checker's sight


class _Library(JITCodeLibrary):
    """What Numba makes of a function: LLVM code, which is optimized later, for one CPU after another."""

    def __init__(self, codegen, name):
        super().__init__(codegen, name)
        self._modules = []
        self._made = {}

    def add_ir_module(self, module):
        self._modules.append(module)

    def finalize(self):
        self._finalized = True

    def get_pointer_to_function(self, _name):
        """Run nothing."""
        return 0

    @property
    def codegen(self):
        """What Numba tells of an object that only functions that are run need."""
        return self

    def set_env(self, _name, _environment):
        """Need none."""

    def optimized(self, codegen):
        """Do for a CPU what Numba does for this machine's.

        What a kernel calls is optimized before it becomes part of the kernel: without, JSON is read at 0.66
        of the speed.
        """
        if codegen not in self._made:
            made = self._made[codegen] = codegen.create_library(self.name)
            for module in self._modules:
                made.add_ir_module(module)
            for library in self._linking_libraries:
                made.add_linking_library(library.optimized(codegen))
            made.finalize()
        return self._made[codegen]


class _Lower(Lower):
    """Numba's, but that a kernel is entered from Python by an entry of our own."""

    def create_cpython_wrapper(self, release_gil=False):  # noqa: ARG002 - Numba's signature
        entries.add_entry(self.context, self.library, self.fndesc)

    def lower_normal_function(self, fndesc):
        super().lower_normal_function(fndesc)
        if (fndesc.modname, fndesc.qualname) in _cold:
            self.function.attributes.add("cold")
            self.function.attributes.add("noinline")

    def create_cfunc_wrapper(self):
        """Make no entry for C: it would need Numba."""


@register_pass(mutates_CFG=True, analysis_only=False)
class _Lowering(typed_passes.NativeLowering):
    _name = "kernel_lowering"

    @property
    def lowering_class(self):
        return _Lower


class _Compiler(CompilerBase):
    """Numba's, but that its functions are lowered by ours."""

    def define_pipelines(self):
        steps = DefaultPassBuilder.define_nopython_pipeline(self.state)
        steps.passes = [
            (_Lowering if step is typed_passes.NativeLowering else step, text) for step, text in steps.passes
        ]
        return [steps]


class _Function(CPUDispatcher):
    """A function as Numba compiles it, but once for all constants that it is called with.

    Numba makes one for each of them, and one for the 0 from which a loop counts before it knows that it is a
    loop. In a kernel LLVM puts the constants in.
    """

    def __init__(self, function: Callable[..., Any], **options: Any) -> None:
        super().__init__(function, targetoptions=OPTIONS | options, pipeline_class=_Compiler)

    def get_call_template(self, args, kws):
        named = {name: unliteral(arg) for name, arg in kws.items()}
        return super().get_call_template([unliteral(arg) for arg in args], named)


def compiled(function: Callable[..., Any], signature: types.Signature, cpus: Iterable[str]) -> list[bytes]:
    """Return the machine code of a kernel for each of some CPUs: object files with one entry.

    Parameters
    ----------
    function
        What it shall do.
    signature
        The types of its arguments, and what it returns.
    cpus
        The CPUs by LLVM's names.

    Raises
    ------
    numba.core.errors.NumbaError
        Where Numba cannot compile it.
    TypeError
        Where an argument is of a type that no kernel takes, or the machine code needs Numba when it runs.
    """
    with _set_up():
        arguments = [_numba_type(argument) for argument in signature.arguments]
        types_of_it = _numba_type(signature.returned)(*arguments)
        dispatcher = _Function(function)
        dispatcher.compile(types_of_it)
        [made] = dispatcher.overloads.values()
        return [_object(function, made.library, _codegen(cpu)) for cpu in cpus]


@cache
def _codegen(cpu: str) -> Any:
    """Return what makes LLVM code position-independent machine code for a CPU."""
    return AOTCPUCodegen("kernels", cpu)


def _object(function: Callable[..., Any], library: _Library, codegen: Any) -> bytes:
    module = library.optimized(codegen)._final_module
    entry = entry_of(function)
    for symbol in (*module.functions, *module.global_variables):
        if not symbol.is_declaration:
            # Names are Numba's, and not the same each time; only the entry's is needed.
            symbol.linkage = "external" if symbol.name == entry else "internal"
        elif not symbol.name.startswith("llvm.") and not hasattr(ctypes.pythonapi, symbol.name):
            raise TypeError(
                f"{function.__qualname__} needs {symbol.name}, which neither CPython nor libc has"
            )
    code: bytes = codegen._tm.emit_object(module)
    return code


@contextlib.contextmanager
def _set_up() -> Iterator[None]:
    """Have Numba compile as kernels are compiled, and then as before."""
    context = cpu_target.target_context
    codegen = context.codegen()
    with global_compiler_lock:
        # Kernels are no Python that could be stepped through: compiled whatever this setting says.
        jit, _config.DISABLE_JIT = _config.DISABLE_JIT, 0
        library, codegen._library_class = codegen._library_class, _Library
        context.add_dynamic_addr = _no_address
        # Nearly all that is made lives until the kernel is done: looking for garbage was a tenth of the time.
        collects = gc.isenabled()
        gc.disable()
        try:
            yield
        finally:
            _config.DISABLE_JIT, codegen._library_class = jit, library
            del context.add_dynamic_addr
            if collects:
                gc.enable()


def _no_address(_builder, _address, info):
    """Stand for a function that a kernel hands on: which one it is was known when it was compiled.

    Numba would put in where the function's object is in this process, so that no two builds were the same.
    """
    if info != Helper.__name__:
        raise TypeError(f"a kernel needs {info} of the process that compiles it, where it is not run")
    return entries.NULL


def _numba_type(described: types.Type) -> Any:
    match described:
        case types.Scalar():
            return getattr(numba.types, described.name)
        case types.Array():
            items = _numba_type(described.items)
            return numba.types.Array(items, described.dimensions, "C", readonly=described.readonly)
        case types.Tuple():
            parts = [_numba_type(part) for part in described.parts]
            return numba.types.BaseTuple.from_types(parts, getattr(described, "of", None))
    raise TypeError(f"{described} is no type of a kernel's argument")


@typeof_impl.register(Helper)
def _type_of_helper(helper, _context):
    """Let Numba know what a kernel calls by what was declared of it."""
    return cpu_target.typing_context.resolve_value_type(_made(helper.function, helper.how))


_cold: Final[set[tuple[str, str]]] = set()
"""The functions that are hardly ever called, by their modules and names: LLVM is told so."""


@cache
def _made(function: Callable[..., Any], how: How) -> Any:
    if how is How.INSTRUCTION:
        return instructions.BY_NAME[function.__name__]
    # Without entries for Python and C, which nobody would use: they were a quarter of the time that it takes.
    options = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    if how is How.COLD:
        _cold.add((function.__module__, function.__qualname__))
    return _Function(function, **options, forceinline=how is How.INLINED)
