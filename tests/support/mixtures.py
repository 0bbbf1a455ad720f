"""Small mixtures of transformers, tasks on which experts specialise, and a matching that does not pair experts."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from permask.matching.assignment import families
from permask.matching.similarity import weight_scores, weights_of
from permask.permutation import Permutation
from permask.symmetry import Symmetry

EXPERTS, TOP, BALANCE = 4, 2, 0.1  # BALANCE weighs the loss that has all experts used

# B samples, D features, C classes, T tokens
KINDS, D, C = 4, 16, 8
WORDS, T, NOISE = 24, 12, 0.2


class Block(nn.Module):
    """OLMoE's mixture, and a linear layer that classifies what it returns."""

    def __init__(self, seed: int):
        super().__init__()
        from transformers.models.olmoe.modeling_olmoe import OlmoeConfig, OlmoeSparseMoeBlock

        torch.manual_seed(seed)
        sizes = {"hidden_size": D, "intermediate_size": 64, "num_experts": EXPERTS, "num_experts_per_tok": TOP}
        configuration = OlmoeConfig(**sizes, eos_token_id=None, pad_token_id=None)
        configuration._experts_implementation = "grouped_mm"
        self.mixture, self.head = OlmoeSparseMoeBlock(configuration), nn.Linear(D, C)
        for parameter in self.mixture.parameters():
            nn.init.normal_(parameter, std=D**-0.5)

    def forward(self, x_BD: Tensor) -> Tensor:
        return self.head(self.mixture(x_BD[:, None])[:, 0])


