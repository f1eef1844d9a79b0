"""What ``site.toml`` lets a step use: what it says counts, and what is no number of any use is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from catalog.error import BadInput
from node.config import Folder, read_config, site_toml
from node.execute.allowed import limits_of
from node.step import Limits
from node.stepsettings import StepSettings, step_settings
from tests.node.test_config import config

WRITTEN = StepSettings(
    most_seconds=7200,
    most_cpu_seconds=14_400,
    most_mib_memory=8192,
    most_processes=256,
    most_mib_output=2048,
    at_once=3,
)


def test_a_site_that_says_nothing_gives_what_it_always_gave() -> None:
    """Lost: an update ends, for want of a setting, what ran the day before."""
    assert step_settings({}) == StepSettings()
    assert limits_of(StepSettings()) == Limits()


def test_what_is_written_is_read_and_counts(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.config.write_text(site_toml(config(steps=WRITTEN)))
    assert read_config(folder).steps == WRITTEN
    assert limits_of(WRITTEN) == Limits(
        wall_seconds=7200.0, cpu_seconds=14_400, memory_bytes=8 << 30, processes=256, output_bytes=2 << 30
    )


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("most_seconds = 0", "[steps] most_seconds must be a whole number of at least 1"),
        ("most_seconds = -1", "[steps] most_seconds"),
        ("most_seconds = 1.5", "[steps] most_seconds"),
        ("most_seconds = true", "[steps] most_seconds"),
        ('most_seconds = "1h"', "[steps] most_seconds"),
        ("most_cpu_seconds = 0", "[steps] most_cpu_seconds"),
        ("most_mib_memory = 63", "[steps] most_mib_memory must be a whole number of at least 64"),
        ("most_mib_memory = 9999999999999", "[steps] most_mib_memory"),
        ("most_processes = 7", "[steps] most_processes"),
        ("most_mib_output = 0", "[steps] most_mib_output"),
        ("at_once = -1", "[steps] at_once"),
        ("most_second = 1", "[steps] most_second is no setting; it has: at_once, most_cpu_seconds"),
    ],
)
def test_a_wrong_setting_is_named_with_its_file(line: str, named: str, tmp_path: Path) -> None:
    """Lost: a bound that its operator believes in, and that bounds nothing."""
    folder = Folder(tmp_path)
    text = site_toml(config())
    start, end = text.index("[steps]\n"), text.index("# Whether members can connect")
    folder.config.write_text(f"{text[:start]}[steps]\n{line}\n{text[end:]}")
    with pytest.raises(BadInput) as refusal:
        read_config(folder)
    assert str(refusal.value).startswith(f"{folder.config}: {named}")


def test_what_is_no_section_is_refused() -> None:
    with pytest.raises(BadInput, match=r"\[steps\] must be a section"):
        step_settings({"steps": 5})
