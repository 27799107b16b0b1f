"""What holds for the scheduler whatever happens, in whatever order: a random world drives it."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kwaflux_core.protocol.messages import Urgency
from kwaflux_server.scheduler.events import (
    Action,
    Assign,
    CancelJob,
    CancelTask,
    ClientJoined,
    ClientLeft,
    Event,
    Reject,
    Release,
    RestartWorker,
    Revoke,
    Task,
    TaskArrived,
    TaskFailed,
    TaskFinished,
    TaskStarted,
    Tick,
    WorkerJoined,
    WorkerLost,
)
from kwaflux_server.scheduler.policy import SchedulerLimits
from kwaflux_server.scheduler.scheduler import Scheduler

CLIENTS = ("ann", "bob", "cid")
WORKERS = ("v", "w")
RANKS: dict[Urgency, int] = {"interactive": 0, "sequence": 1, "batch": 2}
LIMITS = SchedulerLimits(client_requests=6, client_bytes=100, revoke_patience_s=30.0)

clients = st.sampled_from(CLIENTS)
workers = st.sampled_from(WORKERS)
urgencies: st.SearchStrategy[Urgency] = st.sampled_from(("interactive", "sequence", "batch"))
picks = st.integers(0, 1000)


@dataclass
class Seen:
    """What an onlooker knows of one task that is not released."""

    task: Task
    worker: str = ""
    is_revoked: bool = False
    was_assigned: bool = False
    breaks: int = 0
    restarts: int = 0


@dataclass
class Crew:
    """What an onlooker knows of one worker."""

    slots: int
    is_restarting: bool = False


@dataclass
class World:
    """An onlooker who writes down what the scheduler says, and objects."""

    scheduler: Scheduler = field(default_factory=lambda: Scheduler(LIMITS))
    now_s: float = 0.0
    clients: set[str] = field(default_factory=set)
    crews: dict[str, Crew] = field(default_factory=dict)
    live: dict[int, Seen] = field(default_factory=dict)
    ended: Counter[int] = field(default_factory=Counter)
    arrived: int = 0
    passed: dict[tuple[str, Urgency], Counter[str]] = field(
        default_factory=lambda: defaultdict(Counter)
    )
    last_of_job: dict[tuple[str, str], int] = field(default_factory=dict)

    def say(self, event: Event) -> None:
        for action in self.scheduler.handle(event, now_s=self.now_s):
            self.note(action, event)

    def note(self, action: Action, event: Event) -> None:
        match action:
            case Assign(task_id, worker):
                self.assigned(task_id, worker)
            case Revoke(task_id, worker):
                seen = self.live[task_id]
                assert seen.worker == worker
                assert not seen.is_revoked
                seen.is_revoked = True
            case Reject(task_id):
                assert isinstance(event, TaskArrived)
                assert event.task.task_id == task_id
                self.end(task_id)
            case Release(task_id):
                self.released(action, event)
                self.end(task_id)
            case RestartWorker(worker):
                assert not self.crews[worker].is_restarting
                assert any(seen.is_revoked for seen in self.held(worker))
                self.crews[worker].is_restarting = True

    def assigned(self, task_id: int, worker: str) -> None:
        seen = self.live[task_id]
        task = seen.task
        assert not seen.worker
        assert not seen.is_revoked
        assert seen.breaks <= 1
        assert not self.crews[worker].is_restarting
        assert task.client in self.clients
        waiting = [each.task for each in self.live.values() if not each.worker]
        assert all(RANKS[task.urgency] <= RANKS[other.urgency] for other in waiting)
        self.check_fairness(seen)
        if task.job and not seen.was_assigned:
            key = (task.client, task.job)
            assert self.last_of_job.get(key, -1) < task_id
            self.last_of_job[key] = task_id
        seen.worker, seen.was_assigned = worker, True

    def check_fairness(self, served: Seen) -> None:
        """A client that waits sees each other client served at most once before itself."""
        urgency, client = served.task.urgency, served.task.client
        waiting = {
            each.task.client
            for each in self.live.values()
            if not each.worker and not each.breaks and each.task.urgency == urgency
        }
        self.passed[client, urgency].clear()
        for other in CLIENTS:
            if other not in waiting:
                self.passed[other, urgency].clear()
            elif other != client and not served.breaks:
                self.passed[other, urgency][client] += 1
                assert self.passed[other, urgency][client] <= 1

    def released(self, release: Release, event: Event) -> None:
        seen = self.live[release.task_id]
        speaks_of_it = isinstance(event, (TaskFinished, TaskFailed)) or (
            isinstance(event, WorkerLost) and event.worker == seen.worker
        )
        assert speaks_of_it == bool(seen.worker), "a held task ends with a word of its worker"
        if release.outcome == "done":
            assert isinstance(event, TaskFinished)
        if release.outcome == "failed" and isinstance(event, WorkerLost):
            assert seen.breaks == 2
        assert (release.error is not None) == (
            release.outcome in ("cancelled", "superseded")
            or (release.outcome == "failed" and isinstance(event, WorkerLost))
        )

    def end(self, task_id: int) -> None:
        del self.live[task_id]
        self.ended[task_id] += 1
        assert self.ended[task_id] == 1

    def held(self, worker: str) -> list[Seen]:
        return [seen for seen in self.live.values() if seen.worker == worker]

    # --- what happens ---

    def arrive(self, task: Task) -> None:
        self.arrived += 1
        self.live[task.task_id] = Seen(task)
        self.say(TaskArrived(task))

    def leave(self, client: str) -> None:
        self.clients.discard(client)
        for passed in self.passed.values():
            passed.pop(client, None)
        self.say(ClientLeft(client))

    def lose(self, worker: str) -> None:
        crew = self.crews.pop(worker)
        broken = self.held(worker)
        for seen in broken:
            seen.breaks += not crew.is_restarting
        actions = self.scheduler.handle(WorkerLost(worker, "signal 9"), now_s=self.now_s)
        ends = {each.task_id for each in actions if isinstance(each, Release)}
        for seen in broken:
            if seen.task.task_id not in ends:
                assert not seen.is_revoked
                seen.worker = ""
        for action in actions:
            self.note(action, WorkerLost(worker, "signal 9"))

    def break_under(self, seen: Seen) -> None:
        event = TaskFailed(seen.task.task_id, seen.worker, "worker", True)
        seen.breaks += not self.crews[seen.worker].is_restarting
        actions = self.scheduler.handle(event, now_s=self.now_s)
        if Release not in {type(each) for each in actions}:
            seen.worker = ""
        for action in actions:
            self.note(action, event)

    def answer(self, seen: Seen) -> None:
        if seen.is_revoked:
            self.say(TaskFailed(seen.task.task_id, seen.worker, "cancelled", False))
        else:
            self.say(TaskFinished(seen.task.task_id, seen.worker))


class SchedulerMachine(RuleBasedStateMachine):
    """Let clients and workers do as they like."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    @initialize(slots=st.integers(1, 3))
    def open(self, slots: int) -> None:
        for client in CLIENTS:
            self.client_joins(client)
        self.worker_joins(WORKERS[0], slots)

    @rule(client=clients)
    def client_joins(self, client: str) -> None:
        self.world.clients.add(client)
        self.world.say(ClientJoined(client))

    @rule(client=clients)
    def client_leaves(self, client: str) -> None:
        self.world.leave(client)

    @rule(client=clients, node=st.sampled_from(("", "a", "b")), bytes_held=st.integers(0, 60))
    def look(self, client: str, node: str, bytes_held: int) -> None:
        number = self.world.arrived
        self.world.arrive(
            Task(number, client, number, "interactive", node=node, bytes_held=bytes_held)
        )

    @rule(client=clients, urgency=urgencies, count=st.integers(1, 4), flow=st.sampled_from("xy"))
    def frames(self, client: str, urgency: Urgency, count: int, flow: str) -> None:
        for _ in range(count):
            number = self.world.arrived
            job = f"{client} {urgency}"
            self.world.arrive(Task(number, client, 9999, urgency, job=job, flow=flow))

    @rule(client=clients, pick=picks)
    def cancel(self, client: str, pick: int) -> None:
        self.world.say(CancelTask(client, pick % (self.world.arrived + 1)))

    @rule(client=clients, urgency=urgencies)
    def cancel_job(self, client: str, urgency: Urgency) -> None:
        self.world.say(CancelJob(client, f"{client} {urgency}"))

    @rule(worker=workers, slots=st.integers(1, 3))
    def worker_joins(self, worker: str, slots: int) -> None:
        self.world.crews.setdefault(worker, Crew(slots))
        self.world.say(WorkerJoined(worker, slots))

    @precondition(lambda self: self.world.crews)
    @rule(pick=picks)
    def worker_is_lost(self, pick: int) -> None:
        self.world.lose(sorted(self.world.crews)[pick % len(self.world.crews)])

    def some_held(self, pick: int) -> Seen:
        held = [seen for seen in self.world.live.values() if seen.worker]
        return held[pick % len(held)]

    def is_any_held(self) -> bool:
        return any(seen.worker for seen in self.world.live.values())

    @precondition(is_any_held)
    @rule(pick=picks)
    def task_starts(self, pick: int) -> None:
        seen = self.some_held(pick)
        self.world.say(TaskStarted(seen.task.task_id, seen.worker))

    @precondition(is_any_held)
    @rule(pick=picks)
    def worker_answers(self, pick: int) -> None:
        self.world.answer(self.some_held(pick))

    @precondition(is_any_held)
    @rule(pick=picks)
    def worker_finishes_even_what_was_revoked(self, pick: int) -> None:
        seen = self.some_held(pick)
        self.world.say(TaskFinished(seen.task.task_id, seen.worker))

    @precondition(is_any_held)
    @rule(pick=picks, code=st.sampled_from(("image", "out_of_memory")))
    def task_fails(self, pick: int, code: str) -> None:
        seen = self.some_held(pick)
        self.world.say(TaskFailed(seen.task.task_id, seen.worker, code, True))

    @precondition(is_any_held)
    @rule(pick=picks)
    def worker_breaks_under_a_task(self, pick: int) -> None:
        self.world.break_under(self.some_held(pick))

    @rule(pick=picks, worker=workers, is_good=st.booleans())
    def somebody_talks_of_what_is_over(self, pick: int, worker: str, is_good: bool) -> None:
        task_id = pick % (self.world.arrived + 1)
        seen = self.world.live.get(task_id)
        if seen is not None and seen.worker == worker:
            return
        before = self.world.scheduler.snapshot()
        late: Event = TaskFinished(task_id, worker)
        if not is_good:
            late = TaskFailed(task_id, worker, "worker", True)
        assert self.world.scheduler.handle(late, now_s=self.world.now_s) == []
        assert self.world.scheduler.snapshot() == before

    @rule(seconds=st.floats(0.0, 40.0))
    def time_passes(self, seconds: float) -> None:
        self.world.now_s += seconds
        self.world.say(Tick())

    # --- what holds after every event ---

    @invariant()
    def no_worker_holds_more_than_its_slots_and_one_interactive(self) -> None:
        for name, crew in self.world.crews.items():
            held = self.world.held(name)
            frames = [seen for seen in held if seen.task.urgency != "interactive"]
            assert len(frames) <= crew.slots
            assert len(held) <= crew.slots + 1

    @invariant()
    def no_two_suspects_share_a_worker(self) -> None:
        for name in self.world.crews:
            held = self.world.held(name)
            suspects = [seen for seen in held if seen.breaks]
            assert len(suspects) <= 1
            if suspects and suspects[0].task.urgency != "interactive":
                assert all(seen.task.urgency == "interactive" for seen in held if not seen.breaks)

    @invariant()
    def no_worker_idles_while_a_task_waits(self) -> None:
        idle = [
            name
            for name, crew in self.world.crews.items()
            if not crew.is_restarting and not self.world.held(name)
        ]
        assert not idle or all(seen.worker for seen in self.world.live.values())

    @invariant()
    def a_node_has_one_live_look_at_most(self) -> None:
        nodes = Counter(
            (seen.task.client, seen.task.node)
            for seen in self.world.live.values()
            if seen.task.node and not seen.is_revoked
        )
        assert all(count == 1 for count in nodes.values())

    @invariant()
    def a_client_that_left_has_nothing_waiting(self) -> None:
        for seen in self.world.live.values():
            if seen.task.client not in self.world.clients:
                assert seen.worker
                assert seen.is_revoked

    @invariant()
    def the_books_are_right(self) -> None:
        counts = self.world.scheduler.snapshot()
        held = sum(bool(seen.worker) for seen in self.world.live.values())
        assert (counts.running, counts.waiting) == (held, len(self.world.live) - held)
        ended = sum(self.world.ended.values())
        assert counts.done + counts.failed <= ended
        assert ended + len(self.world.live) == self.world.arrived

    def teardown(self) -> None:
        """Everything that arrived ends, once, when workers just do their work."""
        world = self.world
        for name in [name for name, crew in world.crews.items() if crew.is_restarting]:
            world.lose(name)
        if not world.crews:
            self.worker_joins(WORKERS[0], 1)
        for _ in range(world.arrived):
            held = [seen for seen in world.live.values() if seen.worker]
            if held:
                world.answer(held[0])
        assert world.live == {}
        assert sum(world.ended.values()) == world.arrived


SchedulerMachine.TestCase.settings = settings(
    max_examples=80,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestAnyOrderOfEvents = SchedulerMachine.TestCase
