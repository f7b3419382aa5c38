# Seconds that scikit-learn's make_classification takes for one problem, several times, and sums over its features that
# tell whether another program makes the same numbers. Prints one line of JSON; bench/make-classification.mjs runs it.
#   python3 bench/peers/sklearn_make_classification.py N_SAMPLES N_FEATURES N_INFORMATIVE RANDOM_STATE RUNS

import json
import sys
import time

import numpy
import sklearn
from sklearn.datasets import make_classification

n_samples, n_features, n_informative, random_state, runs = map(int, sys.argv[1:])
seconds = []
for _ in range(runs + 1):
    start = time.perf_counter()
    x, y = make_classification(
        n_samples, n_features, n_informative=n_informative, random_state=random_state
    )
    seconds.append(time.perf_counter() - start)
print(
    json.dumps(
        {
            "versions": {"numpy": numpy.__version__, "scikit-learn": sklearn.__version__},
            "seconds": seconds[1:],
            "columnSums": x.sum(axis=0).tolist(),
            "labelSum": int(y.sum()),
        }
    )
)
