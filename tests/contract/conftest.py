"""What all contracts of notifiers are run with."""

from __future__ import annotations

import pytest

from tests.contract.notifiers import NOTIFIERS


@pytest.fixture(params=NOTIFIERS)
def make(request):
    return NOTIFIERS[request.param]
