# mypy: disable-error-code="no-untyped-def,no-untyped-call,type-arg,attr-defined"
"""Entries: how Python's objects become a kernel's arguments, and what it returns an object.

Numba's own entries look only at the size of an array's items, count on its dispatcher to have looked at the
rest, and need Numba to be there. These look at everything: what they do not refuse, a kernel can take.
"""

from __future__ import annotations

import sys

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.np import numpy_support
from numba.np.arrayobj import populate_array

from nonzero.native import layout
from nonzero.native.loading import GIVEN

BYTE = ir.IntType(8)
INT = ir.IntType(32)
WORD = ir.IntType(64)
POINTER = BYTE.as_pointer()
DOUBLE = ir.DoubleType()
VOID = ir.VoidType()
NULL = ir.Constant(POINTER, None)

OTHER_ORDER = ord(">" if sys.byteorder == "little" else "<")


def add_entry(context, library, description) -> None:
    """Add to a library the function through which Python enters the kernel in it."""
    module = context.create_module("entry")
    kind = context.call_conv.get_function_type(description.restype, description.argtypes)
    kernel = ir.Function(module, kind, description.llvm_func_name)
    of = ir.FunctionType(POINTER, [POINTER, POINTER.as_pointer(), WORD])
    entry = ir.Function(module, of, f"{description.modname}.{description.qualname}")
    builder = ir.IRBuilder(entry.append_basic_block())
    _Entry(context, builder, description).build(kernel, *entry.args)
    # Numba looks for an entry of its own; nobody calls it.
    alias = ir.Function(module, of, description.llvm_cpython_wrapper_name)
    ir.IRBuilder(alias.append_basic_block()).ret(NULL)
    library.add_ir_module(module)


