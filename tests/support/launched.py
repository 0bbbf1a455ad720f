"""Two processes of accelerate that train one network under a mask: `python launched.py STEPS_TO_ACCUMULATE`."""

import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from accelerate import Accelerator, debug_launcher

sys.path.insert(0, str(Path(__file__).parent.parent))

from test_processes import PROCESSES, STEPS, batch, check_same, check_trained, network, pruned

import permask


def train(accumulate: int) -> None:
    torch.set_num_threads(1)
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=accumulate)
    assert accelerator.num_processes == PROCESSES
    plain = network()
    samples = [batch(step) for step in range(STEPS * accumulate)]
    data = torch.utils.data.TensorDataset(*(torch.cat(part) for part in zip(*samples, strict=True)))
    loader = torch.utils.data.DataLoader(data, batch_size=16)
    adam = torch.optim.Adam(plain.parameters(), 0.01)
    model, optimizer, loader = accelerator.prepare(plain, adam, loader)
    mask = permask.magnitude_mask(model, 0.5)
    with permask.hold_mask(model, mask, optimizer):
        for x, y in loader:
            with accelerator.accumulate(model):
                accelerator.backward(F.cross_entropy(model(x), y))
                optimizer.step()
                if accelerator.sync_gradients:
                    assert all((x == 0).all() for x in pruned(mask, plain, adam))
                    check_same(plain, adam)
                optimizer.zero_grad()
    check_trained(plain, mask)
    assert adam.state[plain[0].weight]["step"] == STEPS
    accelerator.print(f"trained by {accelerator.num_processes}")
    accelerator.end_training()


if __name__ == "__main__":
    debug_launcher(train, (int(sys.argv[1]),), num_processes=PROCESSES)
