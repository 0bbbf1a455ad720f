"""What an ensemble of classifiers scores, and how much its members differ.

The ensemble's predictive distribution is the mean of its members' (Lakshminarayanan et al. 2017), and diversity is
measured between the predictive distributions of pairs of members (Fort et al. 2019).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from permask.errors import DataError

BINS = 15


@dataclass(frozen=True)
class Ensemble:
    """The scores of an ensemble and of its members, and how much the members differ.

    Attributes:
        members: The number of networks.
        samples: The number of samples that were evaluated.
        accuracy: The accuracy of the ensemble, in percent.
        loss: The mean negative log-likelihood of the ensemble, in nats.
        calibration_error: The expected calibration error of the ensemble, in [0, 1].
        member_accuracy: The mean accuracy of the members, in percent.
        member_loss: The mean loss of the members, in nats.
        member_calibration_error: The mean calibration error of the members, in [0, 1].
        disagreement: The share of samples for which two members predict different classes, averaged over pairs of
            members.
        kl: The Kullback–Leibler divergence between two members in nats, averaged over samples and ordered pairs.
        js: The Jensen–Shannon divergence between two members in nats, averaged over samples and pairs.
    """

    members: int
    samples: int
    accuracy: float
    loss: float
    calibration_error: float
    member_accuracy: float
    member_loss: float
    member_calibration_error: float
    disagreement: float
    kl: float
    js: float

    @property
    def normalised_disagreement(self) -> float | None:
        """The disagreement divided by the error of a member, 1 − accuracy in [0, 1]; None if members make no error.

        Members that make more errors disagree more for this reason alone. For example, two members with rare and
        independent errors disagree on about twice as many samples as either of them gets wrong. Therefore Fort et al.
        2019 divide by the error.
        """
        error = 1 - self.member_accuracy / 100
        return self.disagreement / error if error > 0 else None


@torch.no_grad()
def evaluate_ensemble(
    logits: Float[Tensor, "members samples classes"], labels: Int[Tensor, "samples"], bins: int = BINS
) -> Ensemble:
    """Score an ensemble of classifiers, and measure its diversity.

    The prediction of the ensemble is the mean of its members' predictive distributions (Lakshminarayanan et al. 2017).
    Diversity is measured between pairs of members (Fort et al. 2019).

    Args:
        logits: The outputs of every member for every sample before the softmax, `[members, samples, classes]`.
        labels: The class of every sample, `[samples]`.
        bins: The number of bins of the calibration error (Guo et al. 2017), 15 by default.

    Raises:
        DataError: If there are fewer than two members or no samples, logits are not finite, or labels are not classes
            of the logits.

    Example:
        ```python
        import torch

        import permask

        # 3 members, 100 samples, 10 classes
        logits, labels = torch.randn(3, 100, 10), torch.randint(10, (100,))
        print(permask.evaluate_ensemble(logits, labels).disagreement)
        ```
    """
    if logits.ndim != 3 or len(logits) < 2 or logits.shape[1:2] != labels.shape or not len(labels):
        raise DataError(
            "expected logits of two members or more by samples by classes and a label per sample, "
            f"got shapes {list(logits.shape)} and {list(labels.shape)}"
        )
    if labels.min() < 0 or labels.max() >= logits.shape[2]:
        raise DataError(f"expected labels from 0 to {logits.shape[2] - 1}, got {int(labels.min())} to {labels.max()}")
    members = F.log_softmax(logits.double(), dim=-1)
    if broken := [number for number, member in enumerate(members, 1) if member.isnan().any()]:
        raise DataError(f"expected logits that are numbers, got NaN or infinite ones from member {broken[0]}")
    whole, predictions = mean_prediction(members), members.argmax(-1)
    pairs = list(combinations(range(len(members)), 2))
    return Ensemble(
        members=len(members),
        samples=len(labels),
        accuracy=accuracy(whole, labels).item(),
        loss=negative_log_likelihood(whole, labels).item(),
        calibration_error=calibration_error(whole, labels, bins).item(),
        member_accuracy=_mean(accuracy(x, labels) for x in members),
        member_loss=_mean(negative_log_likelihood(x, labels) for x in members),
        member_calibration_error=_mean(calibration_error(x, labels, bins) for x in members),
        disagreement=_mean((predictions[i] != predictions[j]).double().mean() for i, j in pairs),
        kl=_mean(kl_divergence(members[i], members[j]) for pair in pairs for i, j in (pair, pair[::-1])),
        js=_mean(js_divergence(members[i], members[j]) for i, j in pairs),
    )


def _mean(values: Iterable[Float[Tensor, ""]]) -> float:
    return torch.stack(list(values)).mean().item()


def mean_prediction(members: Float[Tensor, "members samples classes"]) -> Float[Tensor, "samples classes"]:
    """log of the mean of the members' predictive distributions, from their logarithms."""
    return members.logsumexp(0) - torch.log(torch.tensor(float(len(members)), dtype=members.dtype))


def accuracy(log_p: Float[Tensor, "samples classes"], labels: Int[Tensor, "samples"]) -> Float[Tensor, ""]:
    """Share of samples whose likeliest class is the label, in percent."""
    return 100 * (log_p.argmax(-1) == labels).double().mean()


def negative_log_likelihood(
    log_p: Float[Tensor, "samples classes"], labels: Int[Tensor, "samples"]
) -> Float[Tensor, ""]:
    """−log p(label), mean over samples, in nats."""
    return F.nll_loss(log_p, labels)


def calibration_error(
    log_p: Float[Tensor, "samples classes"], labels: Int[Tensor, "samples"], bins: int = BINS
) -> Float[Tensor, ""]:
    """Expected calibration error, Σ_b n_b / n · |accuracy_b − confidence_b| (Guo et al. 2017, equation 3).

    Samples fall into bins of equal width, (b / bins, (b + 1) / bins], by their confidence, the probability of the
    likeliest class.
    """
    log_confidence, prediction = log_p.max(-1)
    confidence = log_confidence.exp()
    of = (torch.ceil(confidence * bins).long() - 1).clamp(0, bins - 1)
    excess = (prediction == labels).to(confidence.dtype) - confidence
    return torch.zeros(bins, dtype=excess.dtype, device=excess.device).index_add_(0, of, excess).abs().sum() / len(of)


def kl_divergence(
    log_p: Float[Tensor, "samples classes"], log_q: Float[Tensor, "samples classes"]
) -> Float[Tensor, ""]:
    """Σ_c p_c · (log p_c − log q_c), mean over samples, in nats."""
    return F.kl_div(log_q, log_p, reduction="batchmean", log_target=True)


def js_divergence(
    log_p: Float[Tensor, "samples classes"], log_q: Float[Tensor, "samples classes"]
) -> Float[Tensor, ""]:
    """Mean of the divergences of p and of q from m = (p + q) / 2 (Lin 1991), mean over samples; log 2 at most."""
    log_m = mean_prediction(torch.stack([log_p, log_q]))
    return (kl_divergence(log_p, log_m) + kl_divergence(log_q, log_m)) / 2
