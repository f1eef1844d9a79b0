"""What tests of environments share: the base, which takes seconds to make."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the base is kept between the tests of one process."""
    return tmp_path_factory.mktemp("base")
