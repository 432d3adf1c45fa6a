"""What is known of published source models: file, network, licence, preprocessing, errors.

Facts are copied from the pages that each entry names. Clean errors are those of the publisher.
"""

from ctta.models.cards.cifar import CIFAR
from ctta.models.cards.domainnet import DOMAINNET
from ctta.models.cards.imagenet import IMAGENET
from ctta.models.cards.published import LIST_5000, LIST_ALL, Published
from ctta.models.cards.timm_vit import TIMM_VIT

__all__ = ["LIST_5000", "LIST_ALL", "PUBLISHED", "Published"]

PUBLISHED: dict[str, Published] = {**CIFAR, **IMAGENET, **TIMM_VIT, **DOMAINNET}
