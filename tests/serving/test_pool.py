"""Workers: who gets which task, what happens when they die, are stopped or can't start, and that none stays behind."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from sagemaker_semseg.environment import worker_variables
from sagemaker_semseg.errors import AlgorithmError, UserError
from sagemaker_semseg.serving.http_errors import Overloaded
from sagemaker_semseg.serving.pool import WorkerPool

MASK = {"media_type": "image/png", "dtype": "float32"}
ARRAY = {"media_type": "application/x-npy", "dtype": "float32"}


def alive(process):
    """Whether there is such a process, one that has ended and not been waited for left aside."""
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def run(folder, stand_in):
    """Run a test's coroutine function with a pool; afterwards no worker is left."""

    def run(test, *, workers=1, queue=4, wait=True, **options):
        lines = []

        async def main():
            first = {"model": "a model", "options": {"folder": str(folder.path), **options}}
            pool = WorkerPool(
                first,
                workers=workers,
                queue=queue,
                variables=worker_variables(1),
                log=lines.append,
                command=stand_in,
            )
            pool.lines = lines
            supervising = asyncio.create_task(pool.supervise())
            try:
                if wait:
                    prepared = asyncio.create_task(pool.first_ready.wait())
                    await asyncio.wait({supervising, prepared}, return_when=asyncio.FIRST_COMPLETED)
                    prepared.cancel()
                await asyncio.wait_for(test(pool, supervising), 600)
            finally:
                await pool.close()
                with contextlib.suppress(asyncio.CancelledError, AlgorithmError, UserError):
                    await supervising

        asyncio.run(main())
        assert not [process for process in folder.events("started") if alive(process)]

    return run


async def until(condition, seconds=300):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


def test_an_answer(run, images):
    image = images.png()

    async def test(pool, supervising):
        assert pool.model["class_names"] == list("abcde")
        assert (pool.ready, pool.busy, pool.waiting) == (1, 0, 0)
        answer = await pool.run(MASK, [image[:50], image[50:]])
        assert (answer.status, answer.content_type) == (200, "image/png")
        with Image.open(io.BytesIO(b"".join(answer.body))) as mask:
            assert np.array_equal(np.asarray(mask), images.labels(image))
        assert set(answer.seconds) == {"queue", "decode", "inference", "encode"}
        assert all(seconds >= 0 for seconds in answer.seconds.values())

    run(test)


def test_a_large_reply_comes_whole(run, images):
    image = images.png(height=600, width=800)

    async def test(pool, supervising):
        answer = await pool.run(ARRAY, [image])
        probabilities = np.load(io.BytesIO(b"".join(answer.body)))
        assert probabilities.shape == (1, 5, 600, 800)
        assert np.array_equal(probabilities[0].argmax(0), images.labels(image))

    run(test)


def test_several_workers_work_at_once(run, images, folder):
    async def test(pool, supervising):
        await until(lambda: pool.ready == 3)
        running = [asyncio.create_task(pool.run(MASK, [images.blocks])) for _ in range(3)]
        await until(lambda: len(set(folder.events("begun"))) == 3)
        folder.release()
        assert [answer.status for answer in await asyncio.gather(*running)] == [200] * 3

    run(test, workers=3)


def test_the_queue_is_bounded_and_in_order(run, images, folder):
    async def test(pool, supervising):
        running = asyncio.create_task(pool.run(MASK, [images.blocks]))
        await until(lambda: pool.busy == 1)
        done = []

        async def wait_for_turn(number):
            await pool.run(MASK, [images.png()])
            done.append(number)

        waiting = [asyncio.create_task(wait_for_turn(number)) for number in range(4)]
        await until(lambda: pool.waiting == 4)
        assert pool.full
        with pytest.raises(Overloaded):
            await pool.run(MASK, [images.png()])
        folder.release()
        await asyncio.gather(running, *waiting)
        assert done == [0, 1, 2, 3]
        assert not pool.full

    run(test)


def test_without_a_queue_a_free_worker_still_works(run, images, folder):
    async def test(pool, supervising):
        running = asyncio.create_task(pool.run(MASK, [images.blocks]))
        await until(lambda: pool.busy == 1)
        with pytest.raises(Overloaded):
            await pool.run(MASK, [images.png()])
        folder.release()
        assert (await running).status == 200
        assert (await pool.run(MASK, [images.png()])).status == 200

    run(test, queue=0)


def test_a_cancelled_task_leaves_the_queue(run, images, folder):
    async def test(pool, supervising):
        running = asyncio.create_task(pool.run(MASK, [images.blocks]))
        await until(lambda: folder.events("begun"))
        waiting = asyncio.create_task(pool.run(MASK, [images.blocks]))
        await until(lambda: pool.waiting == 1)
        waiting.cancel()
        await until(lambda: pool.waiting == 0)
        folder.release()
        await running
        await pool.run(MASK, [images.png()])
        assert len(folder.events("begun")) == 1

    run(test)


def test_a_cancelled_task_is_interrupted(run, images, folder):
    async def test(pool, supervising):
        running = asyncio.create_task(pool.run(MASK, [images.blocks]))
        await until(lambda: folder.events("begun"))
        running.cancel()
        assert (await pool.run(MASK, [images.png()])).status == 200
        assert len(folder.events("cancelled")) == 1
        assert pool.restarts == 0

    run(test)


