"""Print the peak memory of one fit beyond its input, in bytes. Arguments: spec as JSON, folder of the data."""

import json
import sys
import warnings
from pathlib import Path

from measuring import load, peak_beyond
from peers import build, silenced

if __name__ == "__main__":
    spec, folder = json.loads(sys.argv[1]), Path(sys.argv[2])
    data, contestant = load(folder), build(spec)
    data.features(contestant.dtype)  # convert the input before the fit
    with warnings.catch_warnings(), silenced(), contestant.limited(1):
        warnings.simplefilter("ignore")
        contestant.fit(data.head(200), 1)  # imports and first allocations do not count
        used = peak_beyond(lambda: contestant.fit(data, 1))
    print(used)
