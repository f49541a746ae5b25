"""Import every module that may have kernels, so that their machine code is in the cache."""

import pkgutil
from importlib import import_module

for package in ("nonzero", "nonzero_service"):
    for module in pkgutil.walk_packages(import_module(package).__path__, f"{package}."):
        if not module.name.endswith(".__main__"):  # that one would run
            import_module(module.name)
