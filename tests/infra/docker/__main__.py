"""``python -m tests.infra.docker up|down``: prints the variable that tells clients where it is."""

import sys

from tests.infra import session
from tests.infra.docker.daemon import PLACE, down, up

sys.exit(session.command(PLACE, lambda: f"export DOCKER_HOST={up()}", down))
