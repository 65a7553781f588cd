"""One Python peer: takes lines `noop N` and `process N`, answers each with a line of JSON; ends with its input."""

import json
import subprocess
import sys
import time

TASKS_AT_ONCE = 2


def noop(number):
    return number


def process(number):
    return number if subprocess.run(["/bin/true"], check=True).returncode == 0 else None


WORK = {"noop": noop, "process": process}


def ray_peer(directory):
    import ray

    ray.init(
        num_cpus=TASKS_AT_ONCE,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        _temp_dir=directory,
        _node_ip_address="127.0.0.1",
    )
    remote = {name: ray.remote(work) for name, work in WORK.items()}

    def run(name, count):
        return ray.get([remote[name].remote(number) for number in range(count)])

    return run, ray.shutdown


def dask_peer(directory):
    from dask.distributed import Client, LocalCluster

    cluster = LocalCluster(
        n_workers=TASKS_AT_ONCE,
        threads_per_worker=1,
        dashboard_address=None,
        host="127.0.0.1",
        local_directory=directory,
        silence_logs=50,
    )
    client = Client(cluster)

    def run(name, count):
        return client.gather(client.map(WORK[name], range(count), pure=False))

    def close():
        client.close()
        cluster.close()

    return run, close


def parsl_peer(directory):
    import parsl
    from parsl.config import Config
    from parsl.executors import HighThroughputExecutor
    from parsl.providers import LocalProvider

    executor = HighThroughputExecutor(
        label="local",
        address="127.0.0.1",
        max_workers_per_node=TASKS_AT_ONCE,
        cores_per_worker=0.5,
        provider=LocalProvider(init_blocks=1, max_blocks=1),
    )
    parsl.load(Config(executors=[executor], run_dir=directory, usage_tracking=0, initialize_logging=False))
    apps = {name: parsl.python_app(work) for name, work in WORK.items()}

    # It pickles functions of this file by value only when they name their modules themselves.
    @parsl.python_app
    def apart(number):
        import subprocess

        subprocess.run(["/bin/true"], check=True)
        return number

    apps["process"] = apart

    def run(name, count):
        return [future.result() for future in [apps[name](number) for number in range(count)]]

    return run, parsl.dfk().cleanup


def main():
    name, directory = sys.argv[1:]
    run, close = {"ray": ray_peer, "dask": dask_peer, "parsl": parsl_peer}[name](directory)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        work, count = line.split()
        count = int(count)
        start = time.monotonic()
        results = run(work, count)
        elapsed_ms = (time.monotonic() - start) * 1000
        verified = sorted(results) == list(range(count))
        print(json.dumps({"elapsed_ms": elapsed_ms, "verified": verified}), flush=True)
    close()


if __name__ == "__main__":
    main()
