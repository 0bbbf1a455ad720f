"""A mask held in other people's training loops, by their own libraries where these are installed."""

import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, TensorDataset

import permask
from permask.errors import PermaskError
from permask.mask import parameters_by_name

X, Y = torch.randn(32, 6, generator=torch.Generator().manual_seed(0)), torch.arange(32) % 3


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))


def is_pruned(model, mask):
    weights = parameters_by_name(model)
    return all((weights[name][~kept] == 0).all() for name, kept in mask.items())


def changed(model, before):
    return any((p != before[name]).any() for name, p in parameters_by_name(model).items())


def snapshot(model):
    return {name: p.detach().clone() for name, p in parameters_by_name(model).items()}


@pytest.mark.parametrize("fused", [False, True], ids=["plain", "fused"])
def test_a_step_that_the_scaler_skips_changes_nothing(fused):
    model = network()
    mask = permask.magnitude_mask(model, 0.5)
    optimizer = torch.optim.Adam(model.parameters(), 0.1, fused=fused)
    permask.hold_mask(model, mask, optimizer)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    for overflows in (False, True, False):
        before = snapshot(model)
        optimizer.zero_grad()
        scaler.scale(F.cross_entropy(model(X), Y)).backward()
        if overflows:
            model[0].weight.grad.fill_(float("inf"))
        scaler.step(optimizer)
        scaler.update()
        assert changed(model, before) != overflows
        assert is_pruned(model, mask)


def test_an_average_of_pruned_weights_is_pruned():
    model = network()
    mask = permask.magnitude_mask(model, 0.5)
    early = AveragedModel(model)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    early.update_parameters(model)  # dense
    permask.hold_mask(model, mask, optimizer)
    late = AveragedModel(model)
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(model(X), Y).backward()
        optimizer.step()
        early.update_parameters(model)
        late.update_parameters(model)
    assert is_pruned(late, mask)
    assert not is_pruned(early, mask)
    mask.apply_(early)
    assert is_pruned(early, mask)


def test_what_is_no_optimizer_is_refused():
    model = network()
    with pytest.raises(PermaskError, match=r"expected an optimizer of torch.*got builtins.object"):
        permask.hold_mask(model, permask.magnitude_mask(model, 0.5), object())


def test_under_accelerate():
    accelerate = pytest.importorskip("accelerate")
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = accelerate.Accelerator(cpu=True)
    plain = network()
    mask = permask.magnitude_mask(plain, 0.5)
    model, optimizer = accelerator.prepare(plain, torch.optim.Adam(plain.parameters(), 0.1))
    before = snapshot(plain)
    with permask.hold_mask(model, mask, optimizer):
        for _ in range(3):
            optimizer.zero_grad()
            accelerator.backward(F.cross_entropy(model(X), Y))
            optimizer.step()
            assert is_pruned(plain, mask)
    assert changed(plain, before)
    accelerator.backward(F.cross_entropy(model(X), Y))
    optimizer.step()
    assert not is_pruned(plain, mask)


def test_in_the_trainer_of_transformers(tmp_path):
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    from permask.integrations.transformers import HoldMask

    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    model = transformers.BertForSequenceClassification(transformers.BertConfig(vocab_size=50, **small))
    mask = permask.magnitude_mask(model, 0.8)
    data = [{"input_ids": torch.arange(8) + i, "labels": i % 2} for i in range(16)]
    quiet = {"report_to": "none", "disable_tqdm": True, "save_strategy": "no", "dataloader_pin_memory": False}
    arguments = transformers.TrainingArguments(str(tmp_path), max_steps=3, use_cpu=True, learning_rate=0.01, **quiet)
    callback = HoldMask(mask)
    before = snapshot(model)
    transformers.Trainer(model, arguments, train_dataset=data, callbacks=[callback]).train()
    assert changed(model, before)
    assert is_pruned(model, mask)
    assert callback.handle is None


def lightning_module():
    lightning = pytest.importorskip("lightning")

    class Classifier(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = network()
            self.norms = []

        def training_step(self, batch, _):
            return F.cross_entropy(self.net(batch[0]), batch[1])

        def configure_gradient_clipping(self, *arguments, **options):
            self.norms.append([p.grad.clone() for p in self.net.parameters()])

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), 0.1)

    return Classifier()


def fit(module, callback):
    import lightning

    off = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    trainer = lightning.Trainer(
        max_epochs=2, accelerator="cpu", callbacks=[callback], log_every_n_steps=1, **dict.fromkeys(off, False)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the loader could have more workers
        trainer.fit(module, DataLoader(TensorDataset(X, Y), batch_size=16))


def test_in_the_trainer_of_lightning():
    module = lightning_module()
    from permask.integrations.lightning import HoldMask

    mask = permask.magnitude_mask(module.net, 0.5)
    before = snapshot(module)
    callback = HoldMask(mask, network="net")
    fit(module, callback)
    assert changed(module, before)
    assert is_pruned(module.net, mask)
    assert callback.handle is None
    names = [name for name, _ in module.net.named_parameters()]
    seen = [dict(zip(names, gradients, strict=True)) for gradients in module.norms]
    assert len(seen) == 4
    assert all((gradients[name][~kept] == 0).all() for gradients in seen for name, kept in mask.items())


def test_an_error_lets_go_of_the_weights():
    module = lightning_module()
    from permask.integrations.lightning import HoldMask

    mask = permask.magnitude_mask(module, 0.5)
    module.on_train_epoch_end = lambda: 1 / 0
    with pytest.raises(ZeroDivisionError):
        fit(module, HoldMask(mask))
    permask.hold_mask(module, mask, torch.optim.SGD(module.parameters(), 0.1))
