"""The targets by name: each takes any bytes, and raises only where something is wrong with the reader."""

from __future__ import annotations

from collections.abc import Callable

from fuzz import parsers, stored
from nonzero import formats
from nonzero.formats.registry import FORMATS
from nonzero_service.bodies.infer_bodies import read_infer
from nonzero_service.bodies.invocation_bodies import read_invocation

__all__ = ["SEEDS", "TARGETS"]

SAID = {"site": "category", "bid": "number", "tags": "category", "*x*": "ignore", "*": "category"}

TARGETS: dict[str, Callable[[bytes], None]] = {
    **{name: parsers.lines(name) for name in formats.NAMES},
    "vw with older names": parsers.lines("vw", namespace_separator="^"),
    "ndjson by a schema": parsers.lines("ndjson", schema=SAID),
    "vw by a schema": parsers.lines("vw", schema=SAID),
    "csv by a schema": parsers.lines("csv", schema={"bid": "number", "*": "category"}, positive="yes"),
    "csv without a header": parsers.lines(
        "csv", columns=("click", "id", "at", "w", "site"), id="id", time="at", weight="w", boolean=()
    ),
    "JSON body": parsers.json_body,
    "candidates": parsers.candidates,
    "Open Inference body": parsers.adapted(lambda body, most: read_infer(body, most).examples),
    "MLflow body": parsers.adapted(read_invocation),
    "Arrow body": parsers.arrow_body,
    "table as a body": parsers.table_body,
    "labels": parsers.labels,
    "compressed body": parsers.decoding,
    "file of examples": parsers.file,
    "snapshot": stored.snapshot_file,
    "model in a snapshot": stored.model_file,
    "body of a batch": stored.batch_body,
    "rows file": stored.rows_file,
    "row of a journal": stored.row,
    "journal": stored.journal,
    "impressions": stored.impressions,
    "impression_row": stored.impression_row,
}

SEEDS: dict[str, list[bytes]] = {
    **{name: [entry.lines.encode()] for name, entry in FORMATS.items()},
    "vw": [b"1 2.0 'imp-1|site:2 news bid:0.5 |ad b\n-1 | a=b c:1e-3\r\n| x\n"],
    "vw with older names": [b"1 | site=news bid=:0.5 a=b=c\n"],
    "libsvm": [b"1 3:0.5 17:1 # comment\n-1 qid:4 2147483648:1e-3\r\n+1\n"],
    "ndjson": [
        b'{"features": {"site": "news", "bid": 0.5, "tags": ["a", "\\u00e9"], "x": true}, "label": 1}\n',
        b'{"indices": [1, 2147483648], "values": [1e3, -0.5], "weight": 2, "time": 1000, "label": null}\n',
    ],
    "ndjson by a schema": [
        b'{"features": {"site": 5.0, "bid": "0.5", "tags": ["a", 12345678901234567890, true], "x": [1]}}\n',
        b'{"features": {"site": 1e3, "bid": true, "other": 0.10, "site": null}}\n',
    ],
    "vw by a schema": [b"1 |site:2 00501 |bid 0.5 x:2 |xx y |other 1e3\n-1 | site=a bid=0.5 x=1 word\n"],
    "csv": [b'click,site,bid\n1,"a, ""b""",0.5\n0,news,\r\n', b'sep=;\nclick;new\n1;True\n0;"a\nb"\n'],
    "csv without a header": [b"1,a,2014-10-21T13:05:09.5Z,0.5,news\n0,b,1413896709123,,\n"],
    "tsv": [b"click\tsite\n1\tnews\n"],
    "criteo": [b"1\t5\t-1\t1382" + b"\t" * 10 + b"\t68fd1e64" + b"\t" * 25 + b"\n"],
    "avazu": [b"id,click,hour,C1\n7,0,14102113,1005\n"],
    "table as a body": [
        b'click,site,bid,w,n,new\n1,"a\nb",0.5,2,imp-1,True\n0,,1,,,\n' + bytes(8),
        b'w\tn\ty\n1\t"\n"\t1\n2\t"' + b"x\n" * 60 + b'"\t0\n',
    ],
    "JSON body": [
        b'{"examples": [{"features": {"a": "b"}, "label": true}, {"indices": [3]}]}',
        b'{"features": {"a": ["b", "c"], "d": 1.5e-7}, "label": -1}',
    ],
    "candidates": [
        b'{"shared": {"features": {"a": "b"}}, "candidates": [{"features": {"c": 7}}, {"indices": [3]}]}',
        b'{"candidates": [{"features": {"a": "b"}, "id": "x"}],"shared": {"indices": [1], "values": [2]}}',
    ],
    "Open Inference body": [
        b'{"id": "1", "inputs": [{"name": "site", "shape": [2], "datatype": "BYTES", "data": ["a", null]}, '
        b'{"name": "bid", "shape": [2, 1], "datatype": "FP32", "data": [[0.5], [1e3]]}], "outputs": []}',
    ],
    "MLflow body": [
        b'{"dataframe_split": {"columns": ["a", "b"], "data": [["x", 1], [true, null]], "index": [0, 1]}}',
        b'{"dataframe_records": [{"a": ["x", "y"]}, {}]}',
        b'{"inputs": {"a": ["x"], "b%": [0.5]}, "params": {}}',
    ],
    "labels": [
        b'{"labels": [{"id": "a", "label": 1}, {"id": "b", "label": false}]}',
        b'{"id": "a", "label": 0}\n',
    ],
}
"""Inputs to begin with."""
