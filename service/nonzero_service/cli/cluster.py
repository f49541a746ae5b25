"""``nonzero cluster``: commands about several nodes that share a database."""

from __future__ import annotations

import json
import sys
from typing import Any, Final

import click

from nonzero_service.cli.extra import service_extra
from nonzero_service.cli.options import as_json

FILE_WIDTH: Final = 160
"""How wide tables may be where no terminal bounds them: an address is of no use when it is cut."""

NOT_ON_TWO: Final = 3
"""The exit status where somebody leads, and what is acknowledged is on one machine."""


@click.group
def cluster() -> None:
    """Look at several nodes that share the journals of one database."""


@cluster.command
@click.option(
    "--journal",
    envvar="NONZERO_JOURNAL",
    required=True,
    metavar="URL",
    help="The address of the database, as nodes have it.  [variable: NONZERO_JOURNAL]",
)
@click.option(
    "--wait",
    default=5.0,
    type=click.FloatRange(0.1, 60),
    help="For so many seconds a sign of life of the node that writes is waited for; more than lease_seconds.",
)
@as_json
def status(journal: str, wait: float, as_json: bool) -> None:
    """Show the nodes, who writes, how far each is, and whether an update would be on two machines.

    The exit status is 0 where a node writes and what it acknowledges is on two machines. It is 1 where no
    node writes, or the database does not answer, and 3 where one writes and a machine that is lost could take
    what was acknowledged with it.
    """
    with service_extra("cluster"):
        from nonzero_service.journal.postgres.extra import check_journal

        check_journal(journal)
        from nonzero_service.cluster.status import status_of
    found = status_of(journal, wait)
    if as_json:
        click.echo(json.dumps(found))
    else:
        _show(found)
    if not found["leads"]:
        raise click.exceptions.Exit(1)
    if not found["on_two_machines"]:
        raise click.exceptions.Exit(NOT_ON_TWO)


def _show(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = max(console.width, FILE_WIDTH)
    nodes = Table(
        "node",
        "role",
        "seen",
        "behind",
        Column("for clients", overflow="fold"),
        Column("for nodes", overflow="fold"),
        title="Nodes",
        title_justify="left",
    )
    for one in found["nodes"]:
        role = f"silent, was {one['role']}" if one["silent"] else one["role"]
        seen, behind = f"{one['seen_seconds_ago']:g} s ago", f"{one['lag_examples']:,} examples"
        nodes.add_row(one["node"], role, seen, behind, one["url"], one["address"])
    models = Table("model", "position", "sequence", title="Journals", title_justify="left")
    for name, end in found["models"].items():
        models.add_row(name, f"{end['position']:,}", f"{end['sequence']:,}")
    base = found["database"]
    standbys = Table(
        "standby", "address", "state", "commits wait", "behind", title="Standbys", title_justify="left"
    )
    for one in base["standbys"] or ():
        behind = f"{one['behind_bytes']:,} bytes"
        standbys.add_row(one["name"], one["address"], one["state"], one["sync_state"], behind)
    for table in (nodes, models, standbys):
        if table.rows:
            console.print(table, markup=False)
    said = (
        f"PostgreSQL {base['version']} at {base['primary']}, synchronous_commit {base['synchronous_commit']}"
    )
    console.print(said, markup=False)
    leader = found["leader"]
    console.print(
        f"term {found['term']}: {leader['node']} writes, {leader['url']}"
        if leader
        else f"term {found['term']}: NOBODY WRITES: no node has given a sign of life",
        markup=False,
    )
    if found["on_two_machines"]:
        kept = "an update is on two machines when it is acknowledged"
    elif found["commits_wait"]:
        kept = f"NO UPDATE IS ACKNOWLEDGED: {base['danger']}"
    else:
        kept = f"an update is ON ONE MACHINE when it is acknowledged: {base['danger']}"
    console.print(kept, markup=False)
