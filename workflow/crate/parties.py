"""Who and for what: the person, the sites, the project, its approvals, and the releases of results.

The project and what was decided about it are told as the Five Safes RO-Crate profile 0.4 tells them: a Project as the
root's ``sourceOrganization``, a sign-off for each approval, a disclosure check for each release.
"""

from __future__ import annotations

from typing import Final

from catalog.approve import ApproveFields
from catalog.entry import Entry
from catalog.origin import LogName, log_of, site_of
from catalog.project import ProjectFields
from workflow.argument import Data
from workflow.crate.entities import COMPLETED, Entities, Ref, Told, data_id, ref
from workflow.crate.layout import WORKFLOW, Shown, path_of, result_path
from workflow.crate.when import iso
from workflow.receipt import Output, Release

PROJECT: Final = "#project"
_CHECKS: Final = "https://w3id.org/shp#"


def add_parties(told: Told, entities: Entities) -> None:
    """Add the person, the sites that are named, and the project."""
    asked = told.submission
    sites = {asked.site, asked.project.site, *(order.site for order in told.bundle.orders.values())}
    sites |= {release.owner for _, output in told.outputs() for release in output.releases}
    sites |= {item["@id"] for item in _providers(entities)}
    for root in sorted(sites):
        entities.add(root, "Organization", name=told.name(root), identifier=root)
    key = told.index.site(asked.site).key(asked.person)
    entities.add(
        asked.person,
        "Person",
        name=key.name if key is not None else asked.person,
        identifier=asked.person,
        affiliation=ref(asked.site),
        memberOf=ref(PROJECT),
    )
    _add_project(told, entities)


def _providers(entities: Entities) -> list[Ref]:
    return [each["provider"] for each in entities.graph() if "provider" in each]


def _add_project(told: Told, entities: Entities) -> None:
    project_ref = told.submission.project
    project = told.index.site(project_ref.site).typed(ProjectFields, "project", project_ref.name)
    purpose = f"Its purpose is {project.purpose}; it ends at the latest at {iso(project.not_after)}" if project else ""
    entities.add(
        PROJECT,
        "Project",
        name=project_ref.name,
        description=purpose,
        identifier=project_ref.subject,
        parentOrganization=ref(project_ref.site),
    )
    terms = f"Data and results are used under the terms of the project «{project_ref.name}» alone"
    conditions = ", ".join(project.undertakings) if project is not None else ""
    entities.add(
        "#terms",
        "CreativeWork",
        name=f"Terms of the project «{project_ref.name}»",
        description=f"{terms}; its people undertake {conditions}" if conditions else terms,
    )


def assessments(told: Told, entities: Entities) -> list[Ref]:
    """Add the approvals of the project and the releases; what the root is to mention of them."""
    return [*_sign_offs(told, entities), *_disclosures(told, entities)]


def _sign_offs(told: Told, entities: Entities) -> list[Ref]:
    found = []
    for entry in told.index.entries("approve"):
        fields = entry.fields
        if isinstance(fields, ApproveFields) and fields.project == told.submission.project and not fields.withdrawn:
            site = told.name(entry.site)
            carried = next(each for each in told.bundle.shown if _is_at(each, entry))
            entities.add(entry.site, "Organization", name=site, identifier=entry.site)
            found.append(
                entities.add(
                    f"#sign-off/{entry.site}",
                    "AssessAction",
                    additionalType=ref(f"{_CHECKS}SignOff"),
                    name=f"Approval of the project by {site}: approved",
                    description=f"A steward of {site} approved the project's terms and its people",
                    endTime=iso(entry.body.at),
                    agent=ref(entry.site),
                    instrument=ref("#terms"),
                    object=[ref("./"), ref(WORKFLOW), ref(PROJECT)],
                    actionStatus=COMPLETED,
                    subjectOf=ref(carried.path),
                )
            )
    return found


def _is_at(shown: Shown, entry: Entry) -> bool:
    site = site_of(shown.log)
    return (site, shown.index) == (entry.site, entry.index) and log_of(shown.log, site) is LogName.CATALOG


def _disclosures(told: Told, entities: Entities) -> list[Ref]:
    found = []
    for cid, order in told.bundle.in_order():
        receipt = told.bundle.receipt_of(cid)
        for _, output in sorted(receipt.outputs.items()) if receipt is not None else ():
            for release in output.releases:
                about = _released(told, order.site, output)
                entity = _add_release(told, entities, release, about, iso(receipt.at) if receipt is not None else "")
                if receipt is not None:
                    entities.add(entity["@id"], "AssessAction", subjectOf=ref(path_of(receipt)))
                found.append(entity)
    return found


def _released(told: Told, site: str, output: Output) -> Ref:
    if output.cid is None or output.cid in told.bundle.results:
        return ref(result_path(output.cid) if output.cid is not None else f"urn:comity:{output.handle}")
    return ref(data_id(Data(site=site, cid=output.cid, name=output.name or "output")))


def _add_release(told: Told, entities: Entities, release: Release, about: Ref, at: str) -> Ref:
    owner = told.name(release.owner)
    policy = entities.add(
        f"#policy/{release.owner}/{release.policy}",
        "CreativeWork",
        name=f"Policy of {owner} at entry {release.policy} of its catalog",
    )
    return entities.add(
        f"#release/{release.owner}/{release.order}/{release.output}",
        "AssessAction",
        additionalType=ref(f"{_CHECKS}DisclosureCheck"),
        name=f"Release of «{release.output}» by {owner}: approved",
        description=release.report or f"{owner} lets more readers have it",
        endTime=at,
        agent=ref(release.owner),
        instrument=policy,
        object=[ref("./"), about],
        actionStatus=COMPLETED,
    )
