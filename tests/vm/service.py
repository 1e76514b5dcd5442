#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The service of the machine that is booted three times: python3 service.py BOOT.

At the first boot it goes on making calls that it has not made before; at the second it makes one more; at the third
it does what its profile does not allow.
"""

import itertools
import os
import sys
import time

NEW = (os.getppid, os.getpgrp, lambda: os.getsid(0), lambda: os.getpriority(0, 0), lambda: os.umask(0o22), os.times,
       lambda: os.sched_getaffinity(0), os.getloadavg, lambda: os.sched_getscheduler(0), os.pipe,
       lambda: os.sched_get_priority_max(0), lambda: os.sched_get_priority_min(0), lambda: os.memfd_create("m"),
       lambda: os.chdir("/"), lambda: os.nice(0), lambda: os.symlink("/", "/run/link"), lambda: os.mkdir("/run/folder"))


def main(boot: int) -> None:
    told = ""
    if boot == 2:
        os.getresuid()
    if boot == 3:
        try:
            os.sched_rr_get_interval(0)
        except OSError as error:
            told = f"errno: {error.errno}\n"
    with open("/run/service.new", "w", encoding="ascii") as file, open("/proc/self/status", encoding="ascii") as status:
        file.write(status.read() + told)
    os.rename("/run/service.new", "/run/service.ready")
    for number in itertools.count():
        if boot == 1 and number < len(NEW):
            NEW[number]()
        time.sleep(0.3)


if __name__ == "__main__":
    main(int(sys.argv[1]))
