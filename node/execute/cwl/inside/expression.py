"""The value of an ExpressionTool (CWL v1.2, ExpressionTool)."""

from __future__ import annotations

from typing import Any

from cwltool.command_line_tool import ExpressionJob
from cwltool.utils import normalizeFilesDirs


def value_of(job: ExpressionJob) -> Any:
    """What the expression of ``job`` yields for its inputs. cwltool's own ``run`` does not tell why there is nothing.

    Raises:
        WorkflowException: it yields nothing.
    """
    normalizeFilesDirs(job.builder.job)
    value = job.builder.do_eval(job.script)
    normalizeFilesDirs(value)
    return value
