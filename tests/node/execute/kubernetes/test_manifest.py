"""The Job of a step: what is in it is all that the cluster is asked for."""

from __future__ import annotations

from typing import Any

from node.execute.kubernetes.manifest import SIDE, STEP, Image, Part, Pattern, job_manifest, memory_of
from node.step import Limits

IMAGE = Image("comity.local/steps:1", False, ("python",))
LIMITS = Limits(memory_bytes=100 << 20)
PARTS_BELOW = ("a/left/work", "a/in")
PARTS = (Part("/work", "a/left/work", True), Part("/inputs/x", "a/in", False))


def pod_of(pattern: Pattern, *names: str) -> dict[str, Any]:
    commands = dict.fromkeys(names, ("python",))
    job = job_manifest("step-1", IMAGE, commands, LIMITS, PARTS, pattern)
    assert (job["spec"]["backoffLimit"], job["spec"]["completions"]) == (0, 1), "it is never tried twice"
    pod: dict[str, Any] = job["spec"]["template"]["spec"]
    return pod


def test_every_container_is_held_by_the_restricted_profile_and_its_limits() -> None:
    """Lost: a pod that Pod Security lets in for other reasons has rights, or the whole machine."""
    pod = pod_of(Pattern("owner", 65534, 65534, 500), STEP, SIDE)
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"], pod["dnsPolicy"]) == (False, False, "None")
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"] == container["resources"]["requests"]
    assert pod["containers"][0]["resources"]["limits"] == {"cpu": "500m", "memory": str(memory_of(LIMITS))}


def test_inputs_are_read_only_to_the_step_and_open_to_what_brings_them() -> None:
    """Lost: a step changes its inputs, or has none."""
    pod = pod_of(Pattern("owner", 65534, 65534, 500), STEP, SIDE)
    mounts = [
        {each["mountPath"]: each["readOnly"] for each in container["volumeMounts"] if each["name"] in PARTS_BELOW}
        for container in pod["containers"]
    ]
    assert mounts == [{"/work": False, "/inputs/x": True}, {"/work": False, "/inputs/x": False}]


def test_with_a_volume_a_step_sees_its_own_parts_alone() -> None:
    """Lost: a step reads what other steps of the site read."""
    pod = pod_of(Pattern("owner", 65534, 65534, 500, claim="staging"), STEP)
    (step,) = pod["containers"]
    assert [each.get("subPath") for each in step["volumeMounts"] if each["name"] == "staging"] == [
        "a/left/work",
        "a/in",
    ]
