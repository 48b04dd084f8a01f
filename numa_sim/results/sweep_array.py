"""A sweep's metrics as an N-dimensional data set."""

from __future__ import annotations

from typing import Any

import numpy as np

from numa_sim.results.frames import frame_library
from numa_sim.results.sweep_columns import METRIC_COLUMNS, Figure
from numa_sim.results.sweep_factors import factor_kind, factor_values, is_grid, point_factors
from numa_sim.results.sweep_folder import SweepDesign

__all__ = ["dataset"]


def dataset(design: SweepDesign, table: Any) -> Any:
    """Data set of a sweep's table; see `numa_sim.results.sweep.Sweep.to_xarray`."""
    xarray = frame_library("xarray")

    points = point_factors(design)
    replicas = sorted({run.replica for run in design.runs})
    if grid := bool(design.factors) and is_grid(design):
        coordinates: dict[str, Any] = {name: (name, values) for name, values in factor_values(design).items()}
        dimensions = (*coordinates, "replica")
    else:
        coordinates = {"point": ("point", list(points))}
        for name in design.factors:
            values = [factors[name] for factors in points.values()]
            coordinates[name] = ("point", _coordinate(values, factor_kind(design, name)))
        dimensions = ("point", "replica")
    shape = [len(coordinates[name][1]) if name != "replica" else len(replicas) for name in dimensions]
    places = _places(design, table, replicas, shape, grid)
    variables = {
        figure.name: (
            dimensions,
            _spread(figure, table.column(figure.name).to_pylist(), places, shape),
            {"units": figure.unit, "long_name": figure.about},
        )
        for figure in METRIC_COLUMNS
    }
    coordinates["replica"] = ("replica", replicas)
    return xarray.Dataset(variables, coordinates, {"model_version": design.model_version})


def _places(design: SweepDesign, table: Any, replicas: list[int], shape: list[int], grid: bool) -> Any:
    """Where each row of the table belongs: index into the flattened array."""
    points = point_factors(design)
    if grid:
        axes = [{value: i for i, value in enumerate(values)} for values in factor_values(design).values()]
        of_point = {p: [axis[v] for axis, v in zip(axes, f.values(), strict=True)] for p, f in points.items()}
    else:
        of_point = {point: [i] for i, point in enumerate(points)}
    of_replica = {replica: i for i, replica in enumerate(replicas)}
    rows = zip(table.column("point").to_pylist(), table.column("replica").to_pylist(), strict=True)
    indexes = [[*of_point[point], of_replica[replica]] for point, replica in rows]
    return np.ravel_multi_index(np.array(indexes, np.int64).reshape(-1, len(shape)).T, tuple(shape))


def _spread(figure: Figure, values: list[Any], places: Any, shape: list[int]) -> Any:
    """Values at their places; integers stay integers if all are there."""
    if figure.kind == "text":
        array: Any = np.full(int(np.prod(shape)), "", object)
        array[places] = ["" if value is None else value for value in values]
        return array.reshape(shape).astype(str)
    numbers = np.array([np.nan if value is None else value for value in values], np.float64)
    array = np.full(int(np.prod(shape)), np.nan)
    array[places] = numbers
    if figure.kind == "int" and not np.isnan(array).any():
        array = np.zeros(array.shape, np.int64)
        array[places] = values
    return array.reshape(shape)


def _coordinate(values: list[Any], kind: str) -> Any:
    """A factor along the points; points without it are NaN or empty."""
    if kind == "text":
        return np.array(["" if value is None else value for value in values])
    if any(value is None for value in values):
        return np.array([np.nan if value is None else value for value in values], np.float64)
    return np.array(values)
