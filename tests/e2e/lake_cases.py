"""What is done to sources, one Dataset each."""

from tests.e2e.lakeside import Case, people

FIRST, MORE = people(range(100)), people(range(100, 150))
TOO_OLD = ("999173", "998239", "997397")
OLD = "id,age,city\n150,40,Ghent\n151,{},Porto\n152,{},Turku\n153,41,Ghent\n154,{},Porto\n".format(*TOO_OLD).encode()
"""Three people who are too old; the first of them in the second row."""
WIDE = people(range(100), header="id,age,city,income", tail=",1000.5")
NARROW = b"\n".join(line.rpartition(b",")[0] for line in FIRST.splitlines()) + b"\n"
LARGE = people(range(60_000), tail=" " + "x" * 100)
UNICODE = "données été/2024 + 1%/naïve file ✓ #1.csv"
AGES = {"columns": [{"name": "age", "min": 0, "max": 120}]}
MANY = {f"part-{n}.csv": people(range(n * 10, n * 10 + 10)) for n in range(5)}

CASES = (
    Case(name="appended", before={"1.csv": FIRST}, after={"1.csv": FIRST, "2.csv": MORE}),
    Case(name="overwritten", before={"1.csv": FIRST}, after={"1.csv": people(range(100), age=21)}),
    Case(name="deleted", before={"1.csv": FIRST, "2.csv": MORE}, after={"1.csv": FIRST}),
    Case(
        name="shrunk",
        before={"1.csv": FIRST, "2.csv": MORE},
        after={"1.csv": FIRST},
        spec={"expectations": {"rows": {"maxDropPercent": 20}}},
    ),
    Case(name="repeated", before={"1.csv": FIRST}, after={"1.csv": FIRST}, again=True),
    Case(name="in-parts", before={"1.csv": LARGE}, after={"1.csv": LARGE}, again=True, multipart=True),
    Case(name="widened", before={"1.csv": FIRST}, after={"1.csv": WIDE}),
    Case(name="broken-schema", before={"1.csv": FIRST}, after={"1.csv": NARROW}),
    Case(name="one-of-many", before=MANY, after={**MANY, "part-3.csv": b"id,age,city\n30,old,Ghent\n"}),
    Case(name="broken-line", before={"1.csv": FIRST}, after={"1.csv": FIRST, "2.csv": MORE + b"1,2,3,4\n"}),
    Case(name="bad-values", before={"1.csv": FIRST}, after={"1.csv": FIRST, "2.csv": OLD}, spec={"expectations": AGES}),
    Case(
        name="drifted",
        before={"1.csv": people(range(1000))},
        after={"1.csv": people(range(1000), age=60)},
        spec={"drift": {"onFail": "Block", "ignore": ["id"]}},
    ),
    Case(
        name="stale",
        before={"1.csv": FIRST},
        after={"1.csv": FIRST},
        spec={"expectations": {"freshness": {"maxAge": "1s"}}},
    ),
    Case(name="pinned", before={"1.csv": FIRST}, after={"1.csv": MORE}, spec={"version": {"pin": "1"}}),
    Case(name="filled", before={}, after={"1.csv": FIRST}),
    Case(name="emptied", before={"1.csv": FIRST}, after={}),
    Case(name="unicode", before={UNICODE: FIRST}, after={UNICODE: FIRST, "autre clé.csv": MORE}),
)
"""Every upload is of the least size that shows its point: what takes time here are the pods."""
