"""`python -m dev.images build [NAME...]` builds images; `list` shows which are built from the present content."""

import click

from dev.errors import DevError
from dev.images.build import build_images, describe
from dev.images.builders import choose_builder
from dev.images.catalogue import IMAGES


@click.group()
def main() -> None:
    """Container images of Keelway and of its local cluster."""


@main.command()
@click.argument("names", nargs=-1)
def build(names: tuple[str, ...]) -> None:
    """Build the named images, or all, where the present content is not built yet."""
    try:
        built = build_images(names or IMAGES)
    except DevError as error:
        raise click.ClickException(str(error)) from None
    for name, image in built.items():
        click.echo(f"{name:<20} {image.archive.stat().st_size / 1e6:6.0f} MB  {image.ref}")


@main.command("list")
def list_images() -> None:
    """Show every image, its reference, and the size of its archive if it is built."""
    builder = choose_builder()
    for name, image in IMAGES.items():
        built = describe(image, builder)
        size = f"{built.archive.stat().st_size / 1e6:6.0f} MB" if built.archive.exists() else "not built"
        click.echo(f"{name:<20} {size:>9}  {built.ref}")


if __name__ == "__main__":
    main()
