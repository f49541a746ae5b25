"""Predictions and explanations, over a real service."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import pytest

from client.calling import Calling
from client.conftest import slowly
from nonzero_client import (
    AsyncClient,
    ContentError,
    InputError,
    NotFoundError,
    PartialError,
    Prediction,
    UnavailableError,
)


def shown(n: int) -> Iterator[dict[str, Any]]:
    return ({"features": {"site": f"s{i}"}} for i in range(n))


@pytest.fixture
def taught(client: Calling, model: str) -> str:
    """A model to which thirty sites are thirty different things."""
    client.update_stream(
        ({"features": {"site": f"s{i}"}, "label": i % 2, "weight": 1 + i} for i in range(30)), model=model
    )
    return model


def test_predictions_are_in_order(client: Calling, taught: str) -> None:
    together = client.predict(shown(30), model=taught)
    one_by_one = [client.predict_one(example, model=taught) for example in shown(30)]
    assert together == one_by_one
    assert len({prediction.probability for prediction in together}) == 30


def test_candidates_are_whole_examples_of_which_a_part_is_sent_once(client: Calling, taught: str) -> None:
    shared = {"features": {"site": "s7", "hour": 9}}
    own = [{"features": {"ad": f"a{i}"}, "id": f"imp-{i}"} for i in range(3)]
    whole = [{**one, "features": {**shared["features"], **one["features"]}} for one in own]  # type: ignore[dict-item]
    expected = client.predict(whole, model=taught, uncertainty=True)
    assert client.predict_candidates(shared, own, model=taught, uncertainty=True) == expected
    assert client.predict_candidates(shared, [], model=taught) == []
    with pytest.raises(ContentError, match=r"candidates\[1\]: the member 'ad' is unknown") as caught:
        client.predict_candidates(shared, [own[0], {"ad": 7}], model=taught)
    assert [error.line for error in caught.value.errors] == [2]
    with pytest.raises(InputError, match="example 2: "):
        client.predict_candidates(shared, [own[0], {"features": {"ad": object()}}], model=taught)


def test_predictions_may_be_of_a_model_that_knows_so_much(client: Calling, taught: str) -> None:
    shared, own = {"features": {"site": "s7"}}, [{"features": {"ad": "7"}}]

    def asked(least: Any) -> list[Any]:
        about: dict[str, Any] = {"model": taught, "min_sequence": least, "deadline": 0.5}
        return [
            client.predict(shown(3), **about),
            client.predict_one(shared, **about),
            client.predict_candidates(shared, own, **about),
            list(client.predict_stream(shown(3), **about)),
            client.explain(shared, **about)["probability"],
        ]

    assert asked(30) == asked(None)
    for ask in (client.predict_one, client.explain):
        with pytest.raises(UnavailableError, match="asks for 31") as caught:
            ask(shared, model=taught, min_sequence=31, deadline=1.5)
        assert caught.value.retry_after == 1
        assert not caught.value.outcome_unknown
        wrongs: list[Any] = [-1, 1.0, True, "7"]
        for wrong in wrongs:
            with pytest.raises(InputError, match="min_sequence is"):
                ask(shared, model=taught, min_sequence=wrong)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("size", [1, 7, 30, 1000])
def test_a_stream_of_predictions_is_in_order_however_it_is_cut(
    client: Calling, taught: str, size: int
) -> None:
    found = list(client.predict_stream(shown(30), model=taught, batch_size=size))
    assert found == client.predict(shown(30), model=taught)


def test_text_is_predicted_as_examples_are(client: Calling, taught: str) -> None:
    text = b"".join(b"| site=s%d\n" % i for i in range(30))
    found = list(client.predict_stream(text, format="vw", model=taught, batch_size=4))
    assert found == client.predict(shown(30), model=taught)


def test_an_asynchronous_source(client: Calling, kind: Any, taught: str) -> None:
    if kind is AsyncClient:
        found = list(client.predict_stream(slowly(shown(30)), model=taught, batch_size=4))
        assert found == client.predict(shown(30), model=taught)
    else:
        with pytest.raises(InputError, match="needs an AsyncClient"):
            list(client.predict_stream(slowly(shown(30)), model=taught))


def test_an_endless_source_is_read_a_batch_at_a_time(client: Calling, taught: str) -> None:
    given = 0

    def endless() -> Iterator[Any]:
        nonlocal given
        for given in itertools.count(1):
            yield {"features": {"site": f"s{given % 30}"}}

    stream = client.predict_stream(endless(), model=taught, batch_size=5)
    assert given == 0
    first = list(itertools.islice(stream, 7))
    assert len(first) == 7
    assert given == 10
    stream.close()  # type: ignore[attr-defined]


def test_what_a_prediction_says(client: Calling, taught: str) -> None:
    [plain] = client.predict({"features": {"site": "s1"}}, model=taught)
    assert plain == Prediction(plain.probability)
    [unsure] = client.predict({"features": {"site": "s1"}, "id": "x"}, model=taught, uncertainty=True)
    assert unsure.probability == plain.probability
    assert (unsure.id, unsure.kept) == ("x", True)
    assert unsure.uncertainty is not None
    assert unsure.uncertainty > 0
    [streamed] = client.predict_stream([{"features": {"site": "s1"}}], model=taught, uncertainty=True)
    assert streamed.uncertainty == unsure.uncertainty
    one = client.predict_one({"features": {"site": "s1"}}, model=taught, uncertainty=True)
    assert one.uncertainty == unsure.uncertainty


def test_refused_lines_have_their_place(client: Calling, taught: str) -> None:
    given: list[Any] = [*shown(9)]
    given[2] = {"features": {"site": {}}}  # the service refuses it
    given[3] = {"features": {"bid": math.nan}}  # it cannot be sent
    given[4] = 5
    given[8] = {"label": 1}
    expected = [one.probability for one in client.predict(shown(9), model=taught)]
    found: list[Prediction] = []
    with pytest.raises(PartialError, match="4 of 9 lines were refused, and the others predicted") as partial:
        found.extend(client.predict_stream(given, model=taught, batch_size=4))
    assert [fault.line for fault in partial.value.errors] == [3, 4, 5, 9]
    assert partial.value.rejected == 4
    reported = list(client.predict_stream(given, model=taught, batch_size=4, refused="report"))
    assert len(reported) == 9
    for i, prediction in enumerate(reported):
        if i in (2, 3, 4, 8):
            assert math.isnan(prediction.probability)
            assert prediction.reason
        else:
            assert prediction.probability == expected[i]
            assert prediction.reason is None


def test_a_batch_that_holds_nothing_to_send(client: Calling, taught: str) -> None:
    found = list(client.predict_stream([1, 2, 3], model=taught, batch_size=2, refused="report"))
    assert [math.isnan(one.probability) for one in found] == [True] * 3


def test_a_prediction_is_whole_or_not_at_all(client: Calling, taught: str) -> None:
    with pytest.raises(ContentError) as refused:
        client.predict([{"features": {}}, {"features": {"site": {}}}], model=taught)
    assert [fault.line for fault in refused.value.errors] == [2]
    with pytest.raises(InputError, match="example 1: 's', of type str, is no example"):
        client.predict_one("s", model=taught)  # type: ignore[arg-type]


def test_an_unknown_model(client: Calling) -> None:
    with pytest.raises(NotFoundError, match="no model named 'nobody'"):
        client.predict({"features": {}}, model="nobody")
    with pytest.raises(NotFoundError, match="no model named 'nobody'"):
        list(client.predict_stream(shown(1), model="nobody"))


def test_an_explanation_adds_up(client: Calling, taught: str) -> None:
    found = client.explain({"features": {"site": "s1", "bid": 0.5}}, model=taught)
    parts = [one["contribution"] for one in found["contributions"]]
    assert math.isclose(sum(parts) + found["intercept"] + found["mixing"], found["log_odds"], abs_tol=1e-5)
    straight = client.predict_one({"features": {"site": "s1", "bid": 0.5}}, model=taught)
    assert found["probability"] == pytest.approx(straight.probability, abs=1e-6)
