"""Prometheus metrics under the names that dashboards know. What the store knows is read from it at each scrape."""

from collections.abc import Iterable, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from aerocast.common.times import EPOCH
from serving.hot_swap import ServingStore
from serving.loop import Loop
from serving.notices import KINDS
from serving.observations import Observations
from serving.shadow import RESULTS
from serving.slots import ReloadSlot

MILLISECONDS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 25, 50, 100, 250, 1000)
LABELS = ["feed", "target"]


class ServerMetrics:
    """One registry an application, so that two in one process do not mix."""

    def __init__(
        self, store: ServingStore, loop: Loop, observations: Observations, others: Sequence[ReloadSlot[Any]] = ()
    ) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library gives it no hints
        self.store = store
        self.registry = CollectorRegistry()
        self.predictions = Counter("predictions", "Forecasts answered.", ["model_type"], registry=self.registry)
        self.latency = Histogram(
            "aerocast_predict_latency_ms",
            "Milliseconds from the whole request to the answer.",
            buckets=MILLISECONDS,
            registry=self.registry,
        )
        self.problems = Counter("aerocast_problems", "Requests refused.", ["status"], registry=self.registry)
        self.connections = Counter(
            "aerocast_connections_refused",
            "Connections ended by the server, by reason.",
            ["reason"],
            registry=self.registry,
        )
        self.open_connections = Gauge("aerocast_connections", "Open connections.", registry=self.registry)
        self.registry.register(_Collector(store, loop, observations, others))
        ProcessCollector(registry=self.registry)

    def text(self) -> bytes:
        """The scrape, Prometheus text format 0.0.4."""
        for served in self.store.serving():
            self.predictions.labels(served.manifest.kind)  # a kind that serves shows its 0
        return generate_latest(self.registry)


