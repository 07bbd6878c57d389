"""All kinds of tiny corpora together; also what each of several processes does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from builders import tiny_processes
from builders import tiny_training as tiny
from unimo2.data.images import ImageStore
from unimo2.data.pairs import ImageCorpus
from unimo2.data.seeding import Shard
from unimo2.data.text_blocks import TextCorpus, blocks
from unimo2.data.texts import TokenTable
from unimo2.formats.plain_text import TextLine
from unimo2.training.curriculum import Corpora
from unimo2.training.distributed import gather_narrow, make_accelerator
from unimo2.training.pretraining import PretrainingTask
from unimo2.training.trainer import train

CONFIG = replace(
    tiny.CONFIG,
    pair_steps=0.25,
    image_batch=2,
    text_batch=2,
    prompt_share=0.5,
    mlm_share=0.5,
    length_window=2,
    text_length=16,
)
LINES = [
    TextLine(Path(name), number, f"line {number} of the {name} text says {word} and {word} again")
    for name in ("first", "second")
    for number, word in enumerate(("red", "green", "blue", "white", "left", "right"))
]


WHOLE = replace(CONFIG, steps=6, batch_size=8, pair_steps=0.5, mlm_share=0.4, match_share=0.5)
STEP = 4  # whose gradients are compared


def corpora() -> Corpora:
    """The tiny pairs, six images with labels, and twelve lines of text."""
    pairs, processor = tiny.corpus()
    pixels = torch.randint(0, 256, (6, 3, 16, 16), generator=torch.Generator().manual_seed(1))
    pixels = pixels.to(torch.uint8)
    prompts = [[f"a photo of {word}"] for word in ("red", "green", "blue", "red", "red", "blue")]
    return Corpora(
        pairs,
        processor,
        tiny.held_pairs(pixels, prompts, processor, 24, "labelled images (training.prompt_share)"),
        ImageCorpus(ImageStore.of_pixels(pixels), processor),
        TextCorpus(TokenTable(blocks(LINES, processor, 16)), processor, 16),
    )


def task(**changes) -> PretrainingTask:
    """A task whose gradients depend on no dropout."""
    prepared = tiny.prepared(corpora=corpora(), hidden_dropout=0.0, **changes)
    return PretrainingTask(WHOLE, prepared)


def gradients(of, share: Shard, objective=None, step: int = STEP) -> dict[str, torch.Tensor]:
    """Gradients of one step, on the processes that `objective` was prepared for."""
    (objective or of.objective)(of.batch(step, share))["loss"].backward()
    named = of.objective.named_parameters()
    return {name: p.grad.clone() for name, p in named if p.grad is not None}


def run_as_one_of_several(output: Path) -> None:
    """Train as the process that the environment says this is."""
    torch.set_num_threads(1)
    accelerator = make_accelerator("cpu")
    share = Shard(accelerator.process_index, accelerator.num_processes)
    for name, changes in VARIANTS.items():
        this = task(**changes)
        found = gradients(this, share, accelerator.prepare(this.objective))
        if accelerator.is_main_process:
            torch.save(found, output / f"{name}.pt")
    for name in tiny_processes.TASKS:
        this = tiny_processes.finetuning(name, output)
        objective = accelerator.prepare(this.objective)
        found = gradients(this, share, objective, tiny_processes.STEP)
        if accelerator.is_main_process:
            torch.save(found, output / f"{name}.pt")
    gathered = narrow_gather(share.rank)
    if accelerator.is_main_process:
        torch.save(gathered, output / "gathered.pt")
    train(task(), WHOLE, output / "run", device="cpu")


def narrow_gather(rank: int) -> dict[str, torch.Tensor]:
    """What `gather_narrow` gives with and without autocast, and the gradient through it."""
    found = {}
    for name, half in (("bf16", True), ("fp32", False)):
        rows = (torch.arange(6.0).view(2, 3) / 7 + rank).requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            found[name] = gather_narrow(rows)
            (found[name].float() ** 2).sum().backward()
        found[f"{name} gradient"] = rows.grad
        found[name] = found[name].detach()
    return found


VARIANTS: dict[str, dict[str, object]] = {
    "topk": {},
    "nearest": {"grounding": "nearest"},
    "summed": {"loss_reduction": "sum", "itm_input": "concat"},
}
