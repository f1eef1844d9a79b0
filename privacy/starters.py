"""Policies to start from: copy one, change it, publish it. Neither names a site, so both serve anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

HOSPITAL: Final = """\
// A hospital whose data stay at home: approved computations come to them, and only endorsed statistics or
// models leave. Everything that no rule permits is denied.

@id("members-see")
permit (principal, action == Action::"see", resource)
when { resource is Dataset || context.reader };

@id("readers-fetch")
permit (principal, action == Action::"fetch", resource)
when { context.reader && context.fresh };

@id("granted-compute")
permit (principal, action == Action::"compute", resource)
when { context.granted && context.purposeMatches && context.fresh };

@id("own-results-compute")
permit (principal, action == Action::"compute", resource is Value)
when { context.reader && context.purposeMatches && context.fresh && principal.site == context.here };

// Beside this, what a grant let in leaves only while a grant stands that covers release.
@id("endorsed-release")
permit (principal, action == Action::"release", resource)
when { context.endorsed && ["statistics", "model"].contains(resource.outputType) };

// A purpose that this hospital never serves, whatever a grant says (DUO:0000011, origins or ancestry).
@id("no-ancestry-research")
forbid (principal, action in [Action::"fetch", Action::"compute", Action::"release"], resource)
when { context.purpose == "DUO:0000011" };

// Auditors and stewards of every member see who accessed what here, in the whole log. Without this rule those of
// the data's owner see what concerns it, and this site's own see all.
@id("auditors-see-access")
permit (principal, action == Action::"see", resource is AuditTrail)
when { principal.roles.contains("auditor") || principal.roles.contains("steward") || context.granted };

// Whoever is refused is told which rule refused. Name single rules to show only those:
//     resource == Rule::"no-ancestry-research"
@id("rules-are-shown")
permit (principal, action == Action::"see", resource is Rule);
"""
"""For a site with patients' data: compute by grant and purpose, release of endorsed statistics and models."""

INSTITUTE: Final = """\
// A research institute: its own researchers work on what others released to it, and pooled results leave
// once no owner but the institute has a word in them, or when its steward endorsed the block.

@id("members-see")
permit (principal, action == Action::"see", resource)
when { resource is Dataset || context.reader };

@id("readers-fetch")
permit (principal, action == Action::"fetch", resource)
when { context.reader && context.fresh };

@id("own-researchers-compute")
permit (principal, action == Action::"compute", resource)
when {
  context.reader && context.fresh && principal.site == context.here && principal.roles.contains("researcher")
};

@id("granted-compute")
permit (principal, action == Action::"compute", resource is Dataset)
when { context.granted && context.purposeMatches && context.fresh };

@id("own-researchers-release")
permit (principal, action == Action::"release", resource)
when { principal.site == context.here && [context.here].containsAll(resource.owners) };

@id("endorsed-release")
permit (principal, action == Action::"release", resource)
when { context.endorsed && ["statistics", "model"].contains(resource.outputType) };

// Auditors and stewards of every member see who accessed what here, in the whole log. Without this rule those of
// the data's owner see what concerns it, and this site's own see all.
@id("auditors-see-access")
permit (principal, action == Action::"see", resource is AuditTrail)
when { principal.roles.contains("auditor") || principal.roles.contains("steward") || context.granted };

@id("rules-are-shown")
permit (principal, action == Action::"see", resource is Rule);
"""
"""For a site that pools what others released to it."""

STARTERS: Final[Mapping[str, str]] = {"hospital": HOSPITAL, "institute": INSTITUTE}
"""The starter policies by name."""
