from gcd_hpc.campaign.waiting import Waiting
from gcd_hpc.stages.table import Task

A, B, C = (Task("relax", 1, chunk) for chunk in range(3))


def queue() -> Waiting:
    waiting = Waiting(lowest={2: 2.3, 4: 2.5})
    waiting.add(A, [(2, 2.9), (4, 3.4)])
    waiting.add(B, [(4, 2.8)])
    waiting.add(C, [(2, 2.4), (2, 4.0)])
    return waiting


def test_the_task_with_the_candidate_nearest_to_the_best_of_its_fraction_comes_first():
    assert queue().first(3) == [C, B, A]
    assert queue().first(1) == [C]


def test_a_better_energy_of_one_fraction_changes_the_order():
    waiting = queue()
    assert waiting.learn(2, 1.9)
    waiting.rank()
    assert waiting.first(3) == [B, C, A]


def test_a_hardly_better_energy_changes_nothing():
    assert not queue().learn(2, 2.2999)


def test_a_fraction_that_was_never_relaxed_comes_first():
    waiting = queue()
    waiting.add(Task("relax", 1, 9), [(7, 9.0)])
    assert waiting.first(1) == [Task("relax", 1, 9)]


def test_removed_tasks_are_never_first_wherever_they_stood():
    for removed in (A, B, C):
        waiting = queue()
        waiting.remove([removed])
        assert len(waiting) == 2
        assert removed not in waiting.first(3)
        assert len(waiting.first(3)) == 2


def test_a_task_without_candidates_comes_last():
    waiting = queue()
    waiting.add(Task("relax", 1, 9), [])
    assert waiting.first(4)[-1] in (A, Task("relax", 1, 9))
    assert set(waiting.first(4)) == {A, B, C, Task("relax", 1, 9)}
