"""Looks back at all that the operator asked of the API server during the modules before this one."""

from tests.e2e.operator import Operator


def test_the_operator_never_asked_for_what_it_has_no_right_to(operator: Operator) -> None:
    requests = operator.requests()
    assert {"watch", "list"} <= {request.verb for request in requests}
    assert [request for request in requests if request.forbidden] == []
