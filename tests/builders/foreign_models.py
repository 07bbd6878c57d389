"""Small, randomly initialised models of transformers' and timm's own classes, saved to folders."""

import re
import shutil
import string
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    CLIPTokenizer,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
    SiglipProcessor,
)

CAPTIONS = [
    "a red square",
    "Two small blue circles on a wide green field.",
    "red",
    "a dog & a cat beside the big yellow house",
    "a red circle",
]
VISION = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "image_size": 32, "patch_size": 16,
}  # fmt: skip
TEXT = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
}  # fmt: skip


def photos(count: int = 3) -> list[Image.Image]:
    """Smooth pictures of several sizes, the same in every call."""
    random = np.random.default_rng(5)
    return [
        Image.fromarray(random.integers(0, 255, (5 + i, 7, 3)).astype("uint8")).resize(
            (60 + 20 * i, 50), Image.Resampling.BICUBIC
        )
        for i in range(count)
    ]


def shaken(model, scale: float = 0.2):
    """The model in evaluation mode, with weights far enough from their initial values to matter."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * scale)
    return model.eval()


def broken_folders(folder: Path, copy: Path, every: int = 1) -> Iterator[str]:
    """Spoil one tensor of a folder at a time, in a copy.

    Args:
        folder: A model folder with model.safetensors.
        copy: Written anew before each yield.
        every: Only every so many tensors are lost in turn.

    Yields:
        What the message must match: a lost tensor, one of twice the size, one that is not the model's.
    """
    shutil.copytree(folder, copy)
    weights = load_file(folder / "model.safetensors")

    def write(tensors):
        save_file(tensors, copy / "model.safetensors", {"format": "pt"})

    for name in list(weights)[::every]:
        write({key: value for key, value in weights.items() if key != name})
        yield f"1 weights are missing.*: {re.escape(name)};"
    write({**weights, name: torch.cat([weights[name].flatten()] * 2)})
    yield f"1 weights have another shape.*: {re.escape(name)} "
    write({**weights, "extra.weight": weights[name].clone()})
    yield "1 weights do not belong to .*: extra.weight"


def words_tokenizer(template: str | None, specials: list[str], **named) -> PreTrainedTokenizerFast:
    """A tokenizer of whole words: those of the captions and of a few questions.

    Args:
        template: How a text is wrapped in special tokens.
        specials: First tokens of the vocabulary.
        **named: `pad_token`, `eos_token` and so on.
    """
    text = " ".join(CAPTIONS).lower() + " what is this ? how many are there yes no 1 2 picture of"
    words = sorted({word.strip(".") for word in text.split()})
    vocabulary = {word: number for number, word in enumerate([*specials, *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=specials[0]))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if template:
        wrapped = [(name, vocabulary[name]) for name in specials if name in template]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=template, special_tokens=wrapped
        )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token=specials[0], **named)


def clip_tokenizer() -> CLIPTokenizer:
    """A byte-level tokenizer of CLIP's kind without merges."""
    letters = string.ascii_lowercase + string.digits + string.punctuation
    tokens = [*letters, *(f"{letter}</w>" for letter in letters)]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=40)


def clip_folder(folder: Path, old_end: bool = False, **overrides) -> CLIPModel:
    """Save a CLIP.

    Args:
        folder: To save in.
        old_end: Whether the configuration has the `eos_token_id` of old ones, 2.
        **overrides: Fields of the configuration.

    Returns:
        The model as it was saved.
    """
    tokenizer = clip_tokenizer()
    size = len(tokenizer)
    text = {**TEXT, "vocab_size": size, "max_position_embeddings": 40, "bos_token_id": size - 2}
    text["eos_token_id"] = 2 if old_end else size - 1
    torch.manual_seed(0)
    config = CLIPConfig(text_config=text, vision_config=VISION, projection_dim=16, **overrides)
    model = shaken(CLIPModel(config))
    model.save_pretrained(folder)
    images = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    CLIPProcessor(images, tokenizer).save_pretrained(folder)
    return model


def siglip_folder(folder: Path) -> SiglipModel:
    """Save a SigLIP with texts of 12 tokens; return the model as it was saved."""
    tokenizer = words_tokenizer(
        "$A </s>", ["<unk>", "<pad>", "</s>"], pad_token="<pad>", eos_token="</s>",
        model_max_length=12, model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip
    text = {**TEXT, "vocab_size": len(tokenizer), "max_position_embeddings": 12}
    torch.manual_seed(0)
    config = SiglipConfig(text_config=text, vision_config=VISION)
    model = shaken(SiglipModel(config))
    model.save_pretrained(folder)
    images = SiglipImageProcessor(size={"height": 32, "width": 32})
    SiglipProcessor(images, tokenizer).save_pretrained(folder)
    return model


CLASSIFIERS = {
    "bert": ("Bert", {"type_vocab_size": 2}),
    "roberta": ("Roberta", {"pad_token_id": 1, "type_vocab_size": 1}),
    "distilbert": ("DistilBert", {}),
    "electra": ("Electra", {"embedding_size": 16}),
    "deberta-v2": ("DebertaV2", {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]}),
    "albert": ("Albert", {"embedding_size": 16}),
    "mpnet": ("MPNet", {"pad_token_id": 1}),
    "xlm-roberta": ("XLMRoberta", {"pad_token_id": 1}),
    "modernbert": ("ModernBert", {}),
    "gpt2": ("GPT2", {"n_embd": 32, "n_head": 4, "n_layer": 2, "pad_token_id": None}),
    "llama": ("Llama", {"pad_token_id": None, "num_key_value_heads": 2}),
}


