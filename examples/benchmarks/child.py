"""Print the bytes that one fit takes beyond its input, in a process that does nothing else: spec (JSON), folder."""

import json
import sys
import warnings
from pathlib import Path

from measuring import load, peak_beyond
from peers import build, silenced

if __name__ == "__main__":
    spec, folder = json.loads(sys.argv[1]), Path(sys.argv[2])
    data, contestant = load(folder), build(spec)
    data.features(contestant.dtype)  # the input in the contestant's precision is there before the fit
    with warnings.catch_warnings(), silenced(), contestant.limited(1):
        warnings.simplefilter("ignore")
        contestant.fit(data.head(200), 1)  # imports and first allocations are not the fit's
        used = peak_beyond(lambda: contestant.fit(data, 1))
    print(used)
