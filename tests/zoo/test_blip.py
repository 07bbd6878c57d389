"""BLIP: the official protocols, against references written out and transformers' own code."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize
from transformers import AutoImageProcessor, AutoTokenizer

import zoo
from builders.foreign_models import CAPTIONS, blip_folder, broken_folders, photos
from unimo2.errors import BadCheckpoint
from zoo import protocols
from zoo.families import blip
from zoo.protocols import StackedFeatures

QUESTIONS = [
    "what is this ?",
    "how many dogs are there beside the big yellow house ?",
    "red",
    "yes ?",
]
ANSWERS = ["yes", "no", "1", "2", "red", "two dog", "a big red house", "blue", "a dog"]


def inputs(folder, images, texts):
    """What the library's processors make of images and texts (cleaned by hand), one text at a time."""
    pixels = AutoImageProcessor.from_pretrained(folder)(images=images, return_tensors="pt")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = [tokenizer(text, return_tensors="pt")["input_ids"] for text in texts]
    return pixels["pixel_values"], rows


def tables(adapter, images, texts):
    """Parts "score", "itm" and "contrastive", [texts, images], by the protocol's members."""
    stack = StackedFeatures.of(adapter.encode_images(images))
    parts = [adapter.score_pairs(stack, text) for text in adapter.encode_texts(texts)]
    return {name: torch.stack([part[name] for part in parts]) for name in parts[0]}


CLEAN = [caption.lower().replace(".", "") for caption in CAPTIONS]


@torch.no_grad()
def by_hand(folder, model, first):
    """Matching logits and cosines [texts, images], with a token in the first place for matching."""
    pixels, rows = inputs(folder, photos(), CLEAN)
    states = model.vision_model(pixel_values=pixels).last_hidden_state
    vectors = normalize(model.vision_proj(states[:, 0]), dim=-1)
    itm, itc = [], []
    for row in rows:
        alone = model.text_encoder(input_ids=row).last_hidden_state[:, 0]
        itc.append(normalize(model.text_proj(alone), dim=-1) @ vectors.T)
        marked = row.clone().expand(len(pixels), -1).contiguous()
        marked[:, 0] = first
        both = model.text_encoder(input_ids=marked, encoder_hidden_states=states)
        itm.append(model.itm_head(both.last_hidden_state[:, 0])[:, 1])
    return torch.stack(itm), torch.cat(itc)


@torch.no_grad()
@pytest.mark.parametrize("enc", [True, False])
def test_scores_are_the_official_ones(tmp_path, enc):
    """Truth: the reference above with [ENC]; transformers' forward, which keeps [CLS], differs."""
    model = blip_folder(tmp_path / "m", enc=enc)
    mark = model.config.text_config.bos_token_id + 1
    itm, itc = by_hand(tmp_path / "m", model, mark)
    adapter = zoo.load(tmp_path / "m", device="cpu")
    for capability in ("shortlister", "dual_encoder"):
        protocols.require(adapter, capability)
    for adapter.batch_size in (1, 50):
        found = tables(adapter, photos(), CAPTIONS)
        assert (found["itm"] - itm).abs().max() < 1e-5
        assert (found["contrastive"] - itc).abs().max() < 1e-5
        assert (found["score"] - itm - itc).abs().max() < 1e-5
    pixels, rows = inputs(tmp_path / "m", photos(), CLEAN)
    for number, row in enumerate(rows):
        ids = row.expand(len(pixels), -1)
        forward = model(input_ids=ids, pixel_values=pixels).itm_score[:, 1]
        assert (forward - found["itm"][number]).abs().max() > 1e-2
        cosines = model(input_ids=row, pixel_values=pixels, use_itm_head=False).itm_score[:, 0]
        assert (cosines - found["contrastive"][number]).abs().max() < 1e-5
    assert (
        adapter.embed_texts(CAPTIONS) @ adapter.embed_images(photos()).T - itc
    ).abs().max() < 1e-5


@torch.no_grad()
def test_a_card_can_ask_for_transformers_own_scores(tmp_path):
    """Truth: transformers' forward; an option that there is not is refused."""
    model = blip_folder(tmp_path / "m")
    card = replace(zoo.resolve(tmp_path / "m"), options={"first_token": "cls"})
    found = tables(zoo.load_card(card, "cpu"), photos(), CAPTIONS)["itm"]
    pixels, rows = inputs(tmp_path / "m", photos(), CLEAN)
    for number, row in enumerate(rows):
        forward = model(input_ids=row.expand(len(pixels), -1), pixel_values=pixels).itm_score[:, 1]
        assert (forward - found[number]).abs().max() < 1e-5
    with pytest.raises(BadCheckpoint, match="first_tokken"):
        zoo.load_card(replace(card, options={"first_tokken": "cls"}), "cpu")


