"""Somebody who answers required actions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select


@contextmanager
def somebody_answers(
    answers: dict[str, list[str] | None], not_before: dict[str, Callable[[], bool]] | None = None
) -> Iterator[list[Any]]:
    """Beside this, as the page does: answers each question by its subject; None lets its time pass. What was asked.

    `not_before`: what must be true before the question of that subject is answered.
    """
    from airflow.models.hitl import HITLDetail
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.trigger import handle_event_submit
    from airflow.triggers.base import TriggerEvent
    from airflow.utils.session import create_session
    from sqlalchemy.orm import joinedload

    asked: list[Any] = []
    is_over = threading.Event()

    def answer() -> None:
        while not is_over.wait(
            0.2
        ):  # also a question that waits again: the run's own session may have undone the answer
            with create_session() as session:
                waiting = session.scalars(
                    select(TaskInstance)
                    .where(TaskInstance.state == "awaiting_input")
                    .options(joinedload(TaskInstance.hitl_detail))
                ).all()
                for task in waiting:
                    question: HITLDetail = task.hitl_detail
                    if not (not_before or {}).get(question.subject, lambda: True)():
                        continue
                    asked.append(question)
                    chosen = answers[question.subject]
                    question.chosen_options = chosen or question.defaults
                    question.params_input = {}
                    question.responded_at = datetime.now(UTC)
                    question.responded_by = {"id": "7", "name": "olga"} if chosen else None
                    session.flush()
                    event = TriggerEvent(question.as_resume_event_payload(timedout=chosen is None))
                    handle_event_submit(event, task_instance=task, session=session)

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        yield asked
    finally:
        is_over.set()
        thread.join()
