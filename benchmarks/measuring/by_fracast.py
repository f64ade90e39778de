"""Fracast-0, a pretrained prior of 85,001 weights, without any training of ours: the median of its forecast.

Run as a script in an environment of its own: `by_fracast.py JOB OUT`, where JOB is an `.npz` with `contexts` (n, L),
the newest last and NaN for unknown, and `horizons` (H,); it writes `levels` (n, H) in OUT. Rows with fewer than eight
values, which it refuses, get NaN.
"""

import sys
from pathlib import Path

import numpy as np

if __name__ == "__main__":  # in place of this folder, whose `http.py` is not the library's
    sys.path[0] = str(Path(__file__).resolve().parents[1])

FEWEST = 8  # values that it asks for
BATCH = 64
MEDIAN = 4  # of its nine quantiles


def main(job: Path, out: Path) -> None:
    import torch
    from fracast import FracastModel  # in an environment of its own

    torch.set_num_threads(1)
    model = FracastModel.from_pretrained(weights="fp32")
    with np.load(job) as stored:
        contexts, horizons = stored["contexts"], stored["horizons"]
    levels = np.full((len(contexts), len(horizons)), np.nan)
    able = np.flatnonzero(np.isfinite(contexts).sum(axis=1) >= FEWEST)
    for start in range(0, len(able), BATCH):
        rows = able[start : start + BATCH]
        levels[rows] = model.forecast_batch(contexts[rows], horizon=int(horizons.max()))[:, horizons - 1, MEDIAN]
    np.savez(out, levels=levels)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
