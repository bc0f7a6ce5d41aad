"""The running Nexus that the checks talk to: addresses and admin key from its data folder."""

import json
import os
import uuid
from pathlib import Path

import pytest
import requests

ANSWER_WITHIN = 15


@pytest.fixture(scope="session")
def data():
    """The data folder of the Nexus that runs for these checks."""
    folder = os.environ.get("NEXUS_DATA")
    assert folder, "NEXUS_DATA names no data folder: start these by `cargo xtask test-foreign`"
    return Path(folder)


@pytest.fixture(scope="session")
def endpoints(data):
    return json.loads((data / "endpoints.json").read_text())


@pytest.fixture(scope="session")
def api_key(data):
    return (data / "admin.key").read_text().strip()


class Rest:
    """REST as an integrator calls it: every change has an idempotency key."""

    def __init__(self, base, api_key):
        self.base = base
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Authorization"] = f"Bearer {api_key}"

    def call(self, method, path, body=None):
        headers = {} if method == "GET" else {"Idempotency-Key": str(uuid.uuid4())}
        answer = self.session.request(
            method, self.base + path, json=body, headers=headers, timeout=ANSWER_WITHIN
        )
        assert answer.status_code == 200, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer

    def get(self, path):
        return self.call("GET", path).json()

    def post(self, path, body):
        return self.call("POST", path, body).json()


@pytest.fixture(scope="session")
def rest(endpoints, api_key):
    return Rest(endpoints["http"], api_key)
