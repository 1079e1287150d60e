"""Tests of the program, in their own process: pytest examples/iris"""

import pytest


def test_setosa(sagemaker_endpoint):
    reply = sagemaker_endpoint.invoke([[5.1, 3.5, 1.4, 0.2]])
    [[setosa, versicolor, virginica]] = reply.raise_for_status().json()
    assert setosa > 0.99
    assert setosa + versicolor + virginica == pytest.approx(1)


def test_csv(sagemaker_endpoint):
    reply = sagemaker_endpoint.invoke("5.1,3.5,1.4,0.2", "text/csv", accept="text/csv")
    assert reply.array().shape == (1, 3)


def test_a_row_of_the_wrong_length_is_the_clients_mistake(sagemaker_endpoint):
    reply = sagemaker_endpoint.invoke([[5.1, 3.5]])
    assert reply.status_code == 422
    assert reply.json()["error"]["message"].startswith("Send rows of 4 numbers")