def test_a_worker_that_does_not_stop_is_killed(run, images, folder, monkeypatch):
    monkeypatch.setattr("sagemaker_semseg.serving.pool.CANCEL_SECONDS", 0.2)

    async def test(pool, supervising):
        running = asyncio.create_task(pool.run(MASK, [images.blocks]))
        (process,) = await asyncio.to_thread(folder.await_events, "begun")
        os.kill(process, signal.SIGSTOP)
        running.cancel()
        assert (await pool.run(MASK, [images.png()])).status == 200
        assert not alive(process)

    run(test)


def test_a_worker_that_dies_is_replaced_and_its_task_done_again(run, images):
    async def test(pool, supervising):
        answer = await pool.run(MASK, [images.dies_once])
        assert answer.status == 200
        assert pool.restarts == 1
        assert "SIGKILL" in pool.lines[0]

    run(test)


def test_a_task_that_kills_costs_two_workers_and_no_more(run, images, folder):
    async def test(pool, supervising):
        with pytest.raises(AlgorithmError, match="has died"):
            await pool.run(MASK, [images.dies])
        assert len(folder.events("died")) == 2
        assert (await pool.run(MASK, [images.png()])).status == 200
        assert not supervising.done()

    run(test)


def test_an_idle_worker_that_dies_is_replaced(run, images, folder):
    async def test(pool, supervising):
        (process,) = folder.events("started")
        os.kill(process, signal.SIGKILL)
        await until(lambda: pool.ready == 0)
        await until(lambda: pool.ready == 1)
        assert len(folder.events("started")) == 2
        assert (await pool.run(MASK, [images.png()])).status == 200

    run(test)


def test_bad_images_and_faults_are_answers(run, images, capfd):
    async def test(pool, supervising):
        for image, status in ((b"GIF89a", 400), (images.png()[:60], 400), (images.fails, 500), (b"", 400)):
            answer = await pool.run(MASK, [image])
            assert (answer.status, answer.content_type) == (status, "application/json")
            assert b"secret" not in b"".join(answer.body)
        assert (await pool.run(MASK, [images.takes_all_memory])).status >= 500
        assert pool.restarts == 0

    run(test)
    assert "RuntimeError: the secret" in capfd.readouterr().err


def test_a_model_that_can_not_be_used(run):
    async def test(pool, supervising):
        with pytest.raises(UserError) as caught:
            await supervising
        assert str(caught.value) == "the model is no good:\n  - model.onnx: is missing (export it)"
        assert pool.ready == 0

    run(test, start="refuse")


def test_workers_that_die_before_they_are_ready(run, folder):
    async def test(pool, supervising):
        with pytest.raises(AlgorithmError, match=r"3 workers in a row died before they were ready.*status 3"):
            await supervising
        assert len(folder.events("started")) == 3

    run(test, start="die")


def test_a_model_that_was_replaced_is_noticed(run, folder):
    async def test(pool, supervising):
        os.kill(folder.events("started")[0], signal.SIGKILL)
        with pytest.raises(UserError, match="replaced by another one"):
            await supervising

    run(test, start="differ")


def test_closing_answers_nobody_wrongly(run, images):
    async def test(pool, supervising):
        tasks = [asyncio.create_task(pool.run(MASK, [images.blocks])) for _ in range(3)]
        await until(lambda: pool.waiting == 2)
        await pool.close()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(outcome, Overloaded)
        with pytest.raises(Overloaded):
            await pool.run(MASK, [images.png()])

    run(test)


def test_workers_end_with_the_server(folder, stand_in):
    """However it ends: here it is killed, with one worker at work and one starting."""
    program = f"""
import asyncio, os
from sagemaker_semseg.serving.pool import WorkerPool
async def main():
    first = {{"model": "m", "options": {{"folder": {str(folder.path)!r}, "start": "wait"}}}}
    pool = WorkerPool(first, workers=2, queue=4, variables=dict(os.environ), log=print, command={stand_in!r})
    await pool.supervise()
asyncio.run(main())
"""
    server = subprocess.Popen([sys.executable, "-c", program])
    try:
        workers = folder.await_events("started", 2)
    finally:
        server.kill()
        server.wait()
    end = time.monotonic() + 300
    while any(map(alive, workers)):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_signals_to_all_processes_leave_the_workers_at_work(run, images, folder):
    async def test(pool, supervising):
        running = asyncio.create_task(pool.run(MASK, [images.blocks]))
        (process,) = await asyncio.to_thread(folder.await_events, "begun")
        os.kill(process, signal.SIGTERM)
        os.kill(process, signal.SIGINT)
        folder.release()
        assert (await running).status == 200
        assert os.getpgid(process) != os.getpgid(0)

    run(test)


def test_close_waits_for_a_worker_that_ends_already():
    """Two workers refuse a model: the second one is on its way out when the first one's error closes the pool."""
    ended = []

    class Worker:
        task = None

        async def terminate(self):
            await asyncio.sleep(0.05)
            ended.append(self)
            return "ended with status 0"

    async def close():
        pool = WorkerPool({}, workers=1, queue=1, variables={}, log=print)
        pool._supervisors = [asyncio.create_task(pool._terminate(Worker()))]
        await asyncio.sleep(0.01)
        await pool.close()
        assert len(ended) == 1

    asyncio.run(close())
