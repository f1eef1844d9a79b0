"""Planning: values of its own (``problem``), what solves them, and ``make``, which makes a problem of a workflow."""

from workflow.plan.make import Members, Plan, Planned, check_limits, make_plan

__all__ = ["Members", "Plan", "Planned", "check_limits", "make_plan"]
