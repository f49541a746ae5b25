"""Evidence: what the fold writes down for the diagnosis, and the new start that it makes after a change.

``arrays`` says what is written down, ``pieces`` compares the lanes every 64 examples, ``fields`` asks one
example in 64 about each of its fields, ``restarts`` watches for a change. Kernels call these while they
learn; :mod:`nonzero.diagnostics.diagnosis` reads what they leave.
"""
