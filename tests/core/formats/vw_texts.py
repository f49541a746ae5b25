"""Lines of VW text, made of its grammar; some are spoiled."""

from __future__ import annotations

import random

PLAIN, ODD = True, False
LABELS = {
    PLAIN: ["", "1", "-1", "0", "1.0", "-1.", "+1", "1e0", "10e-1", "0.0"],
    ODD: ["2", "x", "1x", "1:2:0.5", "nan", "1e", "0x1", "-", "ž", "-1-1"],
}
WEIGHTS = {PLAIN: ["2", "0.5", "1e3", ".25", "0", "1"], ODD: ["-1", "x", "2e7", "inf", "e5", "1_0"]}
INITIALS = {PLAIN: ["0", "0.0", "-0"], ODD: ["0.5", "x"]}
TAGS = {PLAIN: [" ", "'t ", "' ", "'ž", "t", "'t'", "1"], ODD: ["'t 'u ", "a\tb"]}
NAMESPACES = {PLAIN: ["", "a", "bc", "ž", "a=b", "1", "-", "e5"], ODD: [":2", ":", "::"]}
SCALES = {
    PLAIN: ["", "", ":2", ":0", ":0.5", ":-1", ":1e-3", ":+3"],
    ODD: [":", ":x", ":-", ":e5", ":1x", ":nan"],
}
NAMES = [
    "f",
    "site",
    "g=1",
    "ž",
    "",
    "01",
    "1",
    "-",
    "e5",
    "'q",
    "\u2028",
    "\ufeff",
    "abcdefgh",
    "a_rather_long_name",
]
NUMBERS = ["1", "0", "-0.5", "+2", ".5", "5.", "1e-3", "2E+2", "0e9", "-1e-30", "0.1234567890123456789"]
TEXTS = ["text", "x:y", "a|b", "-x", ".x", "ex", "+", "--", "e5x", "-|a", "ž", "'", "="]
ZEROS = ["-", ".", "E", "e5", "-.e-3"]
VALUES = {
    PLAIN: [*NUMBERS, *TEXTS, *ZEROS],
    ODD: ["", "1:2", "1x", "nan", "infinity", "inf", "0x10", "1e", "1e-", "2e6", "1e39", "1_0", "\x00"],
}
BLANKS = [" ", " ", " ", "  ", "\t", " \t "]
SPOILS = " \t|:'-.+e059až=\x00\r"


def line_of(rng: random.Random) -> tuple[str, bool]:
    """Return a line, and whether it is made of what must be read, and of nothing else."""
    plain = rng.random() < 0.6

    def one_of(choices: dict[bool, list[str]]) -> str:
        return rng.choice(choices[plain or rng.random() < 0.9])

    label = one_of(LABELS)
    words = [label]
    if label and rng.random() < 0.4:
        words.append(one_of(WEIGHTS))
        if rng.random() < 0.3:
            words.append(one_of(INITIALS))
    line = rng.choice(["", "", "", "name\t"]) + " ".join(words) + " " * rng.randrange(1, 3)
    line += one_of(TAGS).lstrip() if rng.random() < 0.5 else ""
    for _ in range(rng.randrange(1, 4)):
        namespace = one_of(NAMESPACES)
        line += "|" + namespace + (one_of(SCALES) if namespace else "")
        for _ in range(rng.randrange(5)):
            name = rng.choice(NAMES)
            valued = not name or rng.random() < 0.6
            line += rng.choice(BLANKS) + name + (":" + one_of(VALUES) if valued else "")
        line += rng.choice(["", " ", "\t", "  "])
    if not plain and rng.random() < 0.4:
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(line) + 1)
            line = line[:at] + rng.choice(["", rng.choice(SPOILS)]) + line[at + rng.randrange(2) :]
    return line, plain
