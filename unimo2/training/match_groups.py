"""Matching within groups of similar pairs: the choice of pairs, and the loss (ours).

Each image of a group meets each text of it, so that g pairs give g (g - 1) negatives both ways, and
every image and text is as often right as every other.

Shapes: r groups, g pairs of a group, b pairs of this process, B pairs of all.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unimo2.data.seeding import spread
from unimo2.training.distributed import mean_cross_entropy
from unimo2.training.losses import same_pair

# Knuth's multiplier: neighbouring numbers fall far apart.
_MULTIPLIER, _RANGE = 2_654_435_761, 1 << 32


@dataclass(frozen=True)
class GroupMatching:
    """Settings of matching within groups."""

    size: int = 0  # g, pairs of a group; 0 for matching as two classes
    # weight of finding the partner by the score that retrieval ranks, logit plus contrastive score,
    # against finding it by the logit alone. What contrast knows then has no gradient.
    fused: float = 0.0
    # share of the images that contrast is trained on. Matching is trained on the others, where
    # contrast is as often wrong as it will be on images it has never seen.
    contrast_share: float = 1.0

    def contrasted(self, image_index: Tensor) -> Tensor:
        """Images that the contrastive loss uses, int64 [B] to bool [B]; the same in every step."""
        if self.contrast_share == 1.0:
            return torch.ones_like(image_index, dtype=torch.bool)
        return (image_index * _MULTIPLIER) % _RANGE < self.contrast_share * _RANGE

    def matched(self, position: Tensor, image_index: Tensor, share: float) -> Tensor:
        """Pairs of a process that begin a group, bool [b]: a share of the whole batch."""
        wanted = spread(position, share)
        if self.contrast_share == 1.0:
            return wanted
        unseen = ~self.contrasted(image_index)
        return unseen & (unseen.cumsum(dim=0) <= wanted.sum())


@dataclass(frozen=True)
class Groups:
    """Pairs that are alike."""

    members: Tensor  # int64 [r, g], rows of all pairs, different ones in a group
    hidden: Tensor  # bool [r, g, g], image by text: no true pair, and no negative either

    @property
    def pairs(self) -> tuple[Tensor, Tensor]:
        """Every image of a group with every text of it, int64 [r g g] each."""
        size = (-1, *self.hidden.shape[1:])
        return (
            self.members[:, :, None].expand(size).flatten(),
            self.members[:, None, :].expand(size).flatten(),
        )

    def loss(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Cross entropy of the true partner within its group, both ways, and the accuracy.

        Logits are those of `pairs`, [r g g].
        """
        size = self.hidden.shape[1]
        scores = logits.view(-1, size, size).masked_fill(self.hidden, float("-inf"))
        true = torch.arange(size, device=scores.device).repeat(len(scores))
        ways = [scores.flatten(0, 1), scores.transpose(1, 2).flatten(0, 1)]
        found = [mean_cross_entropy(way, true) for way in ways]
        right = [(way.detach().argmax(dim=1) == true).float().sum() for way in ways]
        return (found[0] + found[1]) / 2, (right[0] + right[1]) / max(1, 2 * len(true))


def groups_of(members: Tensor, usable: Tensor, input_ids: Tensor, image_index: Tensor) -> Groups:
    """Groups of these members; samples of the same image or words are not negatives.

    Args:
        members: int64 [r, g], rows of the following.
        usable: bool [r, g - 1], which members after the first count.
        input_ids: int64 [B, N], padded.
        image_index: int64 [B], which image each sample shows.
    """
    ids, index = input_ids[members], image_index[members]  # [r, g, N], [r, g]
    counts = torch.cat([torch.ones_like(usable[:, :1]), usable], dim=1)
    hidden = same_pair(ids, index, ids, index) | ~(counts[:, :, None] & counts[:, None, :])
    own = torch.eye(members.shape[1], dtype=torch.bool, device=members.device)
    return Groups(members, hidden & ~own)
