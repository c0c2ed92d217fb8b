"""A chain of Datasets in a namespace, raw → clean → features, and the batches that somebody uploads."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from keelway.api.base import Manifest
from tests.apiserver.api import Api
from tests.apiserver.audit import Audit
from tests.apiserver.cluster_setup import OPERATOR_USER
from tests.apiserver.fake_node import FakeNode
from tests.property.lifecycle.chain import APPENDED, BROKEN, CHAIN, FIRST, MENDED, RAW_URI, digests
from tests.property.lifecycle.lake import Content

NAMES = ("raw", "clean", "features")


@dataclass(frozen=True)
class Batch:
    """What is uploaded, and whose data consumers have when all of it is done."""

    content: Content
    consumers: Content


STORY = (Batch(FIRST, FIRST), Batch(APPENDED, APPENDED), Batch(BROKEN, APPENDED), Batch(MENDED, MENDED))
"""Begin, append, break, mend."""
JOBS = Counter({"raw-observe": 4, "clean-derive": 3, "features-derive": 3})
"""What the story takes: a look at each batch, and at each stage a derivation of each good one."""


@dataclass
class Chain:
    """The Datasets of one namespace. `go_on` is what the person does who uploads."""

    api: Api
    node: FakeNode
    namespace: str
    batches: Sequence[Batch] = STORY
    uploaded: list[Batch] = field(default_factory=list)

    def begin(self) -> None:
        """Upload the first batch and apply all Datasets; the source is looked at again only when asked."""
        self._upload(self.batches[0])
        for manifest in CHAIN:
            spec = dict(manifest["spec"])
            if "source" in spec:
                spec["refresh"] = {"interval": "24h"}
            self.api.apply({**manifest, "metadata": self._metadata(manifest), "spec": spec})

    def go_on(self, *, batches: int = 0) -> bool:
        """Once all stages are done with a batch, upload the next one; true after as many as asked for, or all."""
        if not self.is_done():
            return False
        if len(self.uploaded) == (batches or len(self.batches)):
            return True
        self._upload(self.batches[len(self.uploaded)])
        annotations = {"metadata": {"annotations": {"keelway.dev/reconcile": self._request}}}
        self.api.patch("Dataset", self.namespace, "raw", annotations)
        return False

    def is_done(self) -> bool:
        """Whether the last upload was looked at, consumers of each stage have what they should, and no Job is left."""
        statuses = {m["metadata"]["name"]: m.get("status", {}) for m in self.api.list("Dataset", self.namespace)}
        if statuses["raw"].get("observation", {}).get("request") != self._request:
            return False
        wanted = digests(self.uploaded[-1].consumers)
        has = {name: (status.get("lastGood") or {}).get("digest") for name, status in statuses.items()}
        return has == wanted and not self.api.list("Job", self.namespace)

    def get(self, name: str) -> Manifest:
        """One of the Datasets."""
        found = self.api.get("Dataset", self.namespace, name)
        assert found is not None
        return found

    def conditions(self, name: str) -> Mapping[str, str]:
        """Reasons of a Dataset's conditions by type."""
        return {c["type"]: c["reason"] for c in self.get(name)["status"]["conditions"]}

    def versions(self, name: str) -> list[Manifest]:
        """Versions of one Dataset, oldest first."""
        found = [v for v in self.api.list("DatasetVersion", self.namespace) if v["spec"]["dataset"]["name"] == name]
        return sorted(found, key=lambda version: int(version["spec"]["version"]))

    def jobs_made(self, audit: Audit) -> Counter[str]:
        """How often a Job of each kind was made: `raw-observe`, `clean-derive`, …"""
        writes = audit.writes(OPERATOR_USER, namespace=self.namespace)
        made = [write.name for write in writes if (write.verb, write.resource, write.code) == ("create", "jobs", 201)]
        return Counter(name.rpartition("-")[0] for name in made)

    @property
    def _request(self) -> str:
        return "" if len(self.uploaded) == 1 else f"batch {len(self.uploaded)}"

    def _upload(self, batch: Batch) -> None:
        self.uploaded.append(batch)
        self.node.lake.put(self.namespace, RAW_URI, batch.content)

    def _metadata(self, manifest: Manifest) -> Manifest:
        return {"name": manifest["metadata"]["name"], "namespace": self.namespace}