def recalls(table):
    """R@1, R@2 and R@3 of images for texts whose image has their number modulo the images."""
    order = np.argsort(-table, axis=1)
    truth = np.arange(len(table)) % table.shape[1]
    return [(order[:, :k] == truth[:, None]).any(1).mean() for k in (1, 2, 3)]


def test_recall_over_a_shortlist_is_the_official_algorithms(tmp_path):
    """Truth: train_retrieval.py's loop: -100 everywhere, ITM + ITC for the top k by ITC."""
    model = blip_folder(tmp_path / "m")
    adapter = zoo.load(tmp_path / "m", device="cpu")
    itm, itc = by_hand(tmp_path / "m", model, model.config.text_config.bos_token_id + 1)
    official = np.full(itm.shape, -100.0)
    for number, row in enumerate(itc):
        for image in row.topk(2).indices.tolist():
            official[number, image] = itm[number, image] + row[image]
    stack = StackedFeatures.of(adapter.encode_images(photos()))
    ours = np.full(itm.shape, -np.inf)
    for number, text in enumerate(adapter.encode_texts(CAPTIONS)):
        chosen = sorted(adapter.contrastive_scores(stack, text).topk(2).indices.tolist())
        part = StackedFeatures.gather([stack], chosen)
        ours[number, chosen] = adapter.score_pairs(part, text)["score"].numpy()
    assert recalls(ours) == recalls(official)
    assert np.allclose(ours[np.isfinite(ours)], official[official > -100], atol=1e-5)


def test_texts_are_cleaned_as_officially():
    """Truth: the official functions' results by hand."""
    assert (
        blip.clean_caption('A "big" dog; it\'s (very) big!  Yes.\n')
        == "a big dog it's very big yes"
    )
    assert blip.clean_question("Is this: a dog?  ") == "is this a dog?"
    assert blip.clean_caption("word " * 80).count("word") == 50


def test_captions_have_no_prompt_and_an_image_its_own(tmp_path):
    """Truth: the library's generate, one image a call, with the prompt's tokens cut; inputs unchanged."""
    model = blip_folder(tmp_path / "m", "ConditionalGeneration")
    adapter = zoo.load(tmp_path / "m", device="cpu")
    protocols.require(adapter, "captioner")
    pixels, [prompt] = inputs(tmp_path / "m", photos(), ["a picture of"])
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "m")
    expected = []
    for one in pixels:
        ids = model.generate(
            pixel_values=one[None],
            input_ids=prompt.clone(),
            num_beams=3,
            min_length=5,
            max_length=20,
        )
        assert ids.shape[1] <= 20 and ids[0, 1:4].tolist() == prompt[0, 1:4].tolist()
        expected.append(tokenizer.decode(ids[0, 4:], skip_special_tokens=True).strip())
    for adapter.batch_size in (1, 50):
        assert adapter.caption(photos(), None) == expected
    assert not any("picture of" in caption for caption in expected)
    assert len(set(expected)) > 1 and all(expected)
    assert adapter.settings["protocol"]["beams"] == 3


def vqa(folder, **options):
    """A folder of a VQA model and its adapter, ranking where `labels` are given."""
    labels = options.pop("labels", ())
    model = blip_folder(folder, "QuestionAnswering")
    card = replace(zoo.resolve(folder), labels=tuple(labels), options=options)
    return model, zoo.load_card(card, "cpu")


@torch.no_grad()
def question_states(folder, model, image, question):
    """States of one question about one image, [ENC] first."""
    pixels, [row] = inputs(folder, [image], [question])
    row[0, 0] = model.config.text_config.bos_token_id + 1
    states = model.vision_model(pixel_values=pixels).last_hidden_state
    return model.text_encoder(input_ids=row, encoder_hidden_states=states).last_hidden_state


