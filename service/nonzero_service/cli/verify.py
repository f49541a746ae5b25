"""``nonzero verify``: checks that the files of a data directory are whole and agree with each other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nonzero_service.cli.display import Display
from nonzero_service.cli.extra import service_extra
from nonzero_service.cli.options import as_json, data_directory
from nonzero_service.cli.source_text import source_lines, source_report

if TYPE_CHECKING:
    from nonzero_service.models.checked import Checked


@click.command
@data_directory
@click.option("--model", help="Check this model only.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
@as_json
def verify(data_dir: Path, model: str | None, quiet: bool, as_json: bool) -> None:
    """Check that the files of a data directory are as they were written, and agree with each other.

    Every digest of the journal and of the snapshots is checked. Then the model is built anew from the journal
    and compared with the newest snapshot. Nothing is changed, and the service may run meanwhile.

    The exit status is 1 where something is wrong. The report says whether the service would still start.
    """
    with service_extra("verify"):
        from nonzero_service.models.data_directory import look_for
        from nonzero_service.models.verifying import verify as check
    looked = look_for(data_dir, model)
    for path in looked.passed_over:
        click.echo(f"{path}: passed over, this is no model's name", err=True)
    found = {name: _checked(check, name, path, quiet) for name, path in looked.models.items()}
    if not found and not as_json:
        click.echo(f"{data_dir}: sound; it holds no model, all were deleted")
    if as_json:
        click.echo(json.dumps({name: _report(checked) for name, checked in found.items()}))
    else:
        for name, checked in found.items():
            click.echo(_text(name, checked))
    if any(checked.faults for checked in found.values()):
        raise click.exceptions.Exit(1)


def _checked(check: Any, name: str, path: Path, quiet: bool) -> Checked:
    with Display(name, None, quiet) as display:
        checked: Checked = check(
            path, lambda what, done, end: display.show(done, lambda: f"{what}, {done:,} of {end:,}")
        )
        return checked


def _report(checked: Checked) -> dict[str, Any]:
    journal = checked.journal
    return {
        "sound": not checked.faults,
        "faults": checked.faults,
        "starts": checked.refused is None,
        "first_position": None if journal is None else journal.first,
        "last_position": None if journal is None else journal.last,
        "sequence": None if journal is None else journal.sequence,
        "keys": None if journal is None else journal.keys,
        "journal_digest": None if journal is None else journal.digest.hex(),
        "snapshots": checked.snapshots,
        "folded_from": checked.folded_from,
        "identical": checked.identical,
        "digest": checked.digest,
        "sources": source_report(checked.sources),
    }


def _text(name: str, checked: Checked) -> str:
    lines = [f"{name}: {'DAMAGED' if checked.faults else 'sound'}"]
    if (journal := checked.journal) is not None:
        lines.append(
            f"  journal    positions {journal.first:,} to {journal.last:,} hold, "
            f"{journal.sequence:,} examples, {journal.keys:,} idempotency keys"
        )
    if checked.snapshots:
        lines.append(f"  snapshots  whole at {_positions(checked.snapshots)}")
    if checked.folded_from is not None and checked.digest is not None:
        begin = f"the snapshot at {checked.folded_from:,}" if checked.folded_from else "nothing"
        same = f"; bit-identical at {_positions(checked.identical)}" if checked.identical else ""
        lines.append(f"  fold       from {begin} gives {checked.digest}{same}")
    lines += [f"  source     {line}" for line in source_lines(source_report(checked.sources))]
    lines += [f"  FAULT      {fault}" for fault in checked.faults]
    if checked.refused is not None:
        lines.append(f"  start      would be refused: {checked.refused}")
    elif checked.faults:
        lines.append("  start      would come up: it does without what is damaged")
    return "\n".join(lines)


def _positions(positions: list[int]) -> str:
    return ", ".join(f"{position:,}" for position in positions)
