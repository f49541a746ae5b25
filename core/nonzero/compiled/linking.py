"""An object file -> machine code in memory, by LLVM, which understands all that it writes."""

from __future__ import annotations

import llvmlite.binding as llvm

__all__ = ["linked"]


def linked(code: bytes, entry: str) -> tuple[llvm.ExecutionEngine, int]:
    """Put an object file into memory; return what keeps it there, and the address of a symbol, 0 for none."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return engine, engine.get_function_address(entry)
