"""Accuracy on the newest fifth of every recorded series, which nothing was fitted or chosen on, beside peers.

One table over all series (measuring/recorded.py): for each horizon MAE, RMSE, coverage and Winkler score of the 90 %
interval, and seconds to fit and to predict, on identical rows, of

- the floors: persistence, seasonal naive, and a ridge by the reference's protocol;
- each candidate kind, trained by the platform's own functions, seeded kinds with several seeds (`--rounds`), and the
  champion, which is what promotion releases of a seed's candidates;
- the peers, fitted in the same run on the same rows before the test span (`--no-peers` leaves them out): a plain
  XGBoost on 48 lags, the day's and the week's and a calendar; and, in an environment of their own with pinned versions,
  which the first run makes (`--peers-env`), LightGBM on features of mlforecast, Prophet, and AutoETS, AutoTheta and
  MSTL of statsforecast. The last three take up to a second for one forecast: they roll over `--origins` test rows,
  drawn over the whole span, and a second table scores everyone on these. What chooses among a peer's settings, and
  gives an interval to those without, is the newest 15 % of the rows before the test span. What cannot be installed is
  left out with a reason.

At the end: the best peer's MAE over the champion's, cell by cell, with its spread over the seeds; how often the
champion beats the floors and the best peer; goals; and whether the naive floors are those of the reference.
`--results` stores each series as it is measured, and does not measure again what is there. `--only noaa` prints one
feed in detail instead (measuring/jfk.py), `--only series` the table alone.
"""

import argparse
from pathlib import Path

import msgspec
from measuring import jfk, peer_environment
from measuring.contenders import NO_PEERS, Environment, Result, measure
from measuring.recorded import RECORDED, Absent
from measuring.spread import parser
from measuring.summary import show_goals, show_reproduction, show_series, show_standing, show_table


def options() -> argparse.Namespace:
    made = parser(__doc__, rounds=3)
    made.add_argument("--only", choices=("noaa", "series"), help="the feed noaa in detail, or the table of all series")
    made.add_argument("--series", nargs="+", choices=list(RECORDED), metavar="NAME", help=f"of {', '.join(RECORDED)}")
    made.add_argument("--peers", action=argparse.BooleanOptionalAction, default=True, help="fit the peers")
    made.add_argument("--origins", type=int, default=200, help="test rows that the slow peers forecast (%(default)s)")
    made.add_argument("--peers-env", type=Path, default=peer_environment.FOLDER, help="default: %(default)s")
    made.add_argument("--results", type=Path, help="folder in which each series' figures are stored and looked up")
    return made.parse_args()


def environment(folder: Path) -> Environment:
    """The peers' Python, or the reason why there is none."""
    try:
        return Environment(peer_environment.interpreter(folder))
    except peer_environment.Missing as error:
        print(f"peers in an environment of their own are left out: {error}")
        return Environment(None, str(error))


def stored(path: Path | None) -> Result | None:
    """What was measured before."""
    return msgspec.json.decode(path.read_bytes(), type=Result) if path and path.exists() else None


def series(asked: argparse.Namespace) -> list[Result]:
    """Measures series by series, and prints each as soon as it is there."""
    peers = environment(asked.peers_env) if asked.peers else NO_PEERS
    results = []
    for name in asked.series or RECORDED:
        path = asked.results / f"{name.replace(' ', '_')}.json" if asked.results else None
        result = stored(path)
        try:
            result = result or measure(name, RECORDED[name], peers, asked.rounds, asked.origins)
        except Absent as error:
            print(f"\n{name} is left out: {error}")
            continue
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(msgspec.json.encode(result))
        show_series(result)
        results.append(result)
    return results


def main() -> None:
    asked = options()
    if asked.only != "noaa":
        results = series(asked)
        show_table(results)
        show_standing(results)
        show_goals(results)
        show_reproduction(results)
    if asked.only == "noaa" or not (asked.only or asked.series):
        jfk.run(asked.rounds)


if __name__ == "__main__":
    main()