def text_folder(folder: Path, kind: str = "bert", labels: tuple[str, ...] = ("no", "yes"), **more):
    """Save a classifier of transformers with a tokenizer of words.

    Args:
        folder: To save in.
        kind: A key of `CLASSIFIERS`.
        labels: Names of its classes.
        **more: Further fields of the configuration.

    Returns:
        The model and the tokenizer as they were saved.
    """
    import transformers

    name, fields = CLASSIFIERS[kind]
    specials = ["<unk>", "<pad>", "<s>", "</s>"]
    decoder = kind in ("gpt2", "llama")
    tokenizer = words_tokenizer(
        None if decoder else "<s> $A </s>", specials, model_max_length=40,
        **({} if decoder else {"pad_token": "<pad>"}),
    )  # fmt: skip
    sizes = {**TEXT, "max_position_embeddings": 64, "vocab_size": len(tokenizer), "pad_token_id": 1}
    fields = {**sizes, **fields, "id2label": dict(enumerate(labels)), **more}
    if kind == "distilbert":
        fields.update(dim=32, hidden_dim=48, n_layers=2, n_heads=4)
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**fields)
    model = shaken(getattr(transformers, f"{name}ForSequenceClassification")(config))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model, tokenizer


def vilt_folder(folder: Path, kind: str = "retrieval", **overrides):
    """Save a ViLT with texts of 12 tokens.

    Args:
        folder: To save in.
        kind: "retrieval", "vqa" or "mlm".
        **overrides: Fields of the configuration.

    Returns:
        The model as it was saved.
    """
    import transformers

    name = {"retrieval": "ImageAndTextRetrieval", "vqa": "QuestionAnswering", "mlm": "MaskedLM"}[
        kind
    ]
    tokenizer = words_tokenizer(
        "[CLS] $A [SEP]", ["[UNK]", "[PAD]", "[CLS]", "[SEP]"], pad_token="[PAD]", cls_token="[CLS]",
        sep_token="[SEP]",
    )  # fmt: skip
    answers = ["yes", "no", "1", "2", "red"]
    fields = {**VISION, "vocab_size": len(tokenizer), "max_position_embeddings": 12, **overrides}
    fields.update(id2label=dict(enumerate(answers)), label2id={a: i for i, a in enumerate(answers)})
    torch.manual_seed(0)
    model = shaken(getattr(transformers, f"ViltFor{name}")(transformers.ViltConfig(**fields)))
    model.save_pretrained(folder)
    images = transformers.ViltImageProcessor(size={"shortest_edge": 32}, size_divisor=16)
    transformers.ViltProcessor(images, tokenizer).save_pretrained(folder)
    return model


def blip_folder(folder: Path, kind: str = "ImageTextRetrieval", enc: bool = True, **overrides):
    """Save a BLIP.

    Args:
        folder: To save in.
        kind: "ImageTextRetrieval", "ConditionalGeneration" or "QuestionAnswering".
        enc: Whether the tokenizer has [DEC] and [ENC]; the embedding has.
        **overrides: Fields of the text tower's configuration.

    Returns:
        The model as it was saved.
    """
    import transformers

    specials = ["[UNK]", "[PAD]", "[CLS]", "[SEP]"]
    tokenizer = words_tokenizer(
        "[CLS] $A [SEP]", specials, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]"
    )
    begin = len(tokenizer)
    if enc:
        tokenizer.add_special_tokens({"bos_token": "[DEC]"})
        tokenizer.add_special_tokens({"additional_special_tokens": ["[ENC]"]})
    text = {
        **TEXT, "vocab_size": begin + 2, "max_position_embeddings": 40, "bos_token_id": begin,
        "sep_token_id": 3, "pad_token_id": 1, "eos_token_id": 3, "encoder_hidden_size": 32,
        "projection_dim": 16, "attention_probs_dropout_prob": 0.0, "hidden_dropout_prob": 0.0,
        **overrides,
    }  # fmt: skip
    torch.manual_seed(0)
    config = transformers.BlipConfig(
        text_config=text, vision_config=VISION, projection_dim=16, image_text_hidden_size=16
    )
    model = shaken(getattr(transformers, f"BlipFor{kind}")(config), 0.3)
    model.save_pretrained(folder)
    images = transformers.BlipImageProcessor(size={"height": 32, "width": 32})
    images.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model


def region_folder(folder: Path, kind: str = "lxmert"):
    """Save an LXMERT or VisualBERT for VQA with 5 answers and features of 6 numbers.

    Args:
        folder: To save in.
        kind: "lxmert" or "visual_bert".

    Returns:
        The model as it was saved.
    """
    import transformers

    tokenizer = words_tokenizer(
        "[CLS] $A [SEP]", ["[UNK]", "[PAD]", "[CLS]", "[SEP]"], pad_token="[PAD]", cls_token="[CLS]",
        sep_token="[SEP]",
    )  # fmt: skip
    fields = {"vocab_size": len(tokenizer), "hidden_size": 32, "intermediate_size": 48,
              "num_attention_heads": 4, "pad_token_id": 1}  # fmt: skip
    torch.manual_seed(0)
    if kind == "lxmert":
        config = transformers.LxmertConfig(
            **fields, num_qa_labels=5, visual_feat_dim=6, l_layers=1, x_layers=2, r_layers=1
        )
        model = shaken(transformers.LxmertForQuestionAnswering(config))
    else:
        config = transformers.VisualBertConfig(
            **fields, visual_embedding_dim=6, num_hidden_layers=2, num_labels=5
        )
        model = shaken(transformers.VisualBertForQuestionAnswering(config))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model
