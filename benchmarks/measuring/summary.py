"""The tables over all recorded series, and how the champion stands to floors, peers, goals and the reference."""

from collections.abc import Sequence
from typing import NamedTuple

from measuring.contenders import CHAMPION, FAST_PEERS, FLOORS, PEERS, ROLLING, Result
from measuring.marks import Mark
from measuring.reference import GOALS, REFERENCES, Reference
from measuring.spread import Spread, ratio
from measuring.table import show, verdict

BEHIND, CLOSE = 0.02, 0.01


class Cell(NamedTuple):
    """The champion at one horizon of a series beside its best peer there and the floors; `ratio` is the peer's MAE over
    the champion's, over the seeds, above 1 where the champion errs less."""

    series: str
    horizon: int
    champion: Spread | None
    peer: str
    peer_mae: float | None
    ratio: Spread | None
    floor: float

    @property
    def beats_floors(self) -> bool:
        return self.champion is not None and self.champion.median < self.floor

    @property
    def beats_peer(self) -> bool:
        return self.ratio is not None and self.ratio.median > 1

    @property
    def is_behind(self) -> bool:
        """More than `BEHIND` worse than the best peer, or no champion beside a peer."""
        if self.ratio is None:
            return self.peer_mae is not None
        return 1 / self.ratio.median > 1 + BEHIND


def cells(result: Result, peers: Sequence[str] = FAST_PEERS) -> list[Cell]:
    """The cells of one series, beside these peers: on all test rows, or on those that everyone forecasts where one of
    the peers forecasts no others. The reference's ridge is a floor of all test rows."""
    own = result.rolling if any(name in ROLLING for name in peers) else result.whole
    known = {} if own is result.rolling else REFERENCES.get(result.series, {})
    horizons = dict.fromkeys(each.horizon for each in own)
    return [_cell(result.series, horizon, own, peers, known.get(horizon)) for horizon in horizons]


def _cell(
    series: str, horizon: int, all_marks: Sequence[Mark], peers: Sequence[str], reference: Reference | None
) -> Cell:
    marks = {each.model: each for each in all_marks if each.horizon == horizon}
    floors = [marks[name].mae[0] for name in FLOORS if name in marks]
    floors += [reference.ridge] if reference and reference.ridge else []
    rivals = {name: marks[name].mae[0] for name in peers if name in marks}
    best = min(rivals, key=lambda name: rivals[name], default="")
    champion = marks.get(CHAMPION)
    maes = champion.mae if champion else []
    against = ratio([rivals[best]] * len(maes), maes) if best and maes else None
    return Cell(series, horizon, Spread.of(maes) if maes else None, best, rivals.get(best), against, min(floors))


def show_series(result: Result) -> None:
    """Every model of one series on all test rows, and on the rows that all forecast."""
    _show_marks(f"{result.series}: the newest fifth", result.whole)
    if result.rolling:
        rows = "/".join(str(each.rows) for each in result.rolling if each.model == FLOORS[0])
        _show_marks(f"{result.series}: {rows} origins drawn over the newest fifth, which all forecast", result.rolling)
    serving = ", ".join(f"{kind} at {horizon}" for horizon, kind in result.kinds.items())
    print(f"  the champion serves {serving or 'nothing'}")
    for name, reason in result.absent.items():
        print(f"  no {name}: {reason}")


def _show_marks(title: str, marks: Sequence[Mark]) -> None:
    rows = [
        [
            *(each.model, str(each.horizon), f"{each.rows:,}", Spread.of(each.mae).text(3)),
            *(f"{Spread.of(each.rmse).median:,.3f}", f"{Spread.of(each.coverage).median:.1%}"),
            *(f"{Spread.of(each.winkler).median:,.2f}", f"{each.fit:.1f}", f"{each.predict:.2f}"),
        ]
        for each in marks
    ]
    header = ["", "steps", "rows", "MAE (seeds)", "RMSE", "in the 90 %", "Winkler", "fit s", "predict s"]
    show(title, header, rows)


