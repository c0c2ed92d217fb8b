"""The demo's phases in their order, each with its seconds."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from obstore.store import ObjectStore
from rich.table import Table

from dev import release
from dev.cluster import Cluster
from dev.demo.data import empty, paths, remove, tumours, upload
from dev.demo.examples import Manifest, apply, example, restricted_namespace
from dev.demo.handmade import model_version, put_into
from dev.demo.load import Load, Tally
from dev.demo.prediction import predict
from dev.demo.profile import profile_of, table
from dev.demo.raw import corrupted_files, deliveries, first_raw_files
from dev.demo.resources import condition, follow, get, is_ready, newest
from dev.demo.rollout import (
    Watch,
    gate_numbers,
    gates_passed,
    harm,
    require_promoted,
    require_rolled_back,
    watched,
)
from dev.demo.trials import table as trials_table
from dev.demo.trials import trial_rows, why
from dev.errors import DevError
from dev.images import BuiltImage, build_images
from dev.platform.buckets import bucket
from dev.platform.endpoints import Endpoints, s3_access
from dev.processes import run
from dev.progress import console, step

NAMESPACE = "demo"
IMAGES = ("operator", "worker", "trainer")
ASKED = slice(18, 24)
"""Six tumours to ask about, of both kinds."""
EXAMPLES = ("dataset", "dataset-clean", "experiment", "model-deployment")
SHOWN_COLUMNS = 4
CLIENTS = 2
LOAD_SECONDS, ROLLOUT_SECONDS, GONE_SECONDS = 900, 420, 180
RAW = "tumours-raw"
"""Where below s3://lake/ the raw files lie."""
MEANING = {0: "malignant", 1: "benign"}


