"""A webhook of WhatsApp, signed with Python's hmac, is taken; the same JSON in other bytes is not."""

import hashlib
import hmac
import json

import pytest
import requests

APP_SECRET = "secret-of-an-app"
ARABIC = "شكرا يا سارة"


@pytest.fixture(scope="module")
def webhook_url(rest):
    """Where the provider posts for an account whose secret we know."""
    account = rest.post(
        "/v1/channel-accounts",
        {
            "channel": "whatsapp",
            "name": "Signed by Python",
            "mode": "sandbox",
            "credentials": {
                "access_token": "token",
                "app_secret": APP_SECRET,
                "phone_number_id": "106540352242922",
            },
        },
    )
    return account["webhook_url"]


def a_message():
    """What a customer wrote, with text that serialisers spell in two ways."""
    value = {
        "messaging_product": "whatsapp",
        "metadata": {"phone_number_id": "106540352242922"},
        "messages": [
            {
                "from": "201065685435",
                "id": "wamid.signed-by-python",
                "timestamp": "1790000400",
                "type": "text",
                "text": {"body": ARABIC},
            }
        ],
    }
    entry = {"id": "102290129340398", "changes": [{"field": "messages", "value": value}]}
    return {"object": "whatsapp_business_account", "entry": [entry]}


def signature(body, secret=APP_SECRET):
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def status_of_post(url, body, signed):
    headers = {"Content-Type": "application/json"}
    if signed is not None:
        headers["X-Hub-Signature-256"] = signed
    return requests.post(url, data=body, headers=headers, timeout=15).status_code


# As Meta writes it: no spaces, everything beyond ASCII as \uXXXX.
AS_SENT = json.dumps(a_message(), ensure_ascii=True, separators=(",", ":")).encode()


def test_the_published_vector_is_met():
    vector = signature(rb'{"name":"\u0633\u0627\u0631\u0629"}', "app-secret")
    assert vector == "sha256=2cd7363d24a3ddaecd8bd3cdbb4eaeb513f6d164e1c603feff6d8eeb108263c8"


def test_signed_bytes_are_taken(webhook_url):
    assert status_of_post(webhook_url, AS_SENT, signature(AS_SENT)) == 200


@pytest.mark.parametrize("spelling", ["letters", "spaces"])
def test_the_same_json_in_other_bytes_is_refused(webhook_url, spelling):
    compact = (",", ":") if spelling == "letters" else None
    ascii_only = spelling == "spaces"
    again = json.dumps(json.loads(AS_SENT), ensure_ascii=ascii_only, separators=compact).encode()
    assert json.loads(again) == json.loads(AS_SENT) and again != AS_SENT
    assert status_of_post(webhook_url, again, signature(AS_SENT)) == 401
    # Its own signature is as good as any: only the pair of bytes and signature counts.
    assert status_of_post(webhook_url, again, signature(again)) == 200


def test_a_wrong_secret_and_no_signature_are_refused(webhook_url):
    assert status_of_post(webhook_url, AS_SENT, signature(AS_SENT, "another secret")) == 401
    assert status_of_post(webhook_url, AS_SENT, None) == 401
