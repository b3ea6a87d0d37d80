"""What makes a plan one that can be carried out: pure rules, and the order of its tasks.

Keys are T1 to Tn; dependencies are known and without a cycle; every path is safe; every task has at least one command
that can show it is done and one criterion to judge it by.
"""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter

from bottega.agents.types import Plan, PlannedTask
from bottega.projects.paths import UnsafePath, safe_path

MAX_TASKS = 15
SIZES = ("small", "medium", "large")
_MAX_COMMANDS, _MAX_CRITERIA, _MAX_FILES, _MAX_COMMAND_CHARACTERS = 10, 10, 40, 500


def plan_faults(plan: Plan) -> tuple[str, ...]:
    """Return everything wrong with a plan, as sentences for the model that wrote it; nothing when it is sound."""
    if not 1 <= len(plan.tasks) <= MAX_TASKS:
        return (f"the plan has {len(plan.tasks)} tasks; it must have 1 to {MAX_TASKS}",)
    faults = [*_key_faults(plan.tasks), *(fault for task in plan.tasks for fault in _task_faults(task))]
    return tuple(faults or _dependency_faults(plan.tasks))


def in_order(tasks: Sequence[PlannedTask]) -> tuple[PlannedTask, ...]:
    """Return sound tasks so that each comes after what it depends on, otherwise in the order they were given."""
    ordered: list[PlannedTask] = []
    waiting = list(tasks)
    while waiting:
        done = {task.key for task in ordered}
        ready = next(task for task in waiting if done.issuperset(task.depends_on))
        ordered.append(ready)
        waiting.remove(ready)
    return tuple(ordered)


def _key_faults(tasks: Sequence[PlannedTask]) -> list[str]:
    twice = [key for key, count in Counter(task.key for task in tasks).items() if count > 1]
    if twice:
        return [f"{', '.join(twice)}: a key is used by more than one task"]
    expected = {f"T{n}" for n in range(1, len(tasks) + 1)}
    strange = [task.key for task in tasks if task.key not in expected]
    return [f"{', '.join(strange)}: keys must be T1 to T{len(tasks)}, each once"] if strange else []


def _dependency_faults(tasks: Sequence[PlannedTask]) -> list[str]:
    keys = {task.key for task in tasks}
    unknown = [
        f"{task.key} depends on {key}, which no task has"
        for task in tasks
        for key in task.depends_on
        if key not in keys
    ]
    if unknown:
        return unknown
    try:
        TopologicalSorter({task.key: task.depends_on for task in tasks}).prepare()
    except CycleError as error:
        cycle = " -> ".join(reversed(error.args[1]))
        return [f"tasks depend on each other in a circle: {cycle}; break it"]
    return []


def _task_faults(task: PlannedTask) -> list[str]:
    counts = (
        ("commands", len(task.commands), _MAX_COMMANDS),
        ("criteria", len(task.criteria), _MAX_CRITERIA),
        ("files", len(task.files), _MAX_FILES),
    )
    faults = [
        f"{task.key} has {count} {name}; it must have 1 to {most}"
        for name, count, most in counts
        if not 0 < count <= most
    ]
    faults.extend(f"{task.key}: {why}" for command in task.commands if (why := _command_fault(command)))
    for path in task.files:
        try:
            safe_path(path)
        except UnsafePath as fault:
            faults.append(f"{task.key}: {fault.message}")
    faults.extend(f"{task.key}: the path {path!r} has a space" for path in task.files if " " in path)
    if task.size not in SIZES:
        faults.append(f"{task.key}: size must be small, medium or large")
    return faults


def _command_fault(command: str) -> str | None:
    if not command.strip():
        return "a command is empty"
    if len(command) > _MAX_COMMAND_CHARACTERS:
        return f"a command is longer than {_MAX_COMMAND_CHARACTERS} characters; put such a check into a test file"
    if any(unicodedata.category(character) in {"Cc", "Cf", "Cs"} for character in command):
        return f"the command {command[:60]!r} has line breaks or invisible characters; one line, one command"
    return None
