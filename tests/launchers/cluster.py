"""A real Slurm of two nodes on this machine: munged, MariaDB, slurmdbd, slurmctld and two slurmd.

Debian's packages are enough: slurm-wlm slurmdbd munge mariadb-server. Nothing of theirs has to run
or be configured: keys, sockets, data and ports are this cluster's own, and so is the user.
"""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

PROGRAMS = ("sbatch", "slurmctld", "slurmd", "slurmdbd", "munged", "mariadbd", "mariadb-install-db")
USER = pwd.getpwuid(os.getuid()).pw_name
NODES = ("one", "two")
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
SECONDS = 300.0  # longer than anything takes on a machine with much else to do


def missing_programs() -> list[str]:
    """What is not installed."""
    return [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]


def free_ports(n: int) -> list[int]:
    """Ports of this machine that nobody listens to now."""
    with ExitStack() as open_ones:
        sockets = [open_ones.enter_context(socket.socket()) for _ in range(n)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def wait_for(what: Callable[[], object], words: str, seconds: float = SECONDS) -> None:
    """Return when ``what`` is true.

    Raises:
        TimeoutError: it does not come to be.
    """
    until = time.monotonic() + seconds
    while not what():
        if time.monotonic() > until:
            raise TimeoutError(f"after {seconds:.0f} s still not: {words}")
        time.sleep(0.1)


class Cluster:
    """Started by ``with``; its `environment` leads Slurm's commands to it.

    Nodes have one CPU and two GPUs by name. The partition ``main`` is pre-empted by ``urgent`` and
    has 30 s to save then; the quality of service ``few`` takes two tasks of a user at a time; an
    array has three tasks at most.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: dict[str, subprocess.Popen] = {}
        self.environment = {**os.environ, "PATH": PATH, "SLURM_CONF": str(folder / "slurm.conf")}

    def __enter__(self) -> "Cluster":
        try:
            self.configure()
            self.start_munge()
            self.start_database()
            self.start("slurmdbd", "slurmdbd", "-D")
            wait_for(lambda: self.answers("sacctmgr", "-n", "list", "cluster"), "slurmdbd answers")
            self.account()
            self.start("slurmctld", "slurmctld", "-D", "-f", str(self.folder / "slurm.conf"))
            for node in NODES:
                self.start_node(node)
            wait_for(lambda: self.said("sinfo", "-h", "-o", "%T").split() == ["idle"], "idle nodes")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.said("scancel", "--signal=KILL", "--state=RUNNING")
        self.said("scancel", f"--user={os.getuid()}")
        for name in reversed(self.processes):
            process = self.processes[name]
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def start(self, name: str, *command: str) -> None:
        """Start one of its programs."""
        with (self.folder / f"{name}.log").open("a") as output:
            self.processes[name] = subprocess.Popen(
                command, stdout=output, stderr=output, env=self.environment, cwd=self.folder
            )

    def said(self, *command: str) -> str:
        """What a command prints."""
        done = subprocess.run(
            command, capture_output=True, text=True, env=self.environment, check=False
        )
        return done.stdout.strip()

    def answers(self, *command: str) -> bool:
        """Whether a command ends well."""
        done = subprocess.run(command, capture_output=True, env=self.environment, check=False)
        return done.returncode == 0

    def configure(self) -> None:
        """Write the configurations."""
        user, folder = USER, self.folder
        self.database_port, dbd, ctld, *nodes = free_ports(3 + len(NODES))
        munge = f"{folder}/munge.socket"
        for name in ("state", "data", *(f"spool-{node}" for node in NODES)):
            (folder / name).mkdir()
        password = secrets.token_hex(16)
        (folder / "password").write_text(password)
        dbd_conf = folder / "slurmdbd.conf"
        dbd_conf.write_text(
            f"""AuthType=auth/munge
AuthInfo=socket={munge}
DbdHost=localhost
DbdPort={dbd}
SlurmUser={user}
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={self.database_port}
StorageUser=slurm
StoragePass={password}
"""
        )
        dbd_conf.chmod(0o600)
        # A credential's life is how long Slurm holds back a job that it queues again.
        (folder / "slurm.conf").write_text(
            f"""ClusterName=ctta
SlurmctldHost=localhost
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={munge},cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldPort={ctld}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=bf_interval=2
SchedulerType=sched/backfill
MpiDefault=none
ReturnToService=2
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePort={dbd}
AccountingStoragePass={munge}
AccountingStorageEnforce=limits,qos
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmdParameters=config_overrides
MaxArraySize=3
KillWait=10
GresTypes=gpu
"""
            + "".join(
                f"NodeName={node} NodeAddr=127.0.0.1 Port={port} CPUs=1 RealMemory=32000 "
                "Gres=gpu:2 State=UNKNOWN\n"
                for node, port in zip(NODES, nodes, strict=True)
            )
            + "PartitionName=main Nodes=ALL Default=YES PriorityTier=1 GraceTime=30\n"
            "PartitionName=urgent Nodes=ALL PriorityTier=2 PreemptMode=OFF\n"
        )
        (folder / "gres.conf").write_text("Name=gpu File=/dev/null\nName=gpu File=/dev/zero\n")

    def start_munge(self) -> None:
        """What authenticates Slurm's messages."""
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o600)
        places = [
            f"--{name}-file={self.folder}/munge.{name}" for name in ("key", "pid", "log", "seed")
        ]
        self.start(
            "munged",
            "munged",
            "--foreground",
            "--force",
            f"--socket={self.folder}/munge.socket",
            *places,
        )
        wait_for(lambda: (self.folder / "munge.socket").exists(), "munged listens")

    def start_database(self) -> None:
        """What slurmdbd keeps its accounts in."""
        data, user = self.folder / "data", f"--user={USER}"
        subprocess.run(
            [
                *("mariadb-install-db", "--no-defaults", user, f"--datadir={data}"),
                *("--auth-root-authentication-method=normal", "--skip-test-db"),
            ],
            check=True,
            capture_output=True,
            env=self.environment,
        )
        at = f"--socket={data}/socket"
        self.start(
            "mariadbd",
            *("mariadbd", "--no-defaults", user, f"--datadir={data}", at),
            *("--bind-address=127.0.0.1", f"--port={self.database_port}"),
            *("--innodb-buffer-pool-size=64M", "--innodb-lock-wait-timeout=900"),
        )
        client = ["mariadb", "--no-defaults", at, "--user=root", "-e"]
        wait_for(lambda: self.answers(*client, "select 1"), "MariaDB answers")
        password = (self.folder / "password").read_text()
        grants = "create database slurm_acct_db;" + "".join(
            f"create user slurm@'{host}' identified by '{password}';"
            f"grant all on slurm_acct_db.* to slurm@'{host}';"
            for host in ("127.0.0.1", "localhost")
        )
        assert self.answers(*client, grants)

    def account(self) -> None:
        """The user, and the quality of service with a limit."""
        # Slurm has made the account root, whose rights the others inherit, and the user root.
        for words in (
            ("add", "cluster", "ctta"),
            ("add", "qos", "few", "MaxSubmitJobsPerUser=2"),
            ("modify", "account", "root", "set", "qos=normal,few"),
            ("add", "account", "all", "cluster=ctta"),
            ("add", "user", USER, "account=all"),
        ):
            assert self.answers("sacctmgr", "-i", *words), words

    def start_node(self, node: str) -> None:
        """Start the daemon of a node."""
        self.start(node, "slurmd", "-D", "-N", node, "-f", str(self.folder / "slurm.conf"), "-c")

    def fail_node(self, node: str) -> None:
        """End a node as a power cut does, and tell Slurm what it would find out after minutes."""
        self.processes[node].kill()
        self.processes[node].wait()
        jobs = self.said("squeue", "-h", "-w", node, "-o", "%A").split()
        titles = tuple(f"slurmstepd: [{job}." for job in jobs)
        for of_slurm in (True, False):  # first who would tell of the others' end
            for pid in (int(path.name) for path in Path("/proc").glob("[0-9]*")):
                try:
                    title = Path(f"/proc/{pid}/cmdline").read_text()
                    environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
                except OSError:
                    continue
                is_run = f"SLURMD_NODENAME={node}".encode() in environment and (
                    f"SLURM_CONF={self.environment['SLURM_CONF']}".encode() in environment
                )
                if title.startswith(titles) if of_slurm else is_run:
                    os.kill(pid, signal.SIGKILL)
        self.said("scontrol", "update", f"nodename={node}", "state=down", "reason=power")
