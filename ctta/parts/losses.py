"""Losses over logits [...,K], as [B,K]; each returns one value a sample, [...]."""

from torch import Tensor


def entropy(logits: Tensor, *, floor: float = 0.0) -> Tensor:
    """Shannon entropy of the softmax, natural logarithm; ``floor`` is added to its argument."""
    if floor:
        p = logits.softmax(-1)
        return -(p * (p + floor).log()).sum(-1)
    log_p = logits.log_softmax(-1)
    return -(log_p.exp() * log_p).sum(-1)


def soft_cross_entropy(logits: Tensor, target_logits: Tensor) -> Tensor:
    """Cross entropy of ``logits`` against the softmax of ``target_logits``."""
    return -mean_log_probability(logits, target_logits)


def mean_log_probability(logits: Tensor, target_logits: Tensor) -> Tensor:
    """Mean of the log-softmax of ``logits`` under the softmax of ``target_logits``."""
    return (target_logits.softmax(-1) * logits.log_softmax(-1)).sum(-1)


def symmetric_cross_entropy(logits: Tensor, target_logits: Tensor, share: float = 0.5) -> Tensor:
    """``(1-share) CE(target -> logits) + share CE(logits -> target)``."""
    forward = mean_log_probability(logits, target_logits)
    return -forward.lerp(mean_log_probability(target_logits, logits), share)


def soft_likelihood_ratio(logits: Tensor) -> Tensor:
    """``-sum_k q_k ln(q_k / (1-q_k) + 1e-5)`` with ``q = min(softmax, 0.99)``."""
    q = logits.softmax(-1).clamp_max(0.99)
    return -(q * (q / (1 - q) + 1e-5).log()).sum(-1)
