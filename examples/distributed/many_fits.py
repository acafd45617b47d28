"""Search over parameters on all workers of a Dask cluster, by one more line than on one machine.

Run it as it is for a cluster on this machine; give ``Client`` the address of a scheduler for any other.
"""

import joblib
from distributed import Client
from sklearn.model_selection import GridSearchCV

from sk_quadrant import QuadrantMultiLabelClassifier, make_quadrants

if __name__ == "__main__":
    X, Y = make_quadrants(4000, 10, slope=2, shuffle=True, random_state=0)
    search = GridSearchCV(QuadrantMultiLabelClassifier(), {"C": [0.01, 0.1, 1, 10]}, scoring="f1_macro")
    with Client(n_workers=2, threads_per_worker=1, dashboard_address=None), joblib.parallel_config("dask"):
        search.fit(X, Y)
    print(search.best_params_, round(search.best_score_, 3))
