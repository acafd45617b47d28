"""Fit rows that are spread over the workers of a Dask cluster, where they stay.

The blocks are made on the workers here; ``dask.array.from_zarr`` and ``dask.dataframe.read_parquet`` read them there.
The coefficients are those of a fit on one machine, and what moves in an iteration does not grow with the rows.
"""

import dask.array as da
from distributed import Client

from sk_quadrant.dask import DaskQuadrantMultiLabelClassifier

if __name__ == "__main__":
    with Client(n_workers=2, threads_per_worker=1, dashboard_address=None):
        rng = da.random.default_rng(0)
        X = rng.standard_normal((100_000, 20), chunks=(10_000, 20))
        Y = (X[:, :5] + rng.standard_normal((100_000, 5), chunks=(10_000, 5)) > 0).astype(int)
        X, Y = X.persist(), Y.persist()  # read once; without it, a worker that dies costs less memory and more time
        clf = DaskQuadrantMultiLabelClassifier().fit(X, Y)
        print(clf.predict_proba(X))  # lazy, in blocks like X
        print(clf.score(X, Y))
    print(clf.to_local().predict([[1.0] * 20]))
