"""Bosta's own Python package takes the sandbox courier for Bosta.

It calls `{base}/api/v1/...` with the raw key in `Authorization` and `X-Requested-By: python-sdk`,
sends JSON as text, takes 200 alone for success, and reads fields out of `data` without asking
whether they are there: a field that the sandbox leaves out is a KeyError here.
"""

import base64
from itertools import count

import pytest
from bostaSDK import delivery
from bostaSDK.apiClient import ApiClient
from bostaSDK.utils import DELIVERY_TYPES, Address, Receiver

CAIRO = "EG-01"
NUMBERS = count(1)


@pytest.fixture(scope="module")
def client(endpoints):
    return ApiClient("key-of-a-shop", endpoints["sandbox_courier"])


@pytest.fixture
def made(client):
    """A delivery of its own for each check, with the answer that the package read."""
    address = Address(CAIRO, f"{next(NUMBERS)} Tahrir Street", district="Maadi", floor=3)
    receiver = Receiver("Sara", "Ali", "sara@example.com", "01065685435")
    wanted = delivery.create.CreateDeliveryRequest(
        DELIVERY_TYPES["SEND"]["code"], 450, address, receiver
    )
    answer = client.delivery.create(wanted)
    assert answer.get_deliveryId() and answer.get_trackingNumber(), answer.get_message()
    return answer


def test_signing_on_lists_cities_and_zones(client):
    cities = client.get_cities()["data"]["list"]
    assert CAIRO in [city["code"] for city in cities]
    assert client.get_zones()["data"][0]["zoneName"]


def test_a_delivery_is_made_and_read_back(client, made):
    assert made.get_message() == "Delivery created successfully!"
    wanted = delivery.get.GetDeliveryDetailsRequest(made.get_deliveryId())
    read = client.delivery.get(wanted)
    assert read.get_deliveryId() == made.get_deliveryId(), read.get_message()
    assert read.trackingNumber == made.get_trackingNumber()
    assert read.cod == 450
    assert read.type["code"] == DELIVERY_TYPES["SEND"]["code"]
    assert read.receiver["firstName"] == "Sara"
    assert read.dropOffAddress["firstLine"].endswith("Tahrir Street")


def test_a_delivery_is_tracked(client, made):
    track = client.delivery.track(delivery.track.TrackDeliveryRequest(made.get_deliveryId()))
    assert track.success, track.get_message()
    assert track.get_tracking()["TrackingNumber"] == made.get_trackingNumber()
    assert track.get_tracking()["CurrentStatus"]["state"]


def test_a_label_is_printed(client, made):
    label = client.delivery.printAirWayBill(
        delivery.printAWB.PrintAWBRequest(made.get_deliveryId())
    )
    assert label.get_data(), label.get_message()
    assert base64.b64decode(label.get_data(), validate=True).startswith(b"%PDF-")


def test_a_delivery_is_changed(client, made):
    change = delivery.update.UpdateDeliveryRequest(made.get_deliveryId(), notes="Ring", cod=500)
    changed = client.delivery.update(change)
    assert changed.get_message(), "an update says something"
    wanted = delivery.get.GetDeliveryDetailsRequest(made.get_deliveryId())
    assert client.delivery.get(wanted).cod == 500


def test_deliveries_are_listed(client, made):
    listed = client.delivery.listAll(delivery.list.ListAllDeliveriesRequest(1, 50))
    assert listed.success, listed.get_message()
    assert listed.get_count() >= 1
    assert made.get_deliveryId() in [one["_id"] for one in listed.get_deliveries()]


def test_a_terminated_delivery_is_gone(client, made):
    end = delivery.terminate.TerminateDeliveryRequest(made.get_deliveryId())
    ended = client.delivery.terminate(end)
    assert ended.get_message() == "Delivery canceled successfully!"
    wanted = delivery.get.GetDeliveryDetailsRequest(made.get_deliveryId())
    assert "1066" in client.delivery.get(wanted).get_message()


def test_a_bad_key_is_refused(endpoints):
    stranger = ApiClient("bad-key", endpoints["sandbox_courier"])
    listed = stranger.delivery.listAll(delivery.list.ListAllDeliveriesRequest())
    assert not listed.success
    assert "1028" in listed.get_message()
