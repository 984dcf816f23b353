"""Train one job: `python -m worker.training RUN_DIR`. Reads and writes only that directory; needs no network.

Exit status 0 means that RUN_DIR/outcome.json was written. That file says whether the run succeeded.
"""

import argparse
import contextlib
import faulthandler
import logging
import os
import signal
import sys
from pathlib import Path

from contracts.run.run_dir import RunDir, count_ranks
from processes.parent import die_with_parent
from worker.training.ranks.others import STACK_SIGNAL, Others, stack_path
from worker.training.rundir.heartbeat import start_heartbeat
from worker.training.rundir.stop import Stop


def main(arguments: list[str]) -> int:
    """Run the program and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m worker.training", description=__doc__)
    parser.add_argument("run_dir", type=Path, metavar="RUN_DIR", nargs="?")
    parser.add_argument(
        "--check-device",
        action="store_true",
        help="only check whether the device supports 4-bit computation",
    )
    parser.add_argument(
        "--rank", type=int, default=0, help="used by rank 0 to start the other ranks"
    )
    parser.add_argument("--parent-pid", type=int, help="exit when this parent process ends")
    options = parser.parse_args(arguments)
    if options.parent_pid is not None:
        die_with_parent(options.parent_pid)
    prepare_environment()
    if options.check_device:
        return check_device()
    if options.run_dir is None:
        parser.error("RUN_DIR is missing")
    run_dir = RunDir(options.run_dir.absolute())
    if not run_dir.path.is_dir():
        parser.error(f"{run_dir.path} is not a directory")
    if run_dir.records.exists():
        parser.error(f"{run_dir.path} has already been used for a run. Use a new run directory.")
    stop = Stop(run_dir.control)
    others, start_error = Others(), None
    if options.rank > 0:
        follow_rank_0(run_dir)
    else:
        stop.listen()
        start_heartbeat(run_dir.heartbeat)
        try:
            others = Others.start(run_dir, count_ranks(run_dir))
        except OSError as error:
            start_error = error

    # Import late: importing torch takes seconds, and the parent may die during that time.
    import worker.training.compute  # noqa: F401, PLC0415 - before transformers: this package imports bitsandbytes without the compiler
    from worker.training.run import Place, run_to_outcome  # noqa: PLC0415

    place = Place(os.environ.get("CUDA_VISIBLE_DEVICES"), options.rank, others, start_error)
    outcome = run_to_outcome(run_dir, stop, place)
    if options.rank > 0:
        while outcome.status == "succeeded":
            signal.pause()  # rank 0 kills this process; an earlier exit would count as a failure
        return 0
    others.close()
    with contextlib.suppress(OSError):  # a full disk: outcome.json reports it
        print(f"{outcome.status} after {outcome.step} steps", flush=True)
    return 0


def follow_rank_0(own: RunDir) -> None:
    """Let rank 0 handle stop requests, and allow it to request the stacks of this process's threads."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    stacks = stack_path(own).open("w")  # faulthandler keeps it open until this process ends
    faulthandler.register(STACK_SIGNAL, stacks, all_threads=True)


def check_device() -> int:
    """Print whether this machine's device supports 4-bit computation; return the exit status, 0 if it does."""
    from worker.training.compute.device import check_four_bit, choose_device  # noqa: PLC0415 - as above
    from worker.training.errors import TrainingError  # noqa: PLC0415 - as above

    try:
        device = choose_device("auto", os.environ.get("CUDA_VISIBLE_DEVICES"))
        check_four_bit(device)
    except TrainingError as error:
        print(error.failure.detail)
        return 1
    print(
        f"{device.name} supports 4-bit computation with {device.compute_dtype}: {device.compute_reason}"
    )
    return 0


def prepare_environment() -> None:
    """Keep libraries off the network, and stop idle threads from spinning. Call this before torch is imported."""
    os.environ.update(
        HF_HUB_OFFLINE="1",
        TRANSFORMERS_OFFLINE="1",
        HF_HUB_DISABLE_TELEMETRY="1",
        HF_HUB_DISABLE_PROGRESS_BARS="1",
        TRANSFORMERS_NO_ADVISORY_WARNINGS="1",
        TOKENIZERS_PARALLELISM="true",
    )
    if "PYTORCH_CUDA_ALLOC_CONF" not in os.environ:  # the older name of the same setting
        # Blocks that can grow leave fewer gaps between micro-batches of different sizes.
        os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")
    # Spinning threads made a tiny step 70 times slower on a machine with shared cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    logging.getLogger("bitsandbytes.backends.cpu.ops").addFilter(_is_relevant)


def _is_relevant(record: logging.LogRecord) -> bool:
    # On CPUs with AVX512-BF16, bitsandbytes recommends a kernel for a layout that the engine forbids (see model/load.py).
    return "gemm_4bit_forward" not in str(record.msg)


if __name__ == "__main__":
    faulthandler.enable()  # a crash in native code prints its stack to the output
    status = main(sys.argv[1:])
    # Everything is on disk. Exit now, because torch can still abort a finished run when it shuts down its threads.
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    os._exit(status)