@torch.no_grad()
def test_the_ranked_answer_has_the_greatest_sum_of_log_probabilities(tmp_path):
    """Truth: the sums of every answer, token by token; then of those whose first token is likeliest."""
    model, adapter = vqa(tmp_path / "m", labels=ANSWERS)
    protocols.require(adapter, "answerer")
    tokenizer, begin = adapter.tools.tokenizer, model.config.text_config.bos_token_id
    images = [photos()[n] for n in (0, 1, 2, 0)]
    sums, firsts = [], []
    for image, question in zip(images, QUESTIONS, strict=True):
        states, row = question_states(tmp_path / "m", model, image, question), []
        for answer in ANSWERS:
            ids = torch.tensor([[begin, *tokenizer(answer)["input_ids"][1:]]])
            logits = model.text_decoder(input_ids=ids, encoder_hidden_states=states).logits
            each = logits.log_softmax(-1)[0, :-1].gather(1, ids[0, 1:, None])[:, 0]
            row.append(each.sum().item())
            firsts.append(each[0].item())
        sums.append(row)
    best = [ANSWERS[int(np.argmax(row))] for row in sums]
    assert adapter.answer(images, QUESTIONS) == best and len(set(best)) > 1
    first = np.array(firsts).reshape(len(QUESTIONS), -1)
    places = [np.argsort(-row, kind="stable")[:2] for row in first]
    of_two = [
        ANSWERS[max(some, key=lambda n: row[n])] for some, row in zip(places, sums, strict=True)
    ]
    model, adapter = vqa(tmp_path / "two", labels=ANSWERS, ranked=2)
    assert adapter.answer(images, QUESTIONS) == of_two
    assert (adapter.answering.kind, adapter.answering.search) == ("ranked", {"ranked": 2})


@torch.no_grad()
def test_a_generated_answer_is_the_same_alone_and_beside_a_longer_question(tmp_path):
    """Truth: each question alone through the decoder's own generate; the tower runs once per image."""
    model, adapter = vqa(tmp_path / "m")
    seen = []
    adapter.model.vision_model.register_forward_pre_hook(
        lambda m, a, k: seen.append(len(k["pixel_values"])), with_kwargs=True
    )
    one, two, _ = photos()
    images, text = [one, two, two, one], model.config.text_config
    expected = []
    for image, question in zip(images, QUESTIONS, strict=True):
        ids = model.text_decoder.generate(
            input_ids=torch.tensor([[text.bos_token_id]]), eos_token_id=3, pad_token_id=1,
            encoder_hidden_states=question_states(tmp_path / "m", model, image, question),
            num_beams=3, min_length=1, max_length=10,
        )  # fmt: skip
        expected.append(
            adapter.tools.tokenizer.decode(ids[0, 1:], skip_special_tokens=True).strip()
        )
    assert adapter.answer(images, QUESTIONS) == expected
    assert sum(seen) == 2
    for number, question in enumerate(QUESTIONS):
        assert adapter.answer([images[number]], [question]) == [expected[number]]
    assert adapter.answering.kind == "generated" and adapter.answering.vocabulary is None
    assert len(set(expected)) > 1


def test_answers_may_lie_in_the_folder(tmp_path):
    """Truth: the JSON list as written; a broken one is refused."""
    model, _ = vqa(tmp_path / "m")
    path = tmp_path / "m" / "answers.json"
    card = replace(zoo.resolve(tmp_path / "m"), options={"answers": "answers.json"})
    path.write_text('["red", "blue"]')
    assert zoo.load_card(card, "cpu").answers == ("red", "blue")
    path.write_text('{"red": 1}')
    with pytest.raises(BadCheckpoint, match="is not a JSON list of answers"):
        zoo.load_card(card, "cpu")


@pytest.mark.parametrize(
    ("kind", "every"),
    [("ImageTextRetrieval", 9), ("ConditionalGeneration", 11), ("QuestionAnswering", 13)],
)
def test_any_tensor_that_is_lost_or_reshaped_is_named(kind, every, tmp_path):
    """Truth: one tensor at a time is taken away, cut or added."""
    blip_folder(tmp_path / "m", kind)
    for says in broken_folders(tmp_path / "m", tmp_path / "b", every=every):
        with pytest.raises(BadCheckpoint, match=says):
            zoo.load(tmp_path / "b", device="cpu")


def test_a_captioner_is_not_taken_for_a_retrieval_model(tmp_path):
    """Truth: the heads that a captioning folder lacks."""
    import json

    blip_folder(tmp_path / "m", "ConditionalGeneration")
    path = tmp_path / "m" / "config.json"
    config = {**json.loads(path.read_text()), "architectures": ["BlipForImageTextRetrieval"]}
    path.write_text(json.dumps(config))
    with pytest.raises(BadCheckpoint, match="weights are missing"):
        zoo.load(tmp_path / "m", device="cpu")