def block_loss(network: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
    return F.cross_entropy(network(batch[0]), batch[1])


def points(samples: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Inputs around one centre of each kind, and classes by a network that every kind has to itself."""
    fixed = torch.Generator().manual_seed(77)
    centres_KD = torch.randn(KINDS, D, generator=fixed) * 2
    inside = torch.randn(KINDS, D, 2 * D, generator=fixed) / D**0.5
    outside = torch.randn(KINDS, 2 * D, C, generator=fixed)
    kind, z_BD = torch.randint(KINDS, (samples,), generator=generator), torch.randn(samples, D, generator=generator)
    logits_BC = torch.bmm(torch.bmm(z_BD[:, None], inside[kind]).relu(), outside[kind])[:, 0]
    return centres_KD[kind] + z_BD, logits_BC.argmax(-1)


def language_model(seed: int) -> nn.Module:
    """OLMoE with two layers."""
    from transformers import OlmoeConfig, OlmoeForCausalLM

    torch.manual_seed(seed)
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    experts = {"num_experts": EXPERTS, "num_experts_per_tok": TOP}
    tokens = {"vocab_size": KINDS + WORDS, "eos_token_id": None, "pad_token_id": None, "bos_token_id": None}
    network = OlmoeForCausalLM(OlmoeConfig(**sizes, **experts, **tokens, max_position_embeddings=32))
    network.set_experts_implementation("grouped_mm")
    return network


def language_loss(network: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
    """Of all words that follow another one."""
    return F.cross_entropy(network(input_ids=batch[0]).logits[:, 1:-1].flatten(0, 1), batch[0][:, 2:].flatten())


def sentences(samples: int, generator: torch.Generator) -> tuple[Tensor]:
    """A token that says which language follows, then words: mostly the one that follows in that language."""
    fixed = torch.Generator().manual_seed(1234)
    following = torch.stack([torch.randperm(WORDS, generator=fixed) for _ in range(KINDS)])
    kind = torch.randint(KINDS, (samples,), generator=generator)
    words = [torch.randint(WORDS, (samples,), generator=generator)]
    for _ in range(T - 2):
        other = torch.randint(WORDS, (samples,), generator=generator)
        noisy = torch.rand(samples, generator=generator) < NOISE
        words.append(torch.where(noisy, other, following[kind, words[-1]]))
    return (torch.stack([kind, *(KINDS + word for word in words)], 1),)


@dataclass(frozen=True)
class Task:
    """How to make, train and judge networks.

    Attributes:
        make: A network of a seed.
        loss: Of a network on a batch.
        data: A batch of so many samples.
        samples: Of a batch in training.
        steps: Of training.
        routers: Names of the routers' weights.
    """

    make: Callable[[int], nn.Module]
    loss: Callable[[nn.Module, tuple[Tensor, ...]], Tensor]
    data: Callable[[int, torch.Generator], tuple[Tensor, ...]]
    samples: int
    steps: int
    routers: tuple[str, ...]

    def trained(self, seed: int) -> nn.Module:
        """A network that trained on data of its own seed, too."""
        network, generator = self.make(seed), torch.Generator().manual_seed(seed)
        optimizer = torch.optim.AdamW(network.parameters(), 3e-3, weight_decay=0.0)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.steps)
        for _ in range(self.steps):
            optimizer.zero_grad()
            with Routes(network, self.routers) as routes:
                loss = self.loss(network, self.data(self.samples, generator))
            shares = [scores.softmax(-1).mean(0) for scores in routes.scores]
            (loss + BALANCE * EXPERTS * sum(share.square().sum() for share in shares) / len(shares)).backward()
            optimizer.step()
            schedule.step()
        return network.eval()

    def held_out(self, samples: int, seed: int) -> tuple[Tensor, ...]:
        """Data that no network has trained on."""
        return self.data(samples, torch.Generator().manual_seed(10_000 + seed))

    def agreement(self, networks: tuple[nn.Module, nn.Module], batch: tuple[Tensor, ...]) -> float:
        """Share of tokens, over all mixtures, for which two networks ask the expert of the same number first."""
        asked = []
        for network in networks:
            with torch.no_grad(), Routes(network, self.routers) as routes:
                self.loss(network, batch)
            asked.append(torch.stack([scores.argmax(-1) for scores in routes.scores]))
        return float((asked[0] == asked[1]).double().mean())


class Routes:
    """What routers score while a network runs in its block."""

    def __init__(self, network: nn.Module, routers: tuple[str, ...]):
        self.scores: list[Tensor] = []
        self._modules = [network.get_submodule(name.removesuffix(".weight")) for name in routers]

    def __enter__(self) -> "Routes":
        self._hooks = [m.register_forward_hook(lambda _m, _x, y: self.scores.append(y[0])) for m in self._modules]
        return self

    def __exit__(self, *exception: object) -> None:
        for hook in self._hooks:
            hook.remove()


LAYERS = tuple(f"model.layers.{layer}.mlp.gate.weight" for layer in range(2))
TASKS = {
    "one mixture": Task(Block, block_loss, points, 128, 600, ("mixture.gate.weight",)),
    "language model": Task(language_model, language_loss, sentences, 64, 400, LAYERS),
}


def experts_of(symmetry: Symmetry, routers: tuple[str, ...]) -> tuple[str, ...]:
    """The groups of experts: those that move a router's rows."""
    rows = {(router, 0) for router in routers}
    return tuple(g.name for g in symmetry.groups if rows & {(a.parameter, a.dim) for a in g.axes})


def without_experts(permutation: Permutation, experts: tuple[str, ...]) -> Permutation:
    """The permutation but for experts, and what is inside of them."""
    moved = [g.name for g in permutation.groups if g.name not in experts and g.parent not in experts]
    return Permutation(permutation.groups, {name: permutation.index[name] for name in moved})


def within_unpaired(
    permutation: Permutation, experts: tuple[str, ...], source: nn.Module, target: nn.Module
) -> Permutation:
    """The permutation with all experts in their places, and hidden units matched by weights within each of them."""
    still = without_experts(permutation, experts)
    index, weights = dict(still.index), (weights_of(source), weights_of(target))
    for family in families(permutation.groups):
        scores = weight_scores(family, still, *weights)
        for group in (g for g in family if g.parent in experts):
            by_block = scores[group.name].reshape(group.blocks, group.size, group.blocks, group.size)
            rows = [linear_sum_assignment(by_block[b, :, b], maximize=True)[1] for b in range(group.blocks)]
            index[group.name] = np.stack(rows)
    return Permutation(permutation.groups, index)
