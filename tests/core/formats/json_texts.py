"""JSON that hypothesis writes: examples, right and wrong, and bytes that are none."""

from __future__ import annotations

import json

from hypothesis import strategies as st

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
FEATURES = st.dictionaries(
    TEXTS,
    st.one_of(
        TEXTS,
        st.booleans(),
        st.integers(-(10**6), 10**6),
        st.floats(-1e6, 1e6),
        st.floats(-1e6, 1e6, width=32),
        st.lists(TEXTS, max_size=4),
    ),
    max_size=6,
)
EXAMPLES = st.fixed_dictionaries(
    {"features": FEATURES},
    optional={
        "label": st.sampled_from([0, 1, -1, True, False, None, 1.0, -1.0, 2]),
        "weight": st.one_of(st.floats(0, 2e6), st.none()),
        "id": st.one_of(TEXTS, st.just("x" * 256), st.none()),
        "time": st.one_of(st.integers(-1, 2**64), st.none()),
    },
)
SLOTS = st.fixed_dictionaries(
    {"indices": st.lists(st.integers(-1, 2**31 + 1), max_size=3)},
    optional={
        "values": st.lists(st.floats(-1e6, 1e6), max_size=3),
        "features": FEATURES,
        "label": st.just(1),
    },
)
WRITTEN = st.builds(
    lambda value, ascii_only, compact: json.dumps(
        value, ensure_ascii=ascii_only, separators=(",", ":") if compact else None
    ).encode(),
    st.one_of(EXAMPLES, SLOTS),
    st.booleans(),
    st.booleans(),
)

# Words of JSON, right and wrong, to be strung together.
NUMBERS = (
    *(
        "0",
        "-0",
        "1",
        "-1",
        "01",
        "+1",
        ".5",
        "1.",
        "1.5",
        "-2.5e3",
        "1e3",
        "1E+3",
        "1e-3",
        "1e",
        "1e+",
        "--1",
    ),
    *(
        "1e39",
        "1e400",
        "1e-400",
        "1000000",
        "1000000.1",
        "1e6",
        "1e-50",
        "0.1234567890123456789",
        "0x1",
        "1_0",
    ),
    *(
        "9007199254740993",
        "16777217.000000001",
        "0.00000000000000000000001",
        "9" * 25,
        "9" * 5000,
        "0." + "0" * 40,
    ),
    *("3", "2147483648", "2147483649", "3.0", "17", "999999999999999999", "1000000000000000000", "1e5000"),
)
STRINGS = (
    *(
        '""',
        '"a"',
        '"site"',
        '"news"',
        '"abcdefgh"',
        '"abcdefghijklmnopq"',
        '"žluťoučký kůň"',
        '"日本"',
        '"😀"',
    ),
    *(r'"\u0041"', r'"\ud83d\ude00"', r'"\ud83d"', r'"\ude00"', r'"\ud83d\u0041"', r'"\ud83dx"', r'"\u00zz"'),
    *(
        r'"\"\\\/\b\f\n\r\t"',
        r'"\x"',
        r'"\u12"',
        r'"\u0000"',
        '"\t"',
        '"\x00"',
        '"\x1f"',
        '"\x7f"',
        '"open',
        "'a'",
    ),
)
MEMBERS = (
    *(
        '"features":',
        '"indices":',
        '"values":',
        '"label":',
        '"weight":',
        '"id":',
        '"time":',
        '"other":',
        '"":',
    ),
    *('"featuresx":', '"feature":', r'"\u0069d":', '"id\x00":', '"label" :', '"a":', '"site":', '"features"'),
)
WORDS = [
    word.encode()
    for word in (
        *(*NUMBERS, *STRINGS, *MEMBERS, *"{}[]{}[],:,,,", " ", "\t", "\r", "\v", "\n", "\ufeff", "//"),
        *(
            "true",
            "false",
            "null",
            "True",
            "tru",
            "NaN",
            "Infinity",
            "-Infinity",
            '"features":{',
            '"a":"b"',
            "[3]",
        ),
    )
] + [b'"\xff"', b'"\xc0\xaf"', b'"\xed\xa0\x80"', b'"\xf4\x90\x80\x80"', b'"\xe2\x82"', b"\xc3"]
RAW = st.one_of(st.binary(max_size=60), st.lists(st.sampled_from(WORDS), max_size=20).map(b"".join))


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """An example in which words stand that were not there, or are missing that were."""
    text = draw(WRITTEN)
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 4)))
        text = text[:start] + draw(st.sampled_from([b"", *WORDS])) + text[end:]
    return text


LINES = st.lists(st.one_of(WRITTEN, damaged(), RAW), max_size=5).map(b"\n".join)
