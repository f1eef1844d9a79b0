"""``python -m tests.infra.argo up|down``: Argo and its cluster; prints the variable that tells clients where it is."""

import sys

from tests.infra import session
from tests.infra.argo.controller import up
from tests.infra.kubernetes import cluster


def _up() -> str:
    made = cluster.up()
    up(made)
    return f"export KUBECONFIG={made.kubeconfig}"


sys.exit(session.command(cluster.PLACE, _up, cluster.down))
