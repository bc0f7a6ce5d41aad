"""A scanner reads the tracking number off a label that was made and printed through the API."""

import shutil
import subprocess

import pytest

SKU, BARCODE, BIN, WAREHOUSE = "FOREIGN-TEE", "6221000009990", "F-01-01-1-1", "FRN1"


def in_stock(rest):
    """Something to sell: a product in a bin."""
    barcode = {"code": BARCODE, "units": 1}
    rest.post("/v1/products", {"sku": SKU, "name": "قميص", "barcodes": [barcode]})
    warehouse = {"warehouse": WAREHOUSE, "name": "Foreign", "priority": 1}
    rest.post("/v1/warehouses", warehouse)
    at = f"/v1/warehouses/{WAREHOUSE}"
    rest.post(f"{at}:define-bins", {"bins": [{"code": BIN}]})
    lines = [{"sku": SKU, "bin": BIN, "units": 5}]
    rest.post(f"{at}:receive-stock", {"receipt": "label", "lines": lines})


def confirmed_order(rest):
    contact = {"name": "سارة علي", "phone": "010 0123 4567", "language": "ar"}
    price = {"amount": "149.90", "currency": "EGP"}
    address = {
        "country": "EG",
        "governorate": "Cairo",
        "city": "Cairo",
        "district": "Nasr City",
        "line1": "12 شارع النيل",
    }
    order = {
        "contact": contact,
        "lines": [{"sku": SKU, "units": 1, "unit_price": price}],
        "shipping_address": address,
        "currency": "EGP",
        "payment": {"method": "cod"},
    }
    order_id = rest.post("/v1/orders", order)["order_id"]
    assert rest.post(f"/v1/orders/{order_id}:confirm", {})["status"] == "confirmed"
    return order_id


def picked_and_packed(rest, order_id):
    made = rest.post("/v1/pick-lists", {"order_ids": [order_id]})
    pick_list = f"/v1/pick-lists/{made['pick_lists'][0]['pick_list_id']}"
    rest.post(f"{pick_list}:assign", {"picker": "Ali"})
    rest.post(f"{pick_list}:start", {})
    scanned = rest.post(f"{pick_list}:scan", {"bin": BIN, "barcode": BARCODE})
    assert scanned["result"] == "ACCEPTED", scanned
    rest.post(f"{pick_list}:complete", {})
    found = rest.get(f"/v1/fulfillments?order_id={order_id}")["fulfillments"]
    parcel = {"weight_grams": 300, "contents": [{"sku": SKU, "units": 1}]}
    path = f"/v1/fulfillments/{found[0]['fulfillment_id']}:pack"
    rest.post(path, {"parcels": [parcel]})


@pytest.fixture(scope="module")
def shipment(rest):
    in_stock(rest)
    order_id = confirmed_order(rest)
    picked_and_packed(rest, order_id)
    accounts = rest.get("/v1/courier-accounts")["courier_accounts"]
    account = next(one for one in accounts if one["courier"] == "bosta")
    wanted = {"order_id": order_id, "courier_account_id": account["courier_account_id"]}
    return rest.post("/v1/shipments", wanted)["shipments"][0]


def bars_on_first_page(pdf, folder):
    """Draws the first page and lets zbar find what it can."""
    for tool in ("pdftoppm", "zbarimg"):
        assert shutil.which(tool), f"{tool} is missing"
    file, page = folder / "label.pdf", folder / "page"
    file.write_bytes(pdf)
    draw = ["pdftoppm", "-singlefile", "-r", "300", "-gray", "-png", str(file), str(page)]
    subprocess.run(draw, check=True)
    scan = ["zbarimg", "--quiet", "--raw", str(page.with_suffix(".png"))]
    return subprocess.run(scan, check=True, capture_output=True, text=True).stdout.split()


@pytest.mark.parametrize("paper", ["A6", "A4"])
def test_the_tracking_number_is_read_off_the_label(rest, shipment, tmp_path, paper):
    assert shipment["tracking_number"]
    path = f"/v1/shipments/{shipment['shipment_id']}:print-awb?format={paper}"
    label = rest.call("GET", path)
    assert label.headers["Content-Type"] == "application/pdf"
    assert bars_on_first_page(label.content, tmp_path) == [shipment["tracking_number"]]
