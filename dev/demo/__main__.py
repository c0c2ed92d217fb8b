"""`python -m dev.demo` plays the demo; its sub-commands go on from there."""

import sys
from collections.abc import Callable

import click

from dev.demo.story import NAMESPACE, Story
from dev.errors import DevError
from dev.progress import console

HINT = f"""The cluster stays up. What to try next:

  eval "$(.venv/bin/python -m dev.cluster env)"               so that kubectl finds it
  kubectl get keelway -n {NAMESPACE}                                 all that Keelway knows
  kubectl describe experiment tumour-search -n {NAMESPACE}           what happened
  .venv/bin/python -m dev.demo new-data                       more rows arrive: once more round the loop
  .venv/bin/python -m dev.demo bad-batch                      a corrupted file arrives: look at what is said of it
  .venv/bin/python -m dev.demo mend                           take it away again
  .venv/bin/python -m dev.demo bad-model                      a model that fails its clients is rolled back
  make cluster-down                                           remove all of it
"""


@click.group(invoke_without_command=True)
@click.pass_context
def main(context: click.Context) -> None:
    """The demo of Keelway."""
    if context.invoked_subcommand is None:
        _play(Story.tell)
        console.print(HINT, markup=False, soft_wrap=True)


@main.command()
def new_data() -> None:
    """Put the next rows that were held back into the bucket, and watch until a model of them serves."""
    _play(Story.go_on)


@main.command()
def bad_batch() -> None:
    """Put a corrupted file into the bucket, and see that nobody is given its rows."""
    _play(Story.spoil)


@main.command()
def mend() -> None:
    """Take the corrupted file away, and see that all is as it was."""
    _play(Story.mend)


@main.command()
def bad_model() -> None:
    """Bring in a model that passes the gate and fails its clients, and see that it is rolled back by itself."""
    _play(Story.bring_in)


def _play(telling: Callable[[Story], None]) -> None:
    story = Story()
    try:
        telling(story)
    except DevError as error:
        console.rule("[red]not as it should be[/red]")
        console.print(str(error), markup=False, soft_wrap=True)
        sys.exit(1)
    finally:
        console.print(story.report())


if __name__ == "__main__":
    main()
