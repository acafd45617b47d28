"""Save models with the installed version of the package, for the tests of later versions: run once before a release.

They go into a folder named after the version, together with what they predict. The oldest versions of the dependencies
write pickles that all versions can read.
"""

import json
import pickle
from pathlib import Path
from zipfile import ZIP_DEFLATED

import numpy as np
import pandas as pd
import skops.io

import sk_quadrant
from sk_quadrant import QuadrantMultiLabelClassifier, make_quadrants
from sk_quadrant.io import save_safetensors
from sk_quadrant.losses import Asymmetric

folder = Path(__file__).parent / sk_quadrant.__version__
folder.mkdir()
X, Y = make_quadrants(n_samples=200, slope=3.0, random_state=0)
X, Y = pd.DataFrame(X, columns=["east", "north"]), pd.DataFrame(Y, columns=["right", "upper"])
models = {
    "model": QuadrantMultiLabelClassifier(Asymmetric(gamma_neg=3.0), C=10.0, threshold=[0.25, 0.5]),
    "model_network": QuadrantMultiLabelClassifier(
        solver="adamw", hidden_layer_sizes=(4,), activation="tanh", max_iter=2, tol=0.0, random_state=0
    ),
}
rows = np.array([[0.1, -0.1], [0.5, 0.02], [-2.0, 1.0], [0.0, 0.0]])
expected = {"X": rows.tolist()}
for name, model in models.items():
    model.fit(X, Y)
    (folder / f"{name}.pickle").write_bytes(pickle.dumps(model, protocol=4))
    skops.io.dump(model, folder / f"{name}.skops", compression=ZIP_DEFLATED, compresslevel=9)
    frame = pd.DataFrame(rows, columns=X.columns)
    expected[name] = {
        "predict_proba": model.predict_proba(frame).tolist(),
        "predict": model.predict(frame).tolist(),
        "threshold": model.threshold_.tolist(),
    }
save_safetensors(models["model"], folder / "model.safetensors")
(folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n", encoding="utf-8")