@dataclass
class Story:
    """One telling of the demo."""

    cluster: Cluster = field(default_factory=Cluster)
    images: dict[str, BuiltImage] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def tell(self) -> None:
        """Everything: from nothing to a prediction, round again when new rows arrive, and what must not go wrong.

        Raises DevError with the evidence at the first thing untrue.
        """
        self._prepare()
        self._resource("dataset", "A Dataset: where the raw data lies, and what must hold of it", seconds=120)
        clean = self._resource("dataset-clean", "A derived Dataset: the rows to train on", seconds=120)
        console.print(table(profile_of(self.cluster, clean), columns=SHOWN_COLUMNS))
        self._search(self._resource("experiment", "An Experiment: six trials, two at a time", seconds=420))
        deployment = self._resource(
            "model-deployment", "A ModelDeployment: the best model, served by KServe", seconds=180
        )
        for line in gate_numbers(self.cluster, deployment, newest(deployment, "live")):
            console.print(f"gate {line}", markup=False, soft_wrap=True)
        self._predict(deployment)
        self.go_on()
        self.spoil()
        self.mend()
        self.bring_in()
        self._lineage(deployment)

    def go_on(self) -> None:
        """New rows arrive: a new version, cleaned, trained on, judged, and step by step served, while clients ask.

        Raises DevError as `tell` does, and when one of the clients gets no prediction.
        """
        raw, clean, experiment, deployment = (self._existing(name) for name in EXAMPLES)
        if not (files := self._delivery()):
            raise DevError("all rows have arrived", hint="`make demo` begins anew.")
        console.rule(f"New rows arrive in s3://lake/{RAW}/, and nobody does anything else")
        with self._load(deployment).running() as load:
            with self._phase("new rows"):
                upload(self._lake(), RAW, files)
                self._look_now(raw)
                self._newer(raw, seconds=60)
            with self._phase("new rows: cleaned"):
                trained_on = newest(self._newer(clean, seconds=60), "lastGood")
            self._show("datasets")
            with self._phase("new rows: trained on"):
                experiment = follow(self.cluster, experiment, seconds=300, until=lambda r: is_trained_on(r, trained_on))
            self._search(experiment)
            self._take_over(deployment, experiment["status"]["model"]["version"], load)
        self._show("modelversions", "modeldeployments")
        self._predict(deployment)

    def _take_over(self, deployment: Manifest, version: int, load: Load) -> None:
        """A version passes its gate, beside the live one, and gets the traffic in steps."""
        before = newest(deployment, "live")
        console.rule(f"Version {version} against version {before}: gate, smoke requests, canary")
        watch = Watch(load, version)
        with self._phase("new rows: served"):
            decided = watched(self.cluster, deployment, watch, seconds=ROLLOUT_SECONDS)
            require_promoted(decided, watch)
            load.wait_for_version(str(version))
        for line in gate_numbers(self.cluster, deployment, version, before):
            console.print(f"gate {line}", markup=False, soft_wrap=True)
        require_promoted(decided, watch)
        console.print(f"no request failed: {Tally.of(load.everything)}", markup=False, soft_wrap=True)

    def bring_in(self) -> None:
        """A model that passes the gate and fails requests. Raises DevError unless it is rolled back by itself, and all
        requests that it did not answer are predictions of the version before."""
        deployment = self._existing("model-deployment")
        model, before = deployment["spec"]["model"]["name"], newest(deployment, "live")
        record = model_version(model, self._next_version(model), NAMESPACE)
        version = record["spec"]["version"]
        console.rule(f"Somebody brings in version {version} from a notebook: good at the gate, bad with clients")
        put_into(self._bucket("models"), model)
        console.print(yaml.safe_dump(record, sort_keys=False), markup=False, soft_wrap=True)
        with self._load(deployment).running() as load, self._phase("bad model"):
            console.print(apply(self.cluster, record).strip(), markup=False)
            watch = Watch(load, version)
            decided = watched(self.cluster, deployment, watch, seconds=ROLLOUT_SECONDS)
            require_rolled_back(decided, watch, before=before)
            load.wait_for_version(str(before))
            require_rolled_back(decided, watch, before=before)
        console.print(f"gate {gates_passed(decided)}", markup=False, soft_wrap=True)
        console.print(harm(watch), markup=False, soft_wrap=True)
        self._show("modelversions", "modeldeployments")

    def _next_version(self, model: str) -> int:
        """The number after the newest version's."""
        records = self.cluster.kubectl("get", "modelversions", f"-n{NAMESPACE}", "--output=json")
        specs = [item["spec"] for item in json.loads(records)["items"]]
        return 1 + max((spec["version"] for spec in specs if spec["model"] == model), default=0)

    def _load(self, deployment: Manifest) -> Load:
        """Clients who ask about one tumour after the other, each in a request of its own."""
        name, host = deployment["metadata"]["name"], deployment["spec"]["route"]["hostnames"][0]
        row = tumours()[ASKED][0]
        return Load(self._gateway(), host, name, row, clients=CLIENTS, most_seconds=LOAD_SECONDS)

    def _delivery(self) -> dict[str, bytes]:
        """The next rows that were held back; none when all are in the bucket."""
        there = paths(self._lake(), RAW)
        return next((files for files in deliveries() if not files.keys() & there), {})

    def _search(self, experiment: Manifest) -> None:
        """Show the trials of the current run."""
        console.print(why(experiment), markup=False, soft_wrap=True)
        console.print(trials_table(experiment, trial_rows(self.cluster, experiment)))

    def _newer(self, dataset: Manifest, *, seconds: float) -> Manifest:
        """Wait until consumers get another version of a Dataset than they did."""
        known = newest(dataset, "lastGood")
        return follow(self.cluster, dataset, seconds=seconds, until=lambda r: newest(r, "lastGood") > known)

    def spoil(self) -> None:
        """A corrupted file arrives. Raises DevError when anybody is given its rows."""
        raw, before = self._existing("dataset"), self._served()
        console.rule(f"A corrupted batch arrives in s3://lake/{RAW}/")
        with self._phase("corrupted batch"):
            upload(self._lake(), RAW, corrupted_files())
            self._look_now(raw)
            refused = follow(self.cluster, raw, seconds=60, until=is_refused)
        self._show("datasets", "datasetversions")
        console.print(f"Validated: {condition(refused, 'Validated')['message']}", markup=False, soft_wrap=True)
        if (now := self._served()) != before:
            raise DevError(f"a corrupted batch must not reach anybody: before it {before}, with it {now}")
        kept = ", ".join(f"{name} version {version}" for name, version in before.items())
        console.print(f"consumers and traffic stay where they were: {kept}", markup=False, soft_wrap=True)

    def mend(self) -> None:
        """The corrupted file is taken away. Raises DevError when the good bytes are not what they were."""
        raw, before = self._existing("dataset"), self._served()
        console.rule("The corrupted file is taken away again")
        with self._phase("batch mended"):
            remove(self._lake(), RAW, corrupted_files())
            self._look_now(raw)
            follow(self.cluster, raw, seconds=60, until=is_mended)
        self._show("datasets")
        if (now := self._served()) != before:
            raise DevError(f"the same bytes are no new version: before {before}, mended {now}")

    def _lake(self) -> ObjectStore:
        return self._bucket("lake")

    def _bucket(self, name: str) -> ObjectStore:
        return bucket(Endpoints.of(self.cluster), name)

    def _gateway(self) -> str:
        return Endpoints.of(self.cluster).gateway

    def _served(self) -> dict[str, int]:
        """The versions that consumers get, and the model that is live."""
        raw, clean, _, deployment = (self._existing(name) for name in EXAMPLES)
        parts = ((raw, "lastGood"), (clean, "lastGood"), (deployment, "live"))
        return {resource["metadata"]["name"]: newest(resource, part) for resource, part in parts}

    def _look_now(self, dataset: Manifest) -> None:
        request, name = f"keelway.dev/reconcile={time.time_ns()}", dataset["metadata"]["name"]
        self.cluster.kubectl("annotate", "dataset", name, f"-n{NAMESPACE}", request, "--overwrite")

    def _show(self, *kinds: str) -> None:
        for kind in kinds:
            console.print(f"[bold]kubectl get {kind} -n {NAMESPACE}[/bold]")
            console.print(self.cluster.kubectl("get", kind, f"-n{NAMESPACE}"), markup=False, soft_wrap=True)

    def _existing(self, name: str) -> Manifest:
        manifest = example(name, {})
        return get(self.cluster, manifest["kind"].lower(), manifest["metadata"]["name"], NAMESPACE)

    def _prepare(self) -> None:
        with self._phase("local cluster"):
            self.cluster.up(images=IMAGES)
        with self._phase("images"):
            self.images = build_images(IMAGES)
            self.cluster.load([image.archive for image in self.images.values()])
        with self._phase("Keelway by Helm"):
            self._begin_anew()
            self._install()
        with self._phase("data in the bucket"):
            self._fill_bucket()

    def _begin_anew(self) -> None:
        """Take away what an earlier telling left."""
        with step(f"namespace {NAMESPACE} and its buckets: begin anew"):
            self.cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", f"--timeout={GONE_SECONDS}s")
            for name in ("lake", "models"):
                empty(self._bucket(name))

    def _install(self) -> None:
        values = release.image_values(operator=self.images["operator"].ref, worker=self.images["worker"].ref)
        with step("helm install keelway charts/keelway") as current:
            current.note = f"revision {release.install(self.cluster.kubeconfig, values)}"

    def _fill_bucket(self) -> None:
        with step(f"namespace {NAMESPACE}, PodSecurity restricted"):
            apply(self.cluster, restricted_namespace(NAMESPACE), *s3_access(NAMESPACE))
        with step(f"upload s3://lake/{RAW}/") as current:
            files = first_raw_files()
            upload(self._lake(), RAW, files)
            self._bucket("models")
            current.note = ", ".join(f"{name} {len(content) / 1024:.0f} KiB" for name, content in files.items())

    def _resource(self, name: str, title: str, *, seconds: float) -> Manifest:
        console.rule(title)
        console.print(f"[bold]kubectl apply -f examples/{name}.yaml[/bold]")
        manifest = example(name, self.images)
        kind, namespace = manifest["kind"].lower(), manifest["metadata"]["namespace"]
        with self._phase(name):
            apply(self.cluster, manifest)
            resource = follow(self.cluster, manifest, seconds=seconds)
        console.print(self.cluster.kubectl("get", f"{kind}s", f"-n{namespace}"), markup=False, soft_wrap=True)
        return resource

    def _predict(self, deployment: Manifest) -> None:
        console.rule("A prediction through the gateway")
        rows = tumours()[ASKED]
        name, host = deployment["metadata"]["name"], deployment["spec"]["route"]["hostnames"][0]
        gateway = self._gateway()
        with self._phase("predictions"):
            answer = predict(gateway, host, name, rows)
        console.print(f"[bold]POST {gateway}/v2/models/{name}/infer, Host: {host}[/bold]", soft_wrap=True)
        for row, label in zip(rows, answer.labels, strict=True):
            console.print(f"  radius {row[0]:6.2f}  predicted {MEANING[label]:<10} in truth {MEANING[int(row[-1])]}")
        right = sum(label == int(row[-1]) for row, label in zip(rows, answer.labels, strict=True))
        console.print(f"  answered by version {answer.version}; {right} of {len(rows)} right")
        if right <= len(rows) // 2:
            raise DevError(f"the model is wrong about {len(rows) - right} of {len(rows)} tumours that it was shown")

    def _lineage(self, deployment: Manifest) -> None:
        console.rule("Why is this model live?")
        target = f"modeldeployment/{deployment['metadata']['name']}"
        question = ("keelway", "lineage", target, "-n", NAMESPACE)
        console.print(f"[bold]{' '.join(question)}[/bold]")
        with self._phase("lineage"):
            chain = run([Path(sys.executable).with_name("keelway"), *question[1:]], env=self.cluster.env())
        console.print(chain, markup=False, soft_wrap=True)

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - started

    def report(self) -> Table:
        """The seconds of each phase."""
        table = Table("phase", "seconds", title="Where the time went")
        for name, seconds in self.seconds.items():
            table.add_row(name, f"{seconds:.1f}")
        table.add_row("all", f"{sum(self.seconds.values()):.1f}")
        return table


def is_trained_on(experiment: Manifest, version: int) -> bool:
    """Whether the current run reads this version of its data, and has succeeded."""
    run = experiment["status"].get("run", {})
    return is_ready(experiment) and [read["version"] for read in run.get("datasets", [])] == [version]


def is_refused(dataset: Manifest) -> bool:
    """Whether the newest version is one that consumers do not get."""
    current = dataset.get("status", {}).get("current", {})
    return current.get("valid") == "False" and condition(dataset, "Validated").get("status") == "False"


def is_mended(dataset: Manifest) -> bool:
    """Whether what is at the source is what consumers get."""
    validated = condition(dataset, "Validated").get("status") == "True"
    return is_ready(dataset) and validated and newest(dataset, "current") == newest(dataset, "lastGood")
