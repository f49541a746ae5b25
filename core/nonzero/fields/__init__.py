"""Fields: what each field of a model is, and in which kind its values came.

``schema`` says what was declared, ``known`` holds it where compiled parsers find it, by the whole names
(``lookup``), ``conflicts`` counts what came in another kind, ``texts`` says which text a number is.
"""