class _Entry:
    """The code of one entry, as it is written."""

    def __init__(self, context, builder, description) -> None:
        self.context, self.builder, self.description = context, builder, description
        self.name = description.qualname.rpartition(".")[2]

    def build(self, kernel, given, arguments, count) -> None:
        builder, of = self.builder, self.description
        self.given = given
        self.array, self.tuple = self.known(np.ndarray), self.known(tuple)
        n = len(of.argtypes)
        self.refuse_if(builder.icmp_signed("!=", count, WORD(n)), f"takes {n} argument{'s' * (n != 1)}")
        values = [
            self.value(builder.load(builder.gep(arguments, [WORD(i)])), kind, name)
            for i, (kind, name) in enumerate(zip(of.argtypes, of.args, strict=True))
        ]
        state = self.call("PyEval_SaveThread", POINTER)
        status, returned = self.context.call_conv.call_function(
            builder, kernel, of.restype, of.argtypes, values, attrs=("noinline",)
        )
        self.call("PyEval_RestoreThread", VOID, state)
        # Where bounds are checked a kernel can fail, and in this way alone.
        self.refuse_if(status.is_error, "reached outside of an array", IndexError)
        builder.ret(self.object(returned, of.restype))

    # -- what it is made of

    def call(self, name, returned, *arguments):
        """Call a function of CPython's."""
        kind = ir.FunctionType(returned, [argument.type for argument in arguments])
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        return self.builder.call(function, arguments)

    def known(self, object_):
        """Point to one of the objects that every entry is given."""
        return self.call("PyTuple_GetItem", POINTER, self.given, WORD(GIVEN.index(object_)))

    def field(self, start, offset, kind):
        """Load what stands so many bytes behind a pointer."""
        return self.builder.load(
            self.builder.bitcast(self.builder.gep(start, [WORD(offset)]), kind.as_pointer())
        )

    def refuse_if(self, condition, why, error=TypeError) -> None:
        """Raise an error where the condition holds."""
        with self.builder.if_then(condition, likely=False):
            text = self.context.insert_const_string(self.builder.module, f"{self.name}() {why}")
            self.call("PyErr_SetString", VOID, self.known(error), text)
            self.builder.ret(NULL)

    def refuse_unless_a(self, kind, given, why) -> None:
        """Raise a TypeError where an object is not of a type, nor of one derived from it."""
        builder = self.builder
        of = self.field(given, layout.TYPE, POINTER)
        with builder.if_then(builder.icmp_unsigned("!=", of, kind), likely=False):
            derived = self.call("PyType_IsSubtype", INT, of, kind)
            self.refuse_if(builder.icmp_signed("==", derived, INT(0)), why)

    def pass_on_if(self, condition) -> None:
        """Pass an error on that CPython has raised where the condition holds."""
        with self.builder.if_then(condition, likely=False), self.builder.if_then(self.failed()):
            self.builder.ret(NULL)

    def failed(self):
        return self.builder.icmp_unsigned("!=", self.call("PyErr_Occurred", POINTER), NULL)

    # -- objects -> values

    def value(self, given, kind, name):
        """Make a value of an object; a TypeError where it is none."""
        if isinstance(kind, types.Array):
            return self.array_value(given, kind, name)
        if isinstance(kind, types.BaseTuple):
            return self.tuple_value(given, kind, name)
        if isinstance(kind, types.Integer):
            return self.integer_value(given, kind, name)
        raise TypeError(f"{name} of {self.name} is {kind}, which no kernel takes")

    def array_value(self, given, kind, name):
        builder = self.builder
        writeable = "" if not kind.mutable else ", writeable"
        want = f"C-contiguous{writeable} {kind.dtype} array of {kind.ndim} dimension{'s' * (kind.ndim > 1)}"
        why = f"takes as {name} a {want}"
        self.refuse_unless_a(self.array, given, why)
        dtype = self.field(given, layout.DTYPE, POINTER)
        items = numpy_support.as_dtype(kind.dtype)
        needed = layout.CONTIGUOUS | layout.ALIGNED | (layout.WRITEABLE if kind.mutable else 0)
        wrong = [
            builder.icmp_signed("!=", self.field(given, layout.DIMENSIONS, INT), INT(kind.ndim)),
            builder.icmp_signed("!=", self.field(dtype, layout.KIND, BYTE), BYTE(ord(items.kind))),
            builder.icmp_signed("==", self.field(dtype, layout.BYTE_ORDER, BYTE), BYTE(OTHER_ORDER)),
            builder.icmp_signed("!=", self.field(dtype, layout.ITEM_SIZE, WORD), WORD(items.itemsize)),
            builder.icmp_signed(
                "!=", builder.and_(self.field(given, layout.FLAGS, INT), INT(needed)), INT(needed)
            ),
        ]
        for condition in wrong:
            self.refuse_if(condition, why)
        made = self.context.make_array(kind)(self.context, builder)
        words = WORD.as_pointer()
        shape, strides = self.field(given, layout.SHAPE, words), self.field(given, layout.STRIDES, words)
        populate_array(
            made,
            data=builder.bitcast(self.field(given, layout.DATA, POINTER), made.data.type),
            shape=[builder.load(builder.gep(shape, [WORD(axis)])) for axis in range(kind.ndim)],
            strides=[builder.load(builder.gep(strides, [WORD(axis)])) for axis in range(kind.ndim)],
            itemsize=WORD(items.itemsize),
            meminfo=None,
        )
        return made._getvalue()

    def tuple_value(self, given, kind, name):
        builder = self.builder
        why = f"takes as {name} a tuple of {len(kind)}"
        self.refuse_unless_a(self.tuple, given, why)
        size = self.call("PyTuple_Size", WORD, given)
        self.refuse_if(builder.icmp_signed("!=", size, WORD(len(kind))), why)
        names = getattr(kind, "fields", range(len(kind)))
        parts = [
            self.value(self.call("PyTuple_GetItem", POINTER, given, WORD(i)), part, f"{name}.{of}")
            for i, (part, of) in enumerate(zip(kind.types, names, strict=True))
        ]
        return self.context.make_tuple(builder, kind, parts)

    def integer_value(self, given, kind, name):
        builder = self.builder
        if kind == types.uint64:
            raise TypeError(f"{name} of {self.name} is uint64, which no kernel takes")
        number = self.call("PyLong_AsLongLong", WORD, given)
        self.pass_on_if(builder.icmp_signed("==", number, WORD(-1)))
        if kind.bitwidth == WORD.width:
            return number
        narrow = builder.trunc(number, ir.IntType(kind.bitwidth))
        back = (builder.sext if kind.signed else builder.zext)(narrow, WORD)
        self.refuse_if(builder.icmp_signed("!=", back, number), f"takes as {name} what fits in {kind}")
        return narrow

    # -- values -> objects

    def object(self, value, kind):
        """Make an object of a value."""
        builder = self.builder
        if kind == types.none:
            return self.call("Py_NewRef", POINTER, self.known(None))
        if isinstance(kind, types.BaseTuple):
            made = self.call("PyTuple_New", POINTER, WORD(len(kind)))
            for i, part in enumerate(kind.types):
                item = self.object(builder.extract_value(value, i), part)
                self.call("PyTuple_SetItem", INT, made, WORD(i), item)
            return made
        if kind == types.boolean:
            return self.call("PyBool_FromLong", POINTER, builder.zext(value, WORD))
        if isinstance(kind, types.Float):
            wide = value if kind.bitwidth == WORD.width else builder.fpext(value, DOUBLE)
            return self.call("PyFloat_FromDouble", POINTER, wide)
        if isinstance(kind, types.Integer) and kind.signed:
            wide = value if kind.bitwidth == WORD.width else builder.sext(value, WORD)
            return self.call("PyLong_FromLongLong", POINTER, wide)
        if isinstance(kind, types.Integer):
            wide = value if kind.bitwidth == WORD.width else builder.zext(value, WORD)
            return self.call("PyLong_FromUnsignedLongLong", POINTER, wide)
        raise TypeError(f"{self.name} returns {kind}, which no kernel returns")
