"""What a study may say and must not: everything that multiplies work, and everything out of bounds."""

import pytest

from hostile.row import Row, check, sampled
from hostile.spoil import at, holding

MANY = "pairs=100000000"


def _many(option: str, count: int) -> str:
    return f"'{option}=[{', '.join(map(str, range(count)))}]'"


# changes to the study, and what is said of them
REFUSED = {
    MANY: "expected at most 200,000 trained networks",
    "pairs=0": "pairs: expected greater than 0; got 0",
    "pairs=-1": "pairs: expected greater than 0",
    "pairs=1.5": "pairs: expected a valid integer",
    "pairs=true": "pairs: expected a valid integer",
    "pairs=1e3": "pairs: expected a valid integer",
    "pairs=99999999999999999999999": "pairs: expected less than 2147483648",
    "epochs=1000000000": "epochs: expected less than or equal to 1000000",
    "epochs=0": "epochs: expected greater than 0",
    "batch_size=1000000000000": "batch_size: expected less than 2147483648",
    "first_seed=9223372036854775807": r"expected seeds below 2\^63",
    "first_seed=9223372036854775808": "first_seed: expected less than 9223372036854775808",
    "first_seed=-1": "first_seed: expected greater than or equal to 0",
    "'sparsities=[]'": "sparsities: .*at least 1 item",
    "'sparsities=[0]'": "sparsities.0: expected greater than 0",
    "'sparsities=[1]'": "sparsities.0: expected less than 1",
    "'sparsities=[.nan]'": "sparsities.0: expected a finite number",
    "'sparsities=[0.5, 0.5]'": "sparsities: expected each value once",
    "'sparsities=[1e400]'": "sparsities.0: expected a (finite|valid) number",
    _many("rewinds", 20_000): "expected a YAML value|at most",
    _many("rewinds", 9_000): "rewinds: expected epochs before the 2 epochs",
    "'rewinds=[-1]'": "rewinds.0: expected greater than or equal to 0",
    "'rewinds=[2]'": "rewinds: expected epochs before the 2 epochs",
    "prune.rate=0.001": "prune.rate: expected greater than or equal to 0.01",
    "prune.rate=.nan": "prune.rate: expected",
    "prune.epochs=2000000": "prune.epochs: expected less than or equal to 1000000",
    "pairs=20000 prune.rate=0.01 'sparsities=[0.999]'": "at most 200,000 trained networks",
    "dense.learning_rate=.inf": "dense.learning_rate: expected",
    "dense.learning_rate=1e9": "dense.learning_rate: expected",
    "dense.optimizer=LBFGS": "dense.optimizer: expected sgd or adamw",
    "'dense.optimizer=[sgd]'": "dense.optimizer: expected a valid string",
    "'dense.options={lr: 2001-01-01}'": "dense.options",
    "'dense.options={? [a] : 1}'": "expected a YAML value",
    "'dense.milestones=[1]'": "expected milestones with the schedule step",
    "dense.warmup=2": "expected a training that is longer than its warm-up",
    "'network.widths=[1000000000]'": "network.widths.0: expected less than or equal to 65536",
    "'network.widths=[0]'": "network.widths.0: expected greater than 0",
    _many("network.widths", 2_000): "network.widths",
    "'network={name: gpt, layers: 1000000}'": "network.layers: expected less than or equal to 1000",
    "'network={name: gpt, width: 10, heads: 3}'": "network.heads: expected a number that divides",
    "'network={name: vit, patch: 0}'": "network.patch: expected greater than 0",
    "'network={name: vit, patch: 3}'": "patch",
    "'network={name: [red]}'": "expected a (name|section)",
    "'network={name: resnet8, width: 1000000}'": "network.width: expected less than or equal to 1024",
    "'network={name: imported, factory: own.py}'": "network.factory: expected to match pattern",
    "'network={name: imported, factory: \"own.py:network\", arguments: {1: 2}}'": "network.arguments",
    "'network={name: imported, factory: \"own.py:network\", arguments: {a: 2001-01-01}}'": "network.arguments",
    "data.train=1": "data.train: expected greater than or equal to 10",
    "data.train=2000": "data.train: expected less than or equal to 1787",
    "data.validation=64": "validation of fewer images than the 64 of train",
    "'data={name: text, context: 1000000000}'": "data.context: expected less than or equal to 65536",
    "'data={name: image_folder, image_size: 1000000000}'": "data.image_size: expected less than or equal to 65536",
    "'data={name: image_folder, padding: 1000000000}'": "data.padding: expected less than or equal to 1024",
    "'connect={points: 100000000}'": "connect.points: expected less than or equal to 1001",
    "'ensembles={members: 1000}'": "ensembles.members: expected less than or equal to 64",
    "'ensembles={members: 2}'": "expected at least as many pairs as members",
    "'compare=[[lth, lth]]'": "expected each pair of different methods once",
    "'compare=[lth]'": "compare.0: expected a list",
    "'compare=[[lth]]'": "expected two methods",
    "'compare=[[lth, \"[red]\"]]'": r"got \[red\]",
    "'measure=[everything]'": "measure: expected names? among|measure: expected gradient_norm",
    "methods=lth": "methods: expected a list",
    "'methods=[\"[red]\"]'": r"got \[red\]",
    "'methods=[{name: \"[red]x\", mask: {by: imp}}]'": "methods.0.name: expected to match pattern",
    "'methods=[{name: x, mask: {by: file, path: \"nothing.safetensors\"}}]'": "nothing.safetensors: no such file",
    "'methods=[{name: x, mask: {by: \"own.py:nothing\"}}]'": "has nothing to call that is named nothing",
    "'methods=[{name: x, mask: {by: \"own.py:a b\"}}]'": "expected file.py:name",
    "'sweep={pairs: [1, 2], pairs.x: [1]}'": "not a section",
    "'sweep={name: [a, b]}'": "sweep.name: expected an option that results depend on",
    "'sweep={pairs: []}'": "expected at least one value",
    "'sweep={pairs: [1, 1]}'": "expected each value once",
    f"'sweep={{first_seed: {list(range(40))}, epochs: {list(range(2, 40))}}}'": "expected at most 1,000 combinations",
    f"'sweep={{first_seed: {list(range(40))}}}' pairs=20000": "at most 200,000 trained networks",
    "execution.device=cuda rewinds=[0,1]": "this machine has no GPU",
    "execution.device=tpu": "execution.device: expected auto or cpu or cuda or mps",
    "execution.precision=float16": "execution.precision: expected",
    "evaluate_every=0": "evaluate_every: expected greater than 0",
    "'prune.exclude=[1]'": "prune.exclude.0: expected a valid string",
    "'prune.exclude=[\"*\"]'": "no weights to prune: every one is excluded",
}
ROWS = {changes[:60]: Row(f"run study.yaml {changes} --out out", says) for changes, says in REFUSED.items()}
ROWS |= {
    f"the command {arguments}": Row(arguments, says)
    for arguments, says in (
        ("plan study.yaml --spread nan", "spread|finite"),
        ("plan study.yaml --spread inf", "spread|finite"),
        ("plan study.yaml --spread -1", "spread"),
        ("plan study.yaml --spread '[red]x[/blue]'", "spread"),
        ("run study.yaml --out out --jobs 0", "jobs"),
        ("run study.yaml --out out --retries -1", "retries"),
        ("run study.yaml --out out --processes 0", "processes"),
        ("run study.yaml --out out --engine nothing", "engine"),
        ("run study.yaml --out out --engine ray", "[Rr]ay"),
        ("run study.yaml --out out --engine slurm", "sbatch|[Ss]lurm"),
        ("run study.yaml --out out --detach", "--detach is for slurm"),
        ("run study.yaml --out out --cluster study.yaml", "--cluster is for slurm and ray"),
        ("run study.yaml --out out --engine slurm --cluster nothing", "cannot read the cluster file"),
        ("run study.yaml --out out --engine slurm --cluster study.yaml", "study.yaml:1:1: name"),
        ("run study.yaml --out out --engine slurm --cluster store", "cannot read the cluster file"),
        ("run study.yaml --out out --engine slurm --cluster /dev/zero", "a device, a pipe or a socket"),
        ("run study.yaml --out out --track nothing", "track"),
        ("report results --rewind 5", "rewind epoch 5: this study has"),
        ("report results --rewind 99999999999999999999", "rewind"),
        ("report results --width results --out out", "expected results of different widths"),
    )
}
ROWS |= {
    f"a cluster file: {content[:20]!r}": Row(
        "run study.yaml --out out --engine slurm --cluster cluster.yaml", says, at("cluster.yaml", holding(content))
    )
    for content, says in (
        ("", "cluster.yaml:1:1: expected a cluster file"),
        ("steps: {all: {cpus: 0}}", "cluster.yaml:1:.*cpus"),
        ("steps: {all: {memory: lots}}", "memory"),
        ("steps: {all: {hours: .nan}}", "hours"),
        ("steps: &a [*a]", "comes back to itself"),
        (b"\xff\xfe", "not a text file"),
    )
}


@pytest.mark.parametrize("row", sampled(ROWS, 5))
def test_a_row(row: Row, with_study, tmp_path) -> None:
    check(row, with_study, tmp_path)
