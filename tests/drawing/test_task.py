"""Keys of draws: what makes two draws different."""

import uuid
from dataclasses import replace

from support.draws import tasks

from blackbox_conformal.drawing.task import Task, idempotency_key, task_key, task_keys

IDENTITY = {"adapter": "x", "adapter_version": 1, "parameters": {"scale": 2}}


def test_every_draw_of_a_picture_has_its_own_key():
    keys = {task_key(IDENTITY, task) for task in tasks(2, 50)}
    assert len(keys) == 100
    assert all(key.startswith("sha256:") for key in keys)


def test_key_depends_on_content_seed_and_procedure_and_not_on_the_name():
    (task,) = tasks()
    key = task_key(IDENTITY, task)
    assert key == task_key(IDENTITY, replace(task, upload=replace(task.upload, name="other")))
    assert key != task_key(IDENTITY, replace(task, upload=replace(task.upload, digest="sha256:1")))
    assert key != task_key(IDENTITY, replace(task, seed=7))
    assert key != task_key({**IDENTITY, "adapter_version": 2}, task)


def test_idempotency_key_is_a_uuid_and_new_for_each_generation():
    (task,) = tasks()
    key = task_key(IDENTITY, task)
    first = idempotency_key(key)
    assert str(uuid.UUID(first)) == first
    assert first == idempotency_key(key, 0) != idempotency_key(key, 1)


def test_keys_of_many_tasks_are_those_of_each():
    work = [*tasks(2, 3), *(replace(task, seed=2**70 - index) for index, task in enumerate(tasks(1, 2)))]
    work.append(Task(replace(work[0].upload, digest='sha256:"\u00e9'), 0, None))
    assert task_keys(IDENTITY, work) == [task_key(IDENTITY, task) for task in work]
