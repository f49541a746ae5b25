"""Import every module that has kernels, so that their machine code is in the cache."""

import pkgutil
from importlib import import_module

import nonzero

for module in pkgutil.walk_packages(nonzero.__path__, "nonzero."):
    import_module(module.name)
