"""``python core/nonzero/native/build``: a folder, not a module, whose package would want the kernels."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

CORE = Path(__file__).parents[3]
sys.path[0] = str(CORE)  # instead of this folder

# The package defines kernels as soon as it is imported: the decorators must know before that what for.
package = sys.modules["nonzero"] = ModuleType("nonzero")
package.__path__ = [str(CORE / "nonzero")]
command = importlib.import_module("nonzero.native.build.command")
del sys.modules["nonzero"]

command.main(sys.argv[1:])
