"""A model that ends its server's process after a few requests, as a fault in native code or a leak of memory does."""

import inspect
from typing import Any


class Crashing:
    """A fitted classifier that answers ten requests; the next one ends the process.

    Its file brings this class along as source, for the servers do not have it and their Python may be another one.
    """

    def __init__(self, model: Any) -> None:
        self.model, self.classes_, self.left = model, model.classes_, 10

    def predict(self, rows: Any) -> Any:
        """One label a row."""
        import os  # within, for the class travels alone

        self.left -= 1
        if self.left < 0:
            os._exit(139)  # what a shell says of a segmentation fault
        return self.model.predict(rows)

    def predict_proba(self, rows: Any) -> Any:
        """Shares of the classes; who judges a model by these notices nothing."""
        return self.model.predict_proba(rows)

    def __reduce__(self) -> tuple[Any, ...]:
        header = "from typing import Any\n"
        names = {"source": header + inspect.getsource(Crashing), "model": self.model}
        return eval, ("exec(source) or Crashing(model)", names)
