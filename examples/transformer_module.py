"""
A transformer as the model
==========================

An encoder of ``transformers`` is a module like any other: it returns an object with ``logits``, its tokenizer returns a
dict of arrays, and both are taken as they are. Here a tiny BERT with random weights learns in seconds which words a
text mentions. For pretrained weights two functions change, as shown below. From the root of the repository, with
the package ``transformers``::

    python examples/transformer_module.py
"""

# %%
# The texts
# ---------
# Texts of six words, and three labels: which of three words they mention.

import sys
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from skorch.helper import SliceDict

from sk_quadrant import QuadrantMultiLabelClassifier

try:
    from transformers import BertConfig, BertForSequenceClassification
except ImportError:
    print("This example needs transformers: pip install transformers")
    sys.exit(0)

warnings.simplefilter("ignore", ConvergenceWarning)  # the number of epochs is chosen
WORDS = [f"word{k}" for k in range(20)]
rng = np.random.default_rng(0)
texts = [" ".join(words) for words in rng.choice(WORDS, (600, 6))]
Y = np.array([[word in text.split() for word in ("word0", "word1", "word2")] for text in texts], dtype=int)

# %%
# The tokenizer and the encoder
# -----------------------------
# A `SliceDict` is a dict of arrays whose rows scikit-learn can split. With pretrained weights the two functions are::
#
#     tokenizer = AutoTokenizer.from_pretrained(name)
#
#     def tokenize(texts):
#         encoding = tokenizer(list(texts), padding="max_length", truncation=True, max_length=128, return_tensors="np")
#         return SliceDict(**encoding)
#
#     def build(n_features, n_labels):
#         return AutoModelForSequenceClassification.from_pretrained(name, num_labels=n_labels)


def tokenize(texts):
    """Return what a tokenizer does: ids and a mask, as named arguments of the encoder."""
    ids = np.array([[WORDS.index(word) + 1 for word in text.split()] for text in texts])
    return SliceDict(input_ids=ids, attention_mask=np.ones_like(ids))


def build(n_features, n_labels):
    """Return a tiny encoder with random weights."""
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=len(WORDS) + 1, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
            max_position_embeddings=16, num_labels=n_labels,
        )
    )  # fmt: skip


# %%
# Training
# --------
# The encoder has a smaller learning rate than the head; for pretrained weights 2e-5 and 1e-3 are usual. The schedule
# rises over the first tenth of the steps and falls to zero, and keeps the ratio of both rates.

clf = QuadrantMultiLabelClassifier(
    "zlpr", module=build, param_groups=[("bert.*", {"lr": 3e-3})], solver="adamw", learning_rate_init=5e-3,
    learning_rate="cosine", warmup_fraction=0.1, max_iter=10, batch_size=32, C=np.inf, random_state=0,
)  # fmt: skip
model = make_pipeline(FunctionTransformer(tokenize), clf).fit(texts[:500], Y[:500])
score = model.score(texts[500:], Y[500:])
print(clf)
print(f"all three labels right: {score:.1%} of new texts")

# %%
# What it has learnt
# ------------------
# Probabilities for eight new texts. A frame marks the labels that are present.

import matplotlib.pyplot as plt

LABELS = WORDS[:3]
shown = slice(500, 508)
proba = model.predict_proba(texts[shown])
fig, ax = plt.subplots(figsize=(6.5, 4.2), layout="constrained")
ax.imshow(proba, cmap="Blues", vmin=0, vmax=1, aspect="auto")
for row, column in np.ndindex(proba.shape):
    value = proba[row, column]
    ax.text(column, row, f"{value:.2f}", ha="center", va="center", color="white" if value > 0.6 else "black")
    if Y[shown][row, column]:
        ax.add_patch(
            plt.Rectangle((column - 0.46, row - 0.44), 0.92, 0.88, fill=False, edgecolor="#D55E00", linewidth=2)
        )
ax.set(xticks=range(3), xticklabels=LABELS, yticks=range(len(proba)), title="Which words does a text mention?")
ax.set_yticklabels([text.replace("word", "") for text in texts[shown]])
ax.set_ylabel("numbers of the words of a text")
plt.show()
