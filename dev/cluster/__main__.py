"""`python -m dev.cluster VERB`: up, down, status, load, env."""

import shlex
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from dev.cluster.cluster import Cluster
from dev.cluster.status import facts
from dev.errors import DevError
from dev.progress import console, step


@click.group(context_settings={"max_content_width": 100})
def commands() -> None:
    """The local cluster of Keelway: real kind, with or without a Docker engine."""


@commands.command()
@click.option("--bare", is_flag=True, help="Leave out KServe, gateway, S3 and Prometheus.")
def up(*, bare: bool) -> None:
    """Start the cluster, or what is missing of it."""
    cluster = Cluster()
    with step("cluster up"):
        cluster.up(bare=bare)
    console.print('For a shell:  eval "$(python -m dev.cluster env)"')


@commands.command()
def down() -> None:
    """Remove the cluster and every trace of it but the cache."""
    with step("cluster down"):
        Cluster().down()


@commands.command()
def status() -> None:
    """Show what is up; exits with 1 unless everything is."""
    rows = facts(Cluster())
    table = Table("part", "state", "detail")
    for row in rows:
        table.add_row(row.part, "[green]up[/green]" if row.up else "[red]down[/red]", row.detail)
    Console().print(table)
    sys.exit(0 if all(row.up for row in rows) else 1)


@commands.command()
@click.argument("archives", nargs=-1, required=True, type=click.Path(path_type=Path))
def load(archives: tuple[Path, ...]) -> None:
    """Load image archives into the nodes."""
    Cluster().load(archives)


@commands.command()
def env() -> None:
    """Print exports for a shell: eval "$(python -m dev.cluster env)"."""
    for name, value in Cluster().env().items():
        click.echo(f"export {name}={shlex.quote(value)}")


def main() -> None:
    """Run a verb; what a developer can act on is shown without a traceback and ends with 1."""
    try:
        commands(prog_name="python -m dev.cluster")
    except DevError as error:
        console.print(f"[red]error:[/red] {error.args[0]}", markup=True, soft_wrap=True)
        if error.hint:
            console.print(error.hint, soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
