"""Save models with the installed version of the package, for the tests of later versions: run once before a release.

They go into a folder named after the version, together with what they predict. The oldest versions of the dependencies
write pickles that all versions can read.
"""

import json
import pickle
from pathlib import Path
from zipfile import ZIP_DEFLATED

import numpy as np

import sk_quadrant
from sk_quadrant import QuadrantMultiLabelClassifier, make_quadrants
from sk_quadrant.io import save_safetensors
from sk_quadrant.losses import Asymmetric

MODELS = {
    "model": QuadrantMultiLabelClassifier(Asymmetric(gamma_neg=3.0), C=10.0, threshold=[0.25, 0.5]),
    "model_network": QuadrantMultiLabelClassifier(
        solver="adamw", hidden_layer_sizes=(4,), activation="tanh", max_iter=2, tol=0.0, random_state=0
    ),
}


def main():
    """Fit, save, and write down predictions."""
    import pandas as pd
    import skops.io

    folder = Path(__file__).parent / sk_quadrant.__version__
    folder.mkdir()
    X, Y = make_quadrants(n_samples=200, slope=3.0, random_state=0)
    X, Y = pd.DataFrame(X, columns=["east", "north"]), pd.DataFrame(Y, columns=["right", "upper"])
    rows = pd.DataFrame([[0.1, -0.1], [0.5, 0.02], [-2.0, 1.0], [0.0, 0.0]], columns=X.columns)
    expected = {"X": rows.to_numpy().tolist()}
    for name, model in MODELS.items():
        model.fit(X, Y)
        (folder / f"{name}.pickle").write_bytes(pickle.dumps(model, protocol=4))
        skops.io.dump(model, folder / f"{name}.skops", compression=ZIP_DEFLATED, compresslevel=9)
        answers = {"predict_proba": model.predict_proba(rows), "predict": model.predict(rows)}
        expected[name] = {key: np.asarray(value).tolist() for key, value in answers.items()}
        expected[name]["threshold"] = model.threshold_.tolist()
    save_safetensors(MODELS["model"], folder / "model.safetensors")
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
