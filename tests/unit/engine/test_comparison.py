"""Whether a write would change anything, from the object and from what we own of it."""

from __future__ import annotations

from typing import Any

import pytest

from keelway.engine.comparison import is_settled, same_status

WEB = 'k:{"port":80,"protocol":"TCP"}'
OWNS_DATA: Any = {"f:data": {"f:a": {}}}
OWNS_PORT: Any = {"f:spec": {"f:ports": {WEB: {".": {}, "f:port": {}, "f:targetPort": {}}}}}
PORT = {"port": 80, "protocol": "TCP", "targetPort": 8080}
OTHER_PORT = {"port": 90, "protocol": "TCP", "targetPort": 9090}

SETTLED: dict[str, tuple[Any, Any, Any]] = {
    "everything is there": ({"data": {"a": "1"}}, {"data": {"a": "1"}}, OWNS_DATA),
    "others added fields": ({"data": {"a": "1"}}, {"data": {"a": "1", "b": "2"}, "status": {}}, OWNS_DATA),
    "what names the object does not count": (
        {"apiVersion": "v1", "kind": "X", "data": {"a": "1"}},
        {"data": {"a": "1"}},
        OWNS_DATA,
    ),
    "an empty object was dropped by the server": (
        {"spec": {"selector": {}}},
        {"spec": {"type": "A"}},
        {"f:spec": {"f:selector": {}}},
    ),
    "an empty text was dropped by the server": ({"spec": {"group": ""}}, {"spec": {}}, {"f:spec": {"f:group": {}}}),
    "null asks for nothing": ({"spec": {"a": None}}, {"spec": {"a": 1}}, {"f:spec": {}}),
    "a keyed item has defaults": (
        {"spec": {"ports": [{"port": 80, "targetPort": 8080}]}},
        {"spec": {"ports": [OTHER_PORT, PORT]}},
        OWNS_PORT,
    ),
    "a set holds more": (
        {"metadata": {"finalizers": ["x"]}},
        {"metadata": {"finalizers": ["y", "x"]}},
        {"f:metadata": {"f:finalizers": {'v:"x"': {}}}},
    ),
    "a whole list has defaults inside": (
        {"spec": {"rules": [{"weight": 1}]}},
        {"spec": {"rules": [{"weight": 1, "path": "/"}]}},
        {"f:spec": {"f:rules": {}}},
    ),
    "an integer is a whole float": ({"spec": {"share": 1.0}}, {"spec": {"share": 1}}, {"f:spec": {"f:share": {}}}),
}
UNSETTLED: dict[str, tuple[Any, Any, Any]] = {
    "never applied by us": ({"data": {"a": "1"}}, {"data": {"a": "1"}}, None),
    "a value differs": ({"data": {"a": "1"}}, {"data": {"a": "2"}}, OWNS_DATA),
    "a field is missing": ({"data": {"a": "1", "b": "1"}}, {"data": {"a": "1"}}, OWNS_DATA),
    "we own a field that is not wanted any more": (
        {"data": {"a": "1"}},
        {"data": {"a": "1", "b": "1"}},
        {"f:data": {"f:a": {}, "f:b": {}}},
    ),
    "we own a section that is not wanted any more": (
        {"data": {"a": "1"}},
        {"data": {"a": "1"}, "spec": {"x": 1}},
        {**OWNS_DATA, "f:spec": {"f:x": {}}},
    ),
    "we own a list item that is not wanted any more": (
        {"spec": {"ports": [OTHER_PORT]}},
        {"spec": {"ports": [OTHER_PORT, PORT]}},
        OWNS_PORT,
    ),
    "we own a set member that is not wanted any more": (
        {"metadata": {"finalizers": []}},
        {"metadata": {"finalizers": ["x"]}},
        {"f:metadata": {"f:finalizers": {'v:"x"': {}}}},
    ),
    "a keyed item differs": ({"spec": {"ports": [{**PORT, "targetPort": 1}]}}, {"spec": {"ports": [PORT]}}, OWNS_PORT),
    "a whole list is longer": (
        {"spec": {"rules": [{"w": 1}]}},
        {"spec": {"rules": [{"w": 1}, {"w": 2}]}},
        {"f:spec": {"f:rules": {}}},
    ),
    "a whole list is in another order": (
        {"spec": {"rules": [1, 2]}},
        {"spec": {"rules": [2, 1]}},
        {"f:spec": {"f:rules": {}}},
    ),
    "true is not 1": ({"spec": {"on": True}}, {"spec": {"on": 1}}, {"f:spec": {"f:on": {}}}),
    "a number is not a text": ({"spec": {"port": 80}}, {"spec": {"port": "80"}}, {"f:spec": {"f:port": {}}}),
    "an object became a text": ({"spec": {"a": {"b": 1}}}, {"spec": {"a": "b"}}, {"f:spec": {"f:a": {"f:b": {}}}}),
}


@pytest.mark.parametrize("case", SETTLED)
def test_nothing_to_write_when(case: str) -> None:
    desired, live, owned = SETTLED[case]
    assert is_settled(desired, live, owned)


@pytest.mark.parametrize("case", UNSETTLED)
def test_something_to_write_when(case: str) -> None:
    desired, live, owned = UNSETTLED[case]
    assert not is_settled(desired, live, owned)


def condition(**fields: Any) -> dict[str, Any]:
    return {
        "type": "Ready",
        "status": "True",
        "reason": "Ready",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
        **fields,
    }


SAME: dict[str, tuple[Any, Any]] = {
    "equal": ({"a": 1}, {"a": 1}),
    "null is absent": ({"a": 1, "b": None}, {"a": 1}),
    "only the time of the transition differs": (
        {"conditions": [condition()]},
        {"conditions": [condition(lastTransitionTime="2026-02-02T00:00:00Z")]},
    ),
    "nothing was ever written and nothing is said": ({}, None),
    "a tuple is a list": ({"runs": (1, 2)}, {"runs": [1, 2]}),
}
DIFFERENT: dict[str, tuple[Any, Any]] = {
    "a value": ({"a": 1}, {"a": 2}),
    "a field more": ({"a": 1, "b": 1}, {"a": 1}),
    "a field less": ({"a": 1}, {"a": 1, "b": 1}),
    "an empty list is something": ({"runs": []}, {}),
    "a reason": ({"conditions": [condition(reason="Other")]}, {"conditions": [condition()]}),
    "another time is news": ({"observedAt": "2026-01-01T00:00:00Z"}, {"observedAt": "2026-01-01T00:00:01Z"}),
}


@pytest.mark.parametrize("case", SAME)
def test_statuses_say_the_same(case: str) -> None:
    assert same_status(*SAME[case])


@pytest.mark.parametrize("case", DIFFERENT)
def test_statuses_differ_in(case: str) -> None:
    assert not same_status(*DIFFERENT[case])
