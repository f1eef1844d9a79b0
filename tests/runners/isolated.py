"""The walls around a step, tried from inside."""

from __future__ import annotations

import json
import secrets
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
import trio

from node.step import Job, Mount
from tests.runners.case import SCRIPT, Case, guarantee
from tests.runners.subject import SMALL, Subject


class Isolated(Case):
    """Network, root, host, rights."""

    @guarantee("shows its isolation")
    def test_the_probe_passes(self, subject: Subject) -> None:
        """Lost: a node that could run steps refuses them."""
        trio.run(subject.runner.probe)

    @guarantee("no network")
    def test_there_is_no_network(self, subject: Subject, work: Path) -> None:
        """Lost: data leaves by a socket."""
        script = """
            import json, socket, sys
            def tries(family, address):
                try:
                    with socket.socket(family, socket.SOCK_STREAM) as end:
                        end.settimeout(5)
                        end.connect(address)
                except OSError:
                    return False
                return True
            reached = [tries(socket.AF_INET, ("127.0.0.1", int(sys.argv[1])))]
            reached += [tries(socket.AF_UNIX, "\\0" + sys.argv[2])]
            seen = [line.split(":")[0].strip() for line in open("/proc/net/dev") if ":" in line]
            json.dump([*reached, seen], open("reached", "w"))
        """
        name = secrets.token_hex(8)
        with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as local:
            local.bind(f"\0{name}")
            local.listen()
            done = subject.python(work, SCRIPT(script), str(tcp.getsockname()[1]), name)
        assert done.code == 0, done.errors
        assert json.loads((work / "reached").read_text()) == [False, False, ["lo"]]

    @guarantee("a read-only root")
    def test_the_root_is_read_only_and_so_are_mounts_and_the_kernels_settings(
        self, subject: Subject, work: Path, place: Path
    ) -> None:
        """Lost: a step changes programs, inputs, or (under a root node) the host's kernel."""
        data = place / "data"
        data.mkdir(mode=0o777)
        data.chmod(0o777)
        (data / "table").write_text("1")
        (data / "table").chmod(0o666)
        script = """
            for path in /x /usr/x /etc/x /opt/x /opt/bin/sh /dev/x /proc/x /inputs/x /inputs/d/x /inputs/d/table; do
                (echo x > $path) && echo $path
            done
            for path in /proc/sys/kernel/core_pattern /proc/sys/vm/swappiness; do
                value=$(cat $path); (echo "$value" > $path) && echo $path
            done
            chmod 777 /inputs/d/table && echo chmod
            mount -t tmpfs none /usr && echo mount
            true
        """
        job = Job(("sh", "-c", script), work, (Mount(data, "/inputs/d"),), stdout="written", limits=SMALL)
        assert subject.run(job).code == 0
        assert (work / "written").read_text() == ""
        assert (data / "table").read_text() == "1"

    @guarantee("nothing of the host")
    def test_the_hosts_files_devices_and_processes_are_out_of_reach(
        self, subject: Subject, work: Path, place: Path
    ) -> None:
        """Lost: a step reads the node's key, or another hospital's data; or takes /dev/null from the host."""
        (place / "secret").write_text("s3cret")
        secret, marker = place / "secret", f"600.{secrets.randbits(64)}"
        script = f"""
            ln -s {secret} link
            cat {secret} link /proc/1/root{secret} /proc/self/root{secret} /proc/1/cwd{secret} /work/../{secret} > got
            ls /root/.ssh /home/* /boot /srv/* >> got
            for each in /proc/[0-9]*; do grep -c {marker} $each/cmdline; done | grep -v 0 >> got
            echo x > /dev/null && head -c 8 /dev/urandom > random && chmod 0 /dev/null
            true
        """
        before = Path("/dev/null").stat()
        with subprocess.Popen(["sleep", marker]) as neighbour:
            try:
                # The step's own shell has the mark in its arguments.
                assert subject.shell(work, script.replace(marker, f"600[.]{marker.partition('.')[2]}")).code == 0
            finally:
                neighbour.kill()
        after = Path("/dev/null").stat()
        assert (work / "got").read_text() == ""
        assert (after.st_mode, after.st_uid) == (before.st_mode, before.st_uid)
        assert (work / "random").stat().st_size == 8

    RIGHTS = """
        import ctypes, json, os
        status = dict(line.split(":", 1) for line in open("/proc/self/status"))
        json.dump({
            "ids": [os.getuid(), os.getgid(), os.geteuid()],
            "groups": os.getgroups(),
            "capabilities": sum(int(status[key], 16) for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")),
            "no_new_privileges": int(status["NoNewPrivs"]),
            "filtered": int(status["Seccomp"]),
            "divided": [ctypes.CDLL(None).unshare(flag) == 0 for flag in (0x10000000, 0x00020000, 0x40000000)],
            "processes": len([name for name in os.listdir("/proc") if name.isdigit()]),
            "files": sorted(os.listdir("/proc/self/fd")),
            "session": os.getsid(0) == os.getpid(),
        }, open("found", "w"))
    """

    @pytest.fixture
    def rights(self, subject: Subject, work: Path) -> dict[str, Any]:
        """What a step finds of its own rights."""
        done = subject.python(work, SCRIPT(self.RIGHTS))
        assert done.code == 0, done.errors
        found: dict[str, Any] = json.loads((work / "found").read_text())
        return found

    @guarantee("not root")
    def test_it_is_nobody(self, subject: Subject, rights: dict[str, Any]) -> None:
        """Lost: a step that gets out is root there."""
        assert rights["ids"] == [subject.user] * 3
        assert 0 not in rights["groups"] or subject.user == 0

    @guarantee("no capabilities")
    def test_it_has_no_capabilities(self, rights: dict[str, Any]) -> None:
        """Lost: a step starts its way out with rights that it should not have."""
        assert rights["capabilities"] == 0

    @guarantee("no new privileges")
    def test_it_can_gain_no_privileges(self, rights: dict[str, Any]) -> None:
        """Lost: a set-user-id program in an image makes a step root."""
        assert rights["no_new_privileges"] == 1

    @guarantee("system calls are filtered")
    def test_its_system_calls_are_filtered(self, rights: dict[str, Any]) -> None:
        """Lost: a flaw of the kernel in a call that no step needs."""
        assert rights["filtered"] == 2
        assert rights["divided"] == [False] * 3

    @guarantee("sees itself alone")
    def test_it_sees_its_own_processes_and_files_alone(self, rights: dict[str, Any]) -> None:
        """Lost: an open folder of the host among its files would be the host."""
        assert rights["processes"] <= 2
        assert rights["files"] == ["0", "1", "2", "3"]  # the streams, and the listing itself
