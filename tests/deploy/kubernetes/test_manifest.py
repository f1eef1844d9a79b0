"""What is put into a cluster, as it is read from the files that an operator reads too."""

from __future__ import annotations

import pytest
from ruamel.yaml import YAML

from catalog.error import BadInput
from deploy.kubernetes.manifest import OWNER, Room, document, manifests


@pytest.mark.parametrize("kind", ["kubernetes", "argo"])
def test_all_of_it_lies_in_the_namespace_and_has_our_mark(kind: str) -> None:
    """Lost: something of ours in another namespace, which nobody takes away."""
    made = manifests(kind, Room("place"))
    assert made[0].path == "/api/v1/namespaces/place"
    for each in made[1:]:
        assert "/namespaces/place/" in each.path
        assert OWNER.items() <= each.value["metadata"]["labels"].items()
        assert all(subject["namespace"] == "place" for subject in each.value.get("subjects", ()))


@pytest.mark.parametrize("kind", ["kubernetes", "argo"])
def test_no_right_is_wider_than_it_is_named(kind: str) -> None:
    """Lost: one star in a role, and the node's token reads every secret."""
    for each in manifests(kind, Room()):
        assert each.kind not in ("ClusterRole", "ClusterRoleBinding")
        for rule in each.value.get("rules", ()):
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
            assert not {"secrets", "pods/attach", "pods/portforward", "serviceaccounts/token"} & {*rule["resources"]}


def test_what_is_shown_is_what_is_applied() -> None:
    """Lost: an operator reads one thing and gets another."""
    made = manifests("argo", Room("place", cpus=3, gib=5))
    assert list(YAML(typ="safe", pure=True).load_all(document(made))) == [each.value for each in made]
    (quota,) = [each.value["spec"]["hard"] for each in made if each.kind == "ResourceQuota"]
    assert (quota["limits.cpu"], quota["limits.memory"]) == ("3", "5Gi")


@pytest.mark.parametrize("name", ["", "Upper", "a/b", "-a", "a" * 64, "a.b"])
def test_a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    """Lost: a path in the API that was not meant."""
    with pytest.raises(BadInput, match="no name of a namespace"):
        Room(name)