class _Collector(Collector):
    def __init__(
        self, store: ServingStore, loop: Loop, observations: Observations, others: Sequence[ReloadSlot[Any]] = ()
    ) -> None:
        self._store, self._loop, self._observations, self._others = store, loop, observations, others

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        yield from self._releases()
        yield from self._failures()
        yield from self._left_out()
        yield from self._drift()
        yield from self._records()
        yield from self._posted()
        yield from self._events()
        polled = self._store.last_poll or EPOCH
        yield GaugeMetricFamily("aerocast_last_poll_ts", "Unix time of the last look-up.", value=polled.timestamp())

    def _releases(self) -> Iterable[Metric]:
        rmse = GaugeMetricFamily(
            "aerocast_last_rmse",
            "RMSE of the newest outcomes posted here; before the first, the serving release's on its test span.",
            labels=LABELS,
        )
        each = GaugeMetricFamily(
            "aerocast_release_rmse",
            "Test RMSE of the serving release by horizon (steps ahead).",
            labels=[*LABELS, "horizon"],
        )
        info = GaugeMetricFamily(
            "aerocast_release_info",
            "1 for the serving release.",
            labels=[*LABELS, "version", "model_type", "config_hash"],
        )
        since = GaugeMetricFamily("aerocast_release_loaded_ts", "Unix time it began to serve here.", labels=LABELS)
        for served in self._store.serving():
            manifest = served.manifest
            key = [manifest.feed.name, manifest.target]
            live, _ = self._loop.errors.rmse(served.key)
            rmse.add_metric(key, manifest.metrics.overall.rmse if live is None else live)
            for horizon, scores in manifest.metrics.horizons.items():
                each.add_metric([*key, str(horizon)], scores.rmse)
            info.add_metric([*key, manifest.version, manifest.kind, manifest.lineage.config_hash], 1)
            since.add_metric(key, served.since.timestamp())
        return [rmse, each, info, since]

    def _failures(self) -> Iterable[Metric]:
        failures = CounterMetricFamily(
            "aerocast_release_load_failures", "Releases that did not load; the old one served on.", labels=LABELS
        )
        failing = GaugeMetricFamily("aerocast_release_failing", "1 while the newest does not load.", labels=LABELS)
        for key, slot in self._store.releases.items():
            failures.add_metric(list(key), slot.failures)
            failing.add_metric(list(key), slot.error is not None)
        tails = CounterMetricFamily("aerocast_tail_load_failures", "Tails that did not load.", labels=["feed"])
        newest = GaugeMetricFamily("aerocast_newest_reading_ts", "Unix time of the newest reading.", labels=["feed"])
        for feed, slot_of_tail in self._store.tails.items():
            tails.add_metric([feed], slot_of_tail.failures)
            reading = slot_of_tail.served.feed_newest if slot_of_tail.served else None
            if reading is not None:
                newest.add_metric([feed], float(reading.astype("int64")))
        return [failures, failing, tails, newest]

    def _left_out(self) -> Iterable[Metric]:
        failures = CounterMetricFamily(
            "aerocast_file_failures", "How often a file of the home could not be read.", labels=["file"]
        )
        slots = [*self._store.slots(), *self._observations.slots(), *self._others]
        failing = GaugeMetricFamily(
            "aerocast_files_left_out",
            "Files of the home that cannot be read now; /health names them.",
            value=sum(slot.error is not None for slot in slots),
        )
        for slot in slots:
            if slot.failures:
                failures.add_metric([slot.file], slot.failures)
        return [failing, failures]

    def _drift(self) -> Iterable[Metric]:
        """Drift stays 0 until something examines it; a retrain is every release after the first."""
        flag = GaugeMetricFamily("aerocast_drift_flag", "1 while concept drift is diagnosed.", labels=LABELS)
        count = GaugeMetricFamily("aerocast_drift_count", "Edges from cool to hot.", labels=LABELS)
        retrains = CounterMetricFamily("aerocast_retrain", "Releases after the first.", labels=LABELS)
        last = GaugeMetricFamily("aerocast_last_retrain_ts", "Unix time of the newest release.", labels=LABELS)
        for served in self._store.serving():
            key, state = list(served.key), self._store.drift(served.feed.name)
            heat = state.of(served.manifest.target) if state else None
            flag.add_metric(key, heat is not None and heat.hot)
            count.add_metric(key, heat.edges if heat else 0)
            retrains.add_metric(key, served.releases - 1)
            last.add_metric(key, served.newest_release.timestamp())
        return [flag, count, retrains, last]

    def _records(self) -> Iterable[Metric]:
        drops = CounterMetricFamily(
            "aerocast_log_failures", "Records that the disk refused.", value=self._loop.log.failures
        )
        shadows = CounterMetricFamily(
            "aerocast_shadow", "Requests for a challenger, and what came of them.", labels=[*LABELS, "result"]
        )
        beside = [key for key, slot in self._store.challengers.items() if slot.served]
        counts = {(key, result): 0 for key in beside for result in RESULTS} | self._loop.shadows.counts.copy()
        for (key, result), value in sorted(counts.items()):
            shadows.add_metric([*key, result], value)
        return [drops, shadows]

    def _events(self) -> Iterable[Metric]:
        journal = self._loop.journal
        totals = CounterMetricFamily("aerocast_events", "Events of /v1/events, by kind.", labels=["kind"])
        for kind in KINDS:
            totals.add_metric([kind], journal.counts[kind])
        return [totals, GaugeMetricFamily("aerocast_event_listeners", "Who listens now.", value=journal.listeners)]

    def _posted(self) -> Iterable[Metric]:
        accepted = CounterMetricFamily("aerocast_observations", "Readings accepted by this process.", labels=["feed"])
        waiting = GaugeMetricFamily(
            "aerocast_observations_waiting", "Readings on this disk that the platform has not taken.", labels=["feed"]
        )
        refused = GaugeMetricFamily(
            "aerocast_observations_put_aside", "Posts that no longer fitted the feed's declaration.", labels=["feed"]
        )
        for feed, counts in sorted(self._observations.counts.items()):
            accepted.add_metric([feed], self._observations.accepted[feed])
            waiting.add_metric([feed], counts.waiting)
            refused.add_metric([feed], counts.refusals)
        return [accepted, waiting, refused]