def show_table(results: Sequence[Result]) -> None:
    """MAE of everyone on all test rows, a line a cell."""
    every = (*FLOORS, "linear", "xgboost", CHAMPION, *FAST_PEERS)
    names = [name for name in every if any(each.model == name for result in results for each in result.whole)]
    rows = []
    for result in results:
        for horizon in dict.fromkeys(each.horizon for each in result.whole):
            at = {each.model: Spread.of(each.mae) for each in result.whole if each.horizon == horizon}
            texts = [_number(at[name].median) if name in at else "-" for name in names]
            rows.append([result.series, str(horizon), *texts])
    show("MAE on the newest fifth (median of the seeds)", ["", "steps", *names], rows)


def show_standing(results: Sequence[Result]) -> None:
    """Best peer over champion a cell, on all rows and on those that everyone forecasts; and the counts."""
    for title, peers, own in (
        ("all test rows", FAST_PEERS, results),
        ("the rows that all forecast", PEERS, [each for each in results if each.rolling]),
    ):
        every = [cell for result in own for cell in cells(result, peers)]
        if not every:
            continue
        rows = [
            [
                *(cell.series, str(cell.horizon), cell.champion.text(3) if cell.champion else "none"),
                *(cell.peer or "-", "-" if cell.peer_mae is None else _number(cell.peer_mae)),
                *(cell.ratio.text(3) if cell.ratio else "-", "yes" if cell.beats_floors else "NO"),
            ]
            for cell in every
        ]
        header = ["", "steps", "champion", "best peer", "its MAE", "peer / champion", "beats floors"]
        show(f"The champion beside its best peer, MAE on {title} (seeds)", header, rows)
        rivals = [cell for cell in every if cell.peer_mae is not None]
        print(
            f"  of {len(every)} cells the champion beats every floor in {sum(cell.beats_floors for cell in every)};"
            f" of {len(rivals)} with a peer it beats the best in {sum(cell.beats_peer for cell in rivals)}"
            f" and is more than {BEHIND:.0%} behind in {sum(cell.is_behind for cell in rivals)}"
        )


def show_goals(results: Sequence[Result]) -> None:
    """The goals of the series that were measured."""
    rows = [
        [
            *(f"{cell.series}, {cell.horizon} steps", cell.champion.text(2) if cell.champion else "none"),
            *(f"<= {goal:g}", verdict(cell.champion is not None and cell.champion.median <= goal)),
        ]
        for result in results
        for cell in cells(result, ())
        if (goal := GOALS.get((cell.series, cell.horizon)))
    ]
    if rows:
        show("Goals: the champion's MAE", ["", "MAE", "goal", ""], rows)


def apart(results: Sequence[Result]) -> list[tuple[str, int, str, float, float]]:
    """Naive floors that lie more than `CLOSE` from the reference, on its rows: series, horizon, floor, here, there."""
    found = []
    for result in results:
        for each in result.gapless:
            known = REFERENCES.get(result.series, {}).get(each.horizon)
            if known and each.model in FLOORS[:2]:
                there = known.persistence if each.model == FLOORS[0] else known.seasonal_naive
                if abs(each.mae[0] / there - 1) > CLOSE:
                    found.append((result.series, each.horizon, each.model, each.mae[0], there))
    return found


def show_reproduction(results: Sequence[Result]) -> None:
    """Whether both naive floors are those of the reference on its rows."""
    if not any(result.gapless for result in results):
        return
    odd = apart(results)
    print(f"\nnaive floors within {CLOSE:.0%} of the reference on its rows, those without a gap: {verdict(not odd)}")
    for series, horizon, model, here, there in odd:
        print(f"  {series}, {horizon} steps, {model}: {_number(here)} here, {_number(there)} there")


def _number(value: float) -> str:
    """Four digits that count, no fewer than are before the point."""
    return f"{value:,.{max(0, 3 - len(str(int(abs(value)))) + (abs(value) < 1))}f}"
