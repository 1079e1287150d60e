"""Train the model that inference.py serves: a tiny BERT, from nothing, on the texts below.

Usage: python examples/huggingface/train.py [MODEL_DIR], by default the folder "model" beside this
file. A model of the Hub is saved in the same way, by save_pretrained.
"""
# ruff: noqa: S106, T201 - tokens that are not passwords; the output of the script

import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Whitespace
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

LABELS = ("negative", "positive")
TEXTS = {
    "a great phone": 1,
    "great and fast": 1,
    "good value": 1,
    "works well": 1,
    "a broken phone": 0,
    "broken and slow": 0,
    "bad value": 0,
    "works badly": 0,
}
STEPS = 60


def tokenizer_of(texts):
    """A tokenizer that knows the words of these texts."""
    words = sorted({word for text in texts for word in text.split()})
    vocabulary = {word: index for index, word in enumerate(("[PAD]", "[UNK]", *words))}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = Lowercase(), Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", model_max_length=32
    )


def main(model_dir):
    """Train, and write the model and its tokenizer."""
    torch.manual_seed(0)
    tokenizer = tokenizer_of(TEXTS)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=32,
        id2label=dict(enumerate(LABELS)),
        label2id={label: index for index, label in enumerate(LABELS)},
    )
    model = BertForSequenceClassification(config)
    tokens = tokenizer(list(TEXTS), padding=True, return_tensors="pt")
    labels = torch.tensor(list(TEXTS.values()))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = model(**tokens, labels=labels).loss
        loss.backward()
        optimizer.step()
    print(f"loss after {STEPS} steps: {loss.item():.2f}")
    model.save_pretrained(model_dir)
    tokenizer.save_pretrained(model_dir)
    print(f"wrote {model_dir}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "model")
