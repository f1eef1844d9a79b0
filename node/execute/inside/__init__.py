"""The supervisor of one step: the first process of its container, whatever made that.

It needs Python's standard library and nothing of ours, for it is put into images (``node/execute/tools.py``). What the
host and it tell each other lies in ``/gate``, a folder of the step's own user that both see:

``order.json``
    By the host, before the container starts: what to run (:class:`node.execute.inside.order.Order`), as one object:
    ``token`` (a secret word of this run), ``argv``, ``variables`` (all that the command gets; nothing of the
    container's), ``stdin`` (an absolute path inside, or null), ``stdout`` and ``stderr`` (a name below ``/work``, or
    null), ``limits`` (an object: ``wall_seconds``, ``cpu_seconds``, ``memory_bytes``, ``processes``,
    ``output_bytes``, ``output_files``), ``succeeds`` (the exit codes after which to list what was left),
    ``filter`` (a program of seccomp(2), in hexadecimal digits).
    The supervisor removes it before the command starts, which so never learns the token.
``open``
    By the host: the command may start now. Until then the supervisor waits, and looks every few milliseconds.
``stop``
    By the host, at any time: end all, and report nothing. The supervisor takes it away when nothing runs any more.
``errors``
    By the supervisor, when all processes of the step have ended: the end of standard error, at most 4 KiB.
``listing``
    Likewise, if the command succeeded: what lies in ``/work``, as :func:`node.execute.collect.read_listing` reads it.
``report.json``
    Likewise, and last: ``token``, ``ending`` («exited», «timed-out», «out-of-limits», «refused»), ``code``,
    ``reason``, ``wall_seconds``, ``cpu_seconds``, ``peak_bytes``. «refused» is an order that cannot be carried out as
    it is written; nothing has run.

The step is the same user and can write to ``/gate`` too. So whatever lies at these three names when it has ended is
moved aside, they are made anew, and a report without the token is nobody's. The host opens them without following
links and reads no more than it must. If there is no report, the supervisor was ended: by the host, by the kernel for
lack of memory, or by the step, which can harm it (prlimit(2)) but neither read nor steer it.
"""
