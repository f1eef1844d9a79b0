"""Planning: values of its own (``problem``), what solves them, and what makes them of a workflow (``draft``)."""

from workflow.plan.draft import Members
from workflow.plan.make import Limits, Plan, Planned, check_limits, make_plan

__all__ = ["Limits", "Members", "Plan", "Planned", "check_limits", "make_plan"]
