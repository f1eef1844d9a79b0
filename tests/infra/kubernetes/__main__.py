"""``python -m tests.infra.kubernetes up|down``: prints the variable that tells clients where it is."""

import sys

from tests.infra import session
from tests.infra.kubernetes.cluster import PLACE, down, up

sys.exit(session.command(PLACE, lambda: f"export KUBECONFIG={up().kubeconfig}", down))
