"""`smoke`: what a candidate's servers answer, how fast, and which request is to blame."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from keelway.api.judging import SmokeCall, SmokeOrder, SmokeVerdict
from keelway.worker import smoke
from keelway.worker.errors import WorkerError
from tests.unit.worker.cloud_servers import free_port
from tests.unit.worker.source_servers import Page, WebServer, web_server

BODY = '{"inputs": [{"name": "x", "data": [1, 2, "ü"]}]}'
SECRET_ANSWER = b"the answer that nobody may read"


@pytest.fixture
def server() -> Iterator[WebServer]:
    with web_server() as running:
        running.pages["v2/models/churn/infer"] = Page(data=SECRET_ANSWER)
        yield running


def infer(server: WebServer, **changes: Any) -> SmokeCall:
    fields = {"url": server.url("v2/models/churn/infer"), "method": "POST", "body": BODY}
    return SmokeCall(**{**fields, **changes})


def asked(*calls: SmokeCall, **order: Any) -> SmokeVerdict:
    verdict = smoke.run(SmokeOrder(**{"calls": calls, "max_seconds": 20, "patience_seconds": 0, **order}))
    assert verdict.outcome == "Answered"
    return verdict


def refused(*calls: SmokeCall, **order: Any) -> str:
    """The message that the requests end with."""
    with pytest.raises(WorkerError) as caught:
        asked(*calls, **order)
    assert caught.value.reason == "SmokeFailed"
    assert SECRET_ANSWER.decode() not in caught.value.message
    assert BODY not in caught.value.message
    return caught.value.message


def test_requests_arrive_as_they_were_written_and_in_order(server: WebServer) -> None:
    server.pages["v2/health/ready"] = Page()
    put = infer(server, method="PUT", content_type="text/plain; charset=utf-8")
    asked(SmokeCall(url=server.url("v2/health/ready?deep=1"), method="GET"), infer(server), put)
    seen = [(one.method, one.target, one.body.decode(), one.headers.get("Content-Type")) for one in server.asked]
    assert seen == [
        ("GET", "/v2/health/ready?deep=1", "", None),
        ("POST", "/v2/models/churn/infer", BODY, "application/json"),
        ("PUT", "/v2/models/churn/infer", BODY, "text/plain; charset=utf-8"),
    ]


@pytest.mark.parametrize(("found", "expected"), [(500, 200), (404, 200), (200, 400), (204, 200), (429, 200)])
def test_another_status_than_expected(server: WebServer, found: int, expected: int) -> None:
    server.pages["v2/models/churn/infer"].status = found
    message = refused(
        SmokeCall(url=server.url("v2/models/churn/infer"), method="GET", expect_status=found),
        infer(server, expect_status=expected),
        infer(server),
    )
    assert message == (
        f"request 2 of 3, POST /v2/models/churn/infer, was answered with status {found} instead of {expected}"
    )
    assert len(server.asked) == 2, "the first that fails ends it, and it is sent once"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_an_answer_and_not_followed(server: WebServer, status: int) -> None:
    server.pages["old"] = Page(status=status, location=server.url("v2/models/churn/infer"))
    assert f"status {status} instead of 200" in refused(infer(server, url=server.url("old")))
    asked(infer(server, url=server.url("old"), expect_status=status))
    assert {one.target for one in server.asked} == {"/old"}


def test_an_error_may_be_what_is_expected_at_once(server: WebServer) -> None:
    server.pages["v2/models/churn/infer"].status = 503
    asked(infer(server, expect_status=503), patience_seconds=20)
    assert len(server.asked) == 1


# seconds


def test_seconds_count_to_the_last_byte(server: WebServer) -> None:
    release = threading.Event()
    server.pages["v2/models/churn/infer"].during = lambda: release.wait(20)
    threading.Timer(0.3, release.set).start()
    assert asked(infer(server)).slowest_seconds >= 0.25


def test_the_slowest_is_told(server: WebServer) -> None:
    slow = threading.Event()
    server.pages["slow"] = Page(data=b"{}", during=lambda: slow.wait(0.2))
    verdict = asked(infer(server), infer(server, url=server.url("slow")), infer(server))
    assert 0.2 <= verdict.slowest_seconds < 10


@pytest.mark.parametrize("data", [b"half", b""], ids=["half of an answer", "no answer"])
def test_an_answer_that_takes_too_long_is_not_waited_for(server: WebServer, data: bytes) -> None:
    release = threading.Event()
    server.pages["v2/models/churn/infer"] = Page(data=data, during=lambda: release.wait(20))
    try:
        if not data:
            server.pages["v2/models/churn/infer"].headers["Content-Length"] = "1"
        message = refused(infer(server), max_seconds=0.2, patience_seconds=20)
    finally:
        release.set()
    assert message == "request 1 of 1, POST /v2/models/churn/infer, was not answered whole within 0.2 s"
    assert len(server.asked) == 1


# bodies


def test_an_answer_without_end_is_read_as_far_as_it_counts() -> None:
    """A server that would go on for ever: what is more than 1 MiB is not read, and no error."""
    sent = [0]

    def flood(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65536)
            sent[0] += 65536

    with talking(flood) as url:
        assert asked(SmokeCall(url=url, method="GET")).slowest_seconds < 10
    assert 2**20 <= sent[0] < 64 * 2**20


def test_an_answer_that_breaks_off(server: WebServer) -> None:
    server.pages["v2/models/churn/infer"].headers["Content-Length"] = "1000"
    assert "was not answered whole: the connection broke" in refused(infer(server), patience_seconds=20)
    assert len(server.asked) == 1


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Le"])
def test_what_is_no_http(answer: bytes) -> None:
    def say(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(answer)

    with talking(say) as url:
        assert "the connection broke" in refused(SmokeCall(url=url, method="GET"), patience_seconds=20)


def test_a_connection_that_is_reset() -> None:
    def reset(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with talking(reset) as url:
        assert "the connection broke" in refused(SmokeCall(url=url, method="GET"))


@contextmanager
def talking(speak: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that says whatever it wants to one client after the other."""

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with closing(connection):
                try:
                    speak(connection)
                except OSError as error:
                    print(f"the client has gone: {error}")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(20)


