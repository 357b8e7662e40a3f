"""A stochastic block model that changes with time, in place of EvolveGCN's, whose file is not to be had."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import InMemoryDataset, TemporalData


class SBMStream(InMemoryDataset):
    r"""Links between nodes of a few communities, whose members move: one ``TemporalData``, a step per unit of ``t``.

    At each step a share ``move`` of the nodes goes to another community, a share ``keep`` of the links of the step
    before stays, and new ones are drawn in the place of the others: a source uniformly, a target from its community
    with probability ``p_within``, else from another one. The next step can so be told from this one in part: by the
    links that stay, and by the communities.

    EvolveGCN (https://arxiv.org/abs/1902.10191) has an SBM of 1,000 nodes over 50 steps, denser (97,000 links a step)
    and published as a file that its repository lacks; scores on this one are not comparable with its.

    Args:
        num_nodes: N.
        num_steps: T.
        num_links: per step.
        num_blocks: number of communities.
        p_within: see above.
        keep: see above.
        move: see above.
        seed: of all draws.

    Raises:
        ValueError: if a number is out of range.

    Example:
        >>> events = SBMStream(num_nodes=30, num_steps=4, num_links=50)[0]
        >>> events.num_events, events.t.unique().tolist()
        (200, [0, 1, 2, 3])
    """

    def __init__(
        self,
        num_nodes: int = 1000,
        num_steps: int = 50,
        num_links: int = 4000,
        num_blocks: int = 10,
        p_within: float = 0.9,
        keep: float = 0.5,
        move: float = 0.02,
        seed: int = 0,
    ) -> None:
        if not 1 < num_blocks <= num_nodes or min(num_steps, num_links) < 1:
            raise ValueError(
                f"num_nodes, num_blocks, num_steps, num_links: got {num_nodes}, {num_blocks}, {num_steps}, {num_links}"
                ", expected positive numbers, and from 2 to num_nodes blocks"
            )
        for name, share in (("p_within", p_within), ("keep", keep), ("move", move)):
            if not 0 <= share <= 1:
                raise ValueError(f"{name}: got {share}, expected a share from 0 to 1")
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        block = torch.randint(num_blocks, (num_nodes,), generator=generator)
        links = torch.empty(2, 0, dtype=torch.long)
        steps: list[Tensor] = []
        for _ in range(num_steps):
            stays = links[:, torch.rand(links.size(1), generator=generator) < keep]
            fresh = _draw(block, num_links - stays.size(1), num_blocks, p_within, generator)
            links = torch.cat([stays, fresh], 1)
            steps.append(links)
            moving = torch.rand(num_nodes, generator=generator) < move
            shift = torch.randint(1, num_blocks, (num_nodes,), generator=generator)
            block = torch.where(moving, (block + shift) % num_blocks, block)
        src, dst = torch.cat(steps, 1)
        t = torch.arange(num_steps).repeat_interleave(num_links)
        self._data = TemporalData(src=src, dst=dst, t=t)


def _draw(block: Tensor, count: int, num_blocks: int, p_within: float, generator: torch.Generator) -> Tensor:
    """Links: a target is a random member of the community drawn for it."""
    order = torch.sort(block, stable=True).indices
    size = torch.bincount(block, minlength=num_blocks)
    start = size.cumsum(0) - size
    source = torch.randint(block.numel(), (count,), generator=generator)
    within = torch.rand(count, generator=generator) < p_within
    other = (block[source] + torch.randint(1, num_blocks, (count,), generator=generator)) % num_blocks
    wanted = torch.where(within, block[source], other)
    place = (torch.rand(count, generator=generator, dtype=torch.float64) * size[wanted]).long()
    # An empty community has no member to link to: anybody will do.
    target = torch.where(size[wanted] > 0, order[(start[wanted] + place).clamp(max=block.numel() - 1)], source)
    return torch.stack([source, target])
