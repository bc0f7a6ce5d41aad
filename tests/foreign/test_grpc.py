"""A client that knows no contract but what reflection tells finds every service and uses it."""

import grpc
import pytest

from reflected import VERSIONS, Reflected, connect

SKU, BIN, WAREHOUSE = "GRPC-MUG", "G-01-01-1-1", "GRPC1"
INVENTORY = "nexus.inventory.v1.InventoryService"
ORDER = "nexus.order.v1.OrderService"
FULFILLMENT = "nexus.fulfillment.v1.FulfillmentService"
SHIPPING = "nexus.shipping.v1.ShippingService"
NOTIFICATION = "nexus.notification.v1.NotificationService"
GATEWAY = "nexus.gateway.v1.GatewayService"
WORK = "nexus.work.v1.WorkService"


def an_order():
    address = {
        "country": "EG",
        "governorate": "Cairo",
        "city": "Cairo",
        "district": "Maadi",
        "line1": "12 Nile Street",
    }
    price = {"amount": "80", "currency": "EGP"}
    return {
        "contact": {"name": "Mona Hassan", "phone": "01112223334"},
        "lines": [{"sku": SKU, "units": 1, "unit_price": price}],
        "shipping_address": address,
        "currency": "EGP",
        "payment": {"method": "cod"},
    }


# One read and one write of every service; {order_id} is that of a confirmed order.
READS = {
    INVENTORY: ("ListStock", {"sku": SKU}, "items"),
    ORDER: ("ListOrders", {}, "orders"),
    FULFILLMENT: ("ListFulfillments", {}, "fulfillments"),
    SHIPPING: ("ListCourierAccounts", {}, "courier_accounts"),
    NOTIFICATION: ("ListChannelAccounts", {}, "channel_accounts"),
    GATEWAY: ("ListApiKeys", {}, "api_keys"),
    WORK: ("ListParked", {}, None),
}
WRITES = {
    INVENTORY: ("AdjustStock", "stock"),
    ORDER: ("AddNote", "note"),
    FULFILLMENT: ("GeneratePickLists", "list"),
    SHIPPING: ("CreateCourierAccount", "account"),
    NOTIFICATION: ("PutTemplate", "template"),
    GATEWAY: ("IssueApiKey", "key"),
    WORK: ("RebuildViews", "views"),
}


def wish(kind, order_id):
    return {
        "stock": {
            "warehouse": WAREHOUSE,
            "sku": SKU,
            "bin": BIN,
            "delta": 1,
            "reason": "found",
        },
        "note": {"order_id": order_id, "text": "by reflection", "visibility": "internal"},
        "list": {"order_ids": [order_id]},
        "account": {"courier": "manual", "name": "By reflection", "mode": "live"},
        "template": {
            "milestone": "shipped",
            "language": "en",
            "provider_template": "order_shipped",
            "body": "Your order {{order_number}} is on its way.",
        },
        "key": {"name": "By reflection", "roles": ["auditor"]},
        "views": {"service": "notification"},
    }[kind]


@pytest.fixture(scope="module")
def channel(endpoints):
    with connect(endpoints) as channel:
        yield channel


@pytest.fixture(scope="module", params=VERSIONS)
def server(request, channel):
    return Reflected(channel, request.param)


@pytest.fixture(scope="module")
def order_id(channel, api_key):
    """A confirmed order, made through stubs built from what was reflected."""
    server = Reflected(channel, "v1")

    def call(service, rpc, body):
        return server.call(service, rpc, body, api_key)

    call(INVENTORY, "RegisterProduct", {"sku": SKU, "name": "Mug"})
    call(INVENTORY, "OpenWarehouse", {"warehouse": WAREHOUSE, "name": "gRPC", "priority": 2})
    call(INVENTORY, "DefineBins", {"warehouse": WAREHOUSE, "bins": [{"code": BIN}]})
    lines = [{"sku": SKU, "bin": BIN, "units": 9}]
    call(INVENTORY, "ReceiveStock", {"warehouse": WAREHOUSE, "receipt": "g", "lines": lines})
    order_id = call(ORDER, "CreateOrder", an_order())["order_id"]
    confirmed = call(ORDER, "ConfirmOrder", {"order_id": order_id})
    assert confirmed["status"] == "confirmed", confirmed
    return order_id


def own_services(server):
    return [name for name in server.services if name.startswith("nexus.")]


def test_every_service_is_listed_and_described(server):
    named = own_services(server)
    assert set(named) == set(READS) == set(WRITES), "a service without a read and a write here"
    for name in named:
        assert server.service(name).methods, name


def test_both_versions_of_reflection_tell_the_same(channel):
    told = [Reflected(channel, version) for version in VERSIONS]
    for server in told:
        for name in own_services(server):
            server.service(name)
    new, old = told
    assert own_services(new) == own_services(old)
    assert new.files == old.files


@pytest.mark.parametrize("service", READS)
def test_a_read_is_answered(server, service, order_id, api_key):
    rpc, body, rows = READS[service]
    answer = server.call(service, rpc, body, api_key)
    if rows:
        assert answer[rows], f"{rpc} found nothing"


@pytest.mark.parametrize("service", WRITES)
def test_a_write_is_done(channel, service, order_id, api_key):
    rpc, kind = WRITES[service]
    answer = Reflected(channel, "v1").call(service, rpc, wish(kind, order_id), api_key)
    assert answer, f"{rpc} answered nothing"


@pytest.mark.parametrize("service", READS)
@pytest.mark.parametrize("key", [None, "nobody"])
def test_without_a_key_nothing_is_told(channel, service, key):
    rpc, body, _ = READS[service]
    with pytest.raises(grpc.RpcError) as refused:
        Reflected(channel, "v1").call(service, rpc, body, key)
    assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
