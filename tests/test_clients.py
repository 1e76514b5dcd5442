# SPDX-License-Identifier: MIT
"""Commands that have a daemon or another machine do the work: only the client is recorded, which is said."""

import os
import pathlib
import re
import shlex
import unittest
from typing import Any

import spoc as module
from support import Case, require_root, spoc

TIER = "kernel"
CLIENTS = """
docker run debian true
/usr/bin/docker -H tcp://node run debian
docker --context far container exec web sh
docker compose -f app.yaml up
docker-compose up
nerdctl run debian
ctr --namespace k8s.io tasks start web
crictl exec 1 true
kubectl -n app exec web -- true
lxc launch images:debian web
virsh start web
systemctl --user restart nginx
service nginx start
machinectl shell web
systemd-run --user -u job true
supervisorctl restart web
sv up /service/web
ssh -p 22 node true
at now
dbus-send --system /a b.c
busctl call a b c d
podman-remote run debian
podman --remote run debian
podman --url=unix:///run/podman.sock run debian
sudo -u root docker run debian
sudo -uroot A=b systemctl start nginx
env -i A=b nice -n 5 timeout -k 5 10 ssh node
env - ssh node
sh -c "exec docker run debian"
bash -ec "ssh node"
k3s kubectl exec web
sudo -nb nginx
sudo --background nginx
"""
OTHERS = """
docker
docker --version
docker ps
docker logs run
docker image ls
docker stop run
kubectl get exec
systemctl status start
systemctl daemon-reload
service --status-all
systemd-run --scope true
ssh -V
ssh -Q cipher
at -l
busctl list
podman
podman ps
podman stop run
sudo -u docker nginx run
sudo -ubob nginx
sudo docker --version
env
env -
env docker=run true
timeout 5 nginx
sh -c "echo docker run"
sh docker run
sh -c
nginx run
"""


class Found(unittest.TestCase):
    """The table, and what may stand before."""

    TIER = "pure"

    def test_clients_are_told(self) -> None:
        for line in CLIENTS.strip().splitlines():
            said = module.find_client(shlex.split(line), {}, False)
            self.assertRegex(said, r"\Aonly [\w -]+ is recorded: .+; .+", line)

    def test_an_engine_that_starts_it_itself(self) -> None:
        for line in ("podman run debian", "sudo podman run -c 512 debian", "podman exec web sh",
                     "podman --log-level=info container run a"):
            self.assertRegex(module.find_client(shlex.split(line), {}, False), r"\Apodman and .* are recorded, too; "
                             r".* type before it starts: \S+ record --container NAME\Z")

    def test_others_are_not(self) -> None:
        for line in OTHERS.strip().splitlines():
            self.assertEqual(module.find_client(shlex.split(line), {}, False), "", line)

    def test_follow_has_sudo_in_the_background_recorded(self) -> None:
        self.assertEqual(module.find_client(["sudo", "-b", "nginx"], {}, True), "")
        self.assertIn("docker itself", module.find_client(["sudo", "-b", "docker", "run", "a"], {}, True))

    def test_a_service_of_podman(self) -> None:
        for name in ("CONTAINER_HOST", "CONTAINER_CONNECTION"):
            self.assertIn("podman-remote itself", module.find_client(["podman", "run", "a"], {name: "x"}, False))
        self.assertEqual(module.find_client([], {}, False), "")


class Said(Case):
    """What record says."""

    def setUp(self) -> None:
        super().setUp()
        require_root()
        self.docker = self.folder / "docker"
        self.docker.write_text("#!/bin/sh\n")
        self.docker.chmod(0o755)

    def said(self, *command: str, **run: Any) -> str:
        result = spoc("record", "-q", "-n", "-o", "/dev/null", *command, **run)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stderr

    def test_one_line_that_stays_when_quiet(self) -> None:
        said = self.said(str(self.docker), "run", "debian")
        self.assertRegex(said, r"\A\S+ Warning: only docker itself is recorded: [^\n]+\n\Z")
        self.assertEqual(self.said(str(self.docker), "--version"), "")
        self.assertEqual(len(re.findall("only docker", self.said("sh", "-c", f"{self.docker} run a"))), 1)

    def test_the_script_of_podman_docker(self) -> None:
        """Its containers are descendants, and so is what starts them."""
        pathlib.Path(self.docker).write_text('#!/bin/sh\n: exec /usr/bin/podman "$@"\n')
        self.assertRegex(self.said(str(self.docker), "run", "debian"), r"\A\S+ Warning: podman and [^\n]*\n\Z")
        environment = {**os.environ, "PATH": f"{self.folder}:/usr/bin:/bin"}
        self.assertIn("podman and", self.said("docker", "run", "debian", env=environment))


if __name__ == "__main__":
    unittest.main()