# servers that are not known everywhere yet


def test_a_503_is_asked_again_for_a_while(server: WebServer) -> None:
    server.busy = 3
    asked(infer(server), patience_seconds=20)
    assert [one.body.decode() for one in server.asked] == [BODY] * 4


def test_a_503_that_stays_is_the_answer(server: WebServer) -> None:
    server.busy = 10**6
    assert "status 503 instead of 200" in refused(infer(server), patience_seconds=0.5)
    assert len(server.asked) > 1


def test_a_server_that_takes_connections_a_moment_later() -> None:
    port = free_port()

    def serve() -> None:
        with socket.create_server(("127.0.0.1", port)) as listener:
            listener.settimeout(20)
            with closing(listener.accept()[0]) as connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    late = threading.Timer(0.3, serve)
    late.daemon = True
    late.start()
    asked(SmokeCall(url=f"http://127.0.0.1:{port}/", method="GET"), patience_seconds=20)


@pytest.mark.parametrize(
    ("host", "words"),
    [("127.0.0.1:1", "the connection is refused"), ("churn-v1-predictor.invalid", "its host name does not resolve")],
)
def test_a_server_that_nobody_finds(host: str, words: str) -> None:
    message = refused(SmokeCall(url=f"http://{host}/v2/health", method="GET"), patience_seconds=0.3)
    assert message == f"request 1 of 1, GET /v2/health, was not answered: {words}"


def test_patience_is_for_all_requests_together(server: WebServer) -> None:
    """Sixteen requests to nobody do not take sixteen times as long."""
    server.busy = 2
    asked(*[infer(server)] * 16, patience_seconds=20)
    assert len(server.asked) == 18
    assert "request 1 of 16" in refused(*[SmokeCall(url="http://127.0.0.1:1/", method="GET")] * 16)


# requests that are none


@pytest.mark.parametrize(
    "changes",
    [
        {"content_type": "text/plain\r\nX-Injected: yes"},
        {"content_type": "ümlaut"},
        {"body": "\ud800"},
        {"path": "/a\nb"},
        {"path": "/" + "x" * 70_000},
    ],
    ids=repr,
)
def test_a_request_that_cannot_be_sent(server: WebServer, changes: dict[str, str]) -> None:
    path = changes.pop("path", "/v2/models/churn/infer")
    message = refused(infer(server, url=f"{server.endpoint}{path}", **changes), patience_seconds=20)
    assert "cannot be sent" in message
    assert "\n" not in message
    assert len(message) < 400
    assert server.asked == []


def test_a_query_is_not_repeated(server: WebServer) -> None:
    assert "hunter2" not in refused(infer(server, url=server.url("no/such?token=hunter2")))


def test_neither_a_proxy_nor_a_cookie_comes_between(server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_PROXY")
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    server.pages["v2/models/churn/infer"].headers["Set-Cookie"] = "session=1"
    asked(infer(server), infer(server))
    assert [one.headers.get("Cookie") for one in server.asked] == [None, None]
