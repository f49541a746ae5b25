"""Fields: what each field of a model is, and in which kind its values came.

``hashing`` numbers fields and features by their names. ``schema`` says what was declared, ``known`` holds it
where compiled parsers find it, by the whole names (``lookup``). ``counts`` is what one reader asks of a
schema, ``conflicts`` adds up what came in another kind, ``texts`` says which text a number is.
"""
