"""The scope of pruning: which weights of a network a mask may prune."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from permask.errors import PermaskError
from permask.mask import parameters_by_name
from permask.wrapped import plain

Prunable = nn.Module | Mapping[str, Tensor]

# modules whose weights are no matrices that inputs are multiplied by
NO_LAYERS = (nn.Embedding, nn.EmbeddingBag, nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, _NormBase)


def scope_of(model: Prunable, exclude: Sequence[str] = (), include: Sequence[str] = ()) -> dict[str, Tensor]:
    """Return the weights that a mask may prune: those of layers, such as linear layers and convolutions.

    These are the parameters that have at least two dims and a name that contains `weight`, except those of embeddings
    and norms. Therefore position embeddings, class tokens and token embeddings stay dense. In a `state_dict`, the
    weights of an embedding cannot be told from those of a layer, so you have to exclude them. Weights that
    `torch.nn.utils.prune` prunes are zero in the result.

    Args:
        model: The network, or its `state_dict`.
        exclude: Shell patterns of the names of weights that stay dense, such as `*.shortcut.*`.
        include: Shell patterns of the names of other parameters with at least two dims to prune, such as an embedding.

    Raises:
        PermaskError: If no weight is left.
    """
    model = model if isinstance(model, Mapping) else plain(model)
    matrices = {name: weight for name, weight in weights_by_name(model).items() if weight.ndim >= 2}
    dense = _of_no_layer(model)
    scope = {
        name: weight
        for name, weight in matrices.items()
        if (_fits(name, include) or (_is_weight(name) and id(weight) not in dense)) and not _fits(name, exclude)
    }
    if not scope and any(_is_weight(name) for name in matrices):
        raise PermaskError(f"no weights to prune: every one is excluded by {', '.join(exclude) or 'nothing'}")
    if not scope:
        names = ", ".join(list(matrices)[:5]) or "none"
        raise PermaskError(
            f"no weights to prune: none of the parameters with two dims has a name with weight in it, got {names}; "
            "name those to prune in include"
        )
    return scope


def weights_by_name(model: Prunable) -> Mapping[str, Tensor]:
    """The parameters of a network, with what is pruned as zeros, or all of a `state_dict`."""
    return model if isinstance(model, Mapping) else parameters_by_name(plain(model))


def _of_no_layer(model: Prunable) -> set[int]:
    """Identities of the parameters of embeddings and norms, whatever else uses them."""
    modules = model.modules() if isinstance(model, nn.Module) else ()
    return {id(parameter) for module in modules if isinstance(module, NO_LAYERS) for parameter in module.parameters()}


def _is_weight(name: str) -> bool:
    """Whether a parameter is called a weight, by its module or by what parametrizes it."""
    return "weight" in (name.partition("parametrizations.")[2] or name.rpartition(".")[2])


def _fits(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
