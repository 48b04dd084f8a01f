"""What notebooks show of a machine."""

import pytest

from numa_sim import Machine, sequential


@pytest.fixture
def machine():
    machine = Machine.of(
        nodes=[{"memory": "8MiB", "cpus": "0-1"}, {"memory": "4MiB", "cpus": "2"}], distances=[[10, 21], [21, 10]]
    )

    def writes(task):
        heap = yield task.mmap("1MiB")
        yield task.touch(heap, sequential(), accesses=100, write=1.0)

    machine.add(writes, name="<i>hog</i>", cpus=[1])
    return machine


def test_nodes_and_tasks_are_shown_as_they_are_now(machine):
    before = machine._repr_html_()
    assert "<td>0, 1</td><td>8MiB</td>" in before
    assert "<td>10 21</td>" in before
    assert "at 0ns" in before
    machine.run_to_end()
    after = machine._repr_html_()
    assert "<td>gone</td><td>1</td><td>100</td><td>0</td>" in after
    assert after != before


def test_names_are_escaped(machine):
    shown = machine._repr_html_()
    assert "<i>" not in shown
    assert "&lt;i&gt;hog&lt;/i&gt;" in shown


def test_a_crowd_of_tasks_is_counted():
    machine = Machine.of(nodes=[{"memory": "8MiB", "cpus": "0"}], distances=[[10]])

    def idle(task):
        yield task.sleep("1ms")

    for _ in range(20):
        machine.add(idle)
    shown = machine._repr_html_()
    assert shown.count("<td>idle</td>") == 16
    assert "and 4 more" in shown
