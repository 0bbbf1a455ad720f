"""The Ray engine hands out as many steps as it says. A stand-in for Ray is asked; test_clusters.py has the real one."""

from types import SimpleNamespace

import pytest
import yaml
from support.small_study import SMALL

from permask.study.engines.cluster import Cluster
from permask.study.engines.ray import Ray
from permask.study.engines.schedule import Schedule
from permask.study.load import Prepared
from permask.study.messages import Computed
from permask.study.plan import make_plan
from permask.study.spec import Study
from permask.study.store import Store

PLAN = make_plan(Prepared(Study.model_validate(yaml.safe_load(SMALL))))


class StandIn:
    """A Ray whose steps end one by one, in the order in which they were handed out."""

    def __init__(self, resources):
        self.resources, self.out, self.most = resources, [], 0

    def cluster_resources(self):
        return self.resources

    def remote(self, **options):
        return lambda function: SimpleNamespace(options=lambda **asked: SimpleNamespace(remote=self._hand_out))

    def _hand_out(self, worker, task):
        self.out.append(task.key)
        self.most = max(self.most, len(self.out))
        return task.key

    def wait(self, handed_out, timeout):
        return [self.out.pop(0)], []

    def get(self, ended):
        return Computed()


@pytest.mark.parametrize(
    ("has", "asked", "most"),
    [
        ({"CPU": 2.0}, {}, 3),
        ({"CPU": 1.0}, {}, 2),
        ({"CPU": 16.0}, {"cpus": 4}, 6),
        ({"CPU": 64.0, "GPU": 2.0}, {"gpus": 1}, 3),
        ({"CPU": 64.0, "GPU": 8.0}, {"cpus": 8, "gpus": 4}, 3),
        ({"CPU": 64.0}, {"gpus": 1}, 2),  # no GPU yet: the cluster hears that one is wanted
    ],
)
def test_half_as_many_steps_again_as_can_run_at_once_are_handed_out(tmp_path, has, asked, most):
    ray = StandIn(has)
    schedule = Schedule(PLAN, Store(tmp_path / "store"), lambda *happening: None, 0)
    report = Ray(Cluster.model_validate({"steps": {"all": asked}}))._run(ray, schedule)
    assert ray.most == most
    assert report.computed == set(PLAN.steps)


def test_a_step_that_asks_for_no_gpu_is_handed_out_while_all_are_taken(tmp_path):
    """Two trainings are handed out for the one GPU, and matching beside them."""
    ray = StandIn({"CPU": 8.0, "GPU": 1.0})
    schedule = Schedule(PLAN, Store(tmp_path / "store"), lambda *happening: None, 0)
    steps = {kind: {"gpus": 1} for kind in ("dense", "prune", "sparse")}
    Ray(Cluster.model_validate({"steps": steps}))._run(ray, schedule)
    assert ray.most > 2
