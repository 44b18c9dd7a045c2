"""The plot of the line ``scale``: time and memory against the number of documents."""

from __future__ import annotations

from pathlib import Path

from benchmarks.figures import Result


def draw(results: tuple[Result, ...], path: Path) -> None:
    """Write the plot, in the format that the name of ``path`` ends with."""
    import matplotlib as mpl  # noqa: PLC0415 (the other lines do without it)

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "ndicloudfs"  # the same figures give the same file
    from matplotlib import pyplot as plt  # noqa: PLC0415

    placed = [result for result in results if result.figure.series]
    figure, panels = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for panel, unit, label in zip(panels, ("s", "MiB"), ("seconds", "MiB"), strict=True):
        names = dict.fromkeys(r.figure.series for r in placed if r.figure.unit == unit)
        for name in names:
            points = sorted(
                (r.figure.size or 0, r.value, min(r.runs), max(r.runs))
                for r in placed
                if r.figure.series == name
            )
            sizes, values, lows, highs = zip(*points, strict=True)
            panel.plot(sizes, values, marker="o", label=name)
            panel.fill_between(sizes, lows, highs, alpha=0.2)
        panel.set_xscale("log")
        panel.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        panel.set(xlabel="documents in the dataset", ylabel=label)
        panel.grid(visible=True, which="major", alpha=0.3)
        panel.legend(fontsize="small")
    panels[0].set_yscale("log")
    for which in (panels[0].yaxis.set_major_formatter, panels[0].yaxis.set_minor_formatter):
        which(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "125" else "")
    panels[1].set_ylim(bottom=0)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)
