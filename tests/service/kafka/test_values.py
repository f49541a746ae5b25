"""What messages hold, against a list of it."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from nonzero.formats.reading import PADDING
from nonzero_service.kafka.values import LARGE, Values

MESSAGES = st.lists(st.none() | st.text("a\n", max_size=4).map(str.encode), max_size=12)


@given(MESSAGES, st.integers(-14, 14), st.integers(-14, 14), st.booleans())
@example([], 0, 0, False)
@example([b"", b"a"], 0, 1, False)
@example([b"\n", None, b"a\n\n", b""], 1, 4, True)
def test_they_are_as_a_list_of_them(messages: list[bytes | None], begin: int, end: int, large: bool) -> None:
    if large:  # what is put together later is cut first
        messages = [message and message * LARGE for message in messages]
    whole = Values(messages)
    assert [*whole[begin:end]] == messages[begin:end]
    assert whole[begin:end].nbytes <= sum(len(value or b"") + 1 for value in messages[begin:end])
    for values, wanted in ((whole, messages), (whole[begin:end], messages[begin:end])):
        assert [*values] == wanted
        assert [values[place] for place in range(-len(wanted), len(wanted))] == wanted * 2
        held = [value for value in wanted if value is not None]
        assert values.held() == held
        assert (len(values), values.number) == (len(wanted), len(held))
        lines = b"".join(value.removesuffix(b"\n") + b"\n" for value in held)
        assert bytes(values.lines) == lines
        assert values.behind >= PADDING
        assert values.nbytes == len(lines)
        assert values.line_counts().tolist() == [value.removesuffix(b"\n").count(b"\n") + 1 for value in held]
        gone = np.zeros(len(wanted), np.bool_) if values.gone is None else values.gone
        assert gone.tolist() == [value is None for value in wanted]
