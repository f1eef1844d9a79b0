"""What steps have in a cluster: the quotas of their namespace, which is all that the node may know of its machines."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

import msgspec
from kubernetes.utils.quantity import parse_quantity  # type: ignore[import-untyped]

from catalog.error import NotFound, VerificationFailed, shown
from node.execute.kubernetes.answer import items_of, read
from node.execute.kubernetes.api import Api
from node.execute.machine import platform_here
from node.step import Machine

UNKNOWN: Final = (
    "what steps have in the cluster is told to nobody: their namespace has no quota of CPUs and memory;"
    " run «comity site deploy», or ask the cluster's operator for one"
)

_QUANTITY: Final = re.compile(r"[0-9]{1,18}(\.[0-9]{1,9})?([eE][+-]?[0-9]{1,2}|m|u|n|[kMGTPE]|[KMGTPE]i)?")
"""Those of quotas (https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/), and no longer."""

_CPUS: Final = "limits.cpu"
_MEMORY: Final = "limits.memory"
_MIB: Final = 1 << 20
_MOST_CPUS: Final = 1 << 16
_MOST_MIB: Final = 1 << 30


class _Status(msgspec.Struct, frozen=True):
    hard: dict[str, str | int | float] | None = None


class _Quota(msgspec.Struct, frozen=True):
    status: _Status = _Status()


def bounds(api: Api, namespace: str) -> dict[str, str]:
    """The most that the limits of all pods in ``namespace`` come to, by resource, as the cluster writes it. Blocking.

    Raises:
        NotFound, Denied, Unreachable: the cluster does not tell.
    """
    quotas = [read(_Quota, each) for each in items_of(api.get(f"/api/v1/namespaces/{namespace}/resourcequotas"))]
    found: dict[str, str] = {}
    for each in quotas:
        for what, most in sorted((each.status.hard or {}).items()):
            known = found.get(what)
            if what.startswith("limits.") and (known is None or _number(most) < _number(known)):
                found[what] = str(most)
    return found


def machine_of(found: dict[str, str]) -> Machine:
    """What those bounds come to. Steps have images of this machine's platform.

    Raises:
        NotFound: processors or memory are not bounded, so that nothing says how much there is.
    """
    if _CPUS not in found or _MEMORY not in found:
        raise NotFound(UNKNOWN)
    cpus, memory = _number(found[_CPUS]), _number(found[_MEMORY]) / _MIB
    return Machine(
        platform=platform_here(),
        processor="",
        processors=max(1, min(_MOST_CPUS, int(cpus))),
        memory_mib=max(1, min(_MOST_MIB, int(memory))),
    )


def _number(quantity: object) -> Decimal:
    text = str(quantity)
    if not _QUANTITY.fullmatch(text):
        raise VerificationFailed(f"the cluster names a quantity that is none: {shown(text)[:60]}")
    return Decimal(parse_quantity(text))
