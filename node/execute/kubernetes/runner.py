"""The Kubernetes runner: each step a Job of one pod, in a namespace that «comity site deploy» made for it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar, TypeVarTuple

import trio

from catalog.error import ComityError, Denied, Unreachable, shown
from node.clustersettings import ClusterSettings
from node.execute.account import NOBODY, is_separate
from node.execute.container import Gate
from node.execute.inside.verdict import KILLED
from node.execute.kubernetes.api import QUOTA, Api, connect
from node.execute.kubernetes.environments import Environments
from node.execute.kubernetes.jobs import Jobs, Submission
from node.execute.kubernetes.manifest import STEP, Image, Pattern, job_manifest
from node.execute.kubernetes.pod import Pod
from node.execute.kubernetes.pods import Pods
from node.execute.kubernetes.way import Beside, Volume, Way
from node.step import AT_ONCE, Ending, Exit, Job, Turn
