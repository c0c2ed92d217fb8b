"""The stages of the Dockerfile, so that a change to one image's stages leaves the others as they are."""

import re

FROM = re.compile(r"^FROM (?P<parent>\S+) AS (?P<name>\S+)$", re.MULTILINE)


def instructions(dockerfile: str, target: str) -> str:
    """All instructions that a target is built by: its own, those of the stages below it, and what precedes them all."""
    starts = list(FROM.finditer(dockerfile))
    ends = [*(start.start() for start in starts[1:]), len(dockerfile)]
    stages = {
        start["name"]: (start["parent"], dockerfile[start.start() : end])
        for start, end in zip(starts, ends, strict=True)
    }
    chain, name = [], target
    while name in stages:
        name, text = stages[name]
        chain.append(text)
    return "".join([dockerfile[: starts[0].start()], *reversed(chain)])
